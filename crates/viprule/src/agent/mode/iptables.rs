//! iptables mode.

use std::time::Duration;

use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_writer::backend::HostWriter;
use viprule_writer::conntrack::Cleaner;
use viprule_writer::netfilter::probe;

use super::Mode;
use crate::agent::host_settings;
use crate::agent::host_watch::HostWatch;
use crate::agent::news::NewSettings;
use crate::agent::takeover::Takeover;
use crate::agent::telemetry::{Cause, Telemetry};

/// iptables mode.
#[derive(Debug)]
pub(in crate::agent) struct IptablesMode {
    takeover: Takeover,
    loopback_is_routed: bool,
    host: HostWatch,
}

impl IptablesMode {
    pub(in crate::agent) fn new(takeover: Takeover) -> Self {
        Self {
            takeover,
            loopback_is_routed: false,
            host: HostWatch::default(),
        }
    }
}

impl Mode for IptablesMode {
    type Dataplane = Iptables;
    type Writer = HostWriter;

    fn adopt(&mut self, news: &NewSettings, _: &mut HostWriter) -> Settings {
        let limit = news.resolved.ipvs.drain_timeout;
        self.takeover.set_drain_timeout(limit);
        news.resolved.iptables_on(news.support)
    }

    /// Where the kernel can't be made ready, only node ports on loopback don't work.
    fn prepare(&mut self, dataplane: &Iptables, cause: &Cause) {
        let options = dataplane.options();
        // Whoever took rules away, or made the kernel refuse some, may have taken their counters.
        if options.nfacct
            && !matches!(cause, Cause::Start | Cause::Change)
            && let Err(error) = probe(true)
        {
            tracing::warn!("rules that count may be refused: {error}");
        }
        if options.localhost_node_ports && !self.loopback_is_routed {
            if let Err(error) = host_settings::ensure(options) {
                tracing::error!(
                    "node ports on loopback addresses do not work: {error}; set it on the host, \
                     or set iptables.localhostNodePorts to false"
                );
            }
            self.loopback_is_routed = true;
        }
    }

    fn check_host(&mut self, dataplane: &Iptables, telemetry: &Telemetry) {
        let outcome = host_settings::look_again(dataplane.options());
        self.host
            .looked(&outcome, &telemetry.health, &telemetry.metrics);
    }

    fn take_over(&mut self, cleaner: Option<&Cleaner>, telemetry: &Telemetry) -> Option<Duration> {
        self.takeover.go_on(cleaner, telemetry)
    }
}
