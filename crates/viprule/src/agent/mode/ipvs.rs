//! IPVS mode.

use std::time::Duration;

use viprule_dataplane::ipvs::{Ipvs, Settings};
use viprule_service::plan::NodeFacts;
use viprule_writer::conntrack::Cleaner;
use viprule_writer::ipvs::IpvsWriter;

use super::Mode;
use crate::agent::host_settings;
use crate::agent::host_watch::HostWatch;
use crate::agent::news::NewSettings;
use crate::agent::takeover::Takeover;
use crate::agent::telemetry::{Cause, Telemetry};
use crate::config;

/// IPVS mode.
#[derive(Debug)]
pub(in crate::agent) struct IpvsMode {
    takeover: Takeover,
    settings: config::Ipvs,
    host: HostWatch,
}

impl IpvsMode {
    pub(in crate::agent) fn new(takeover: Takeover, settings: config::Ipvs) -> Self {
        Self {
            takeover,
            settings,
            host: HostWatch::default(),
        }
    }
}

impl Mode for IpvsMode {
    type Dataplane = Ipvs;
    type Writer = IpvsWriter;

    fn adopt(&mut self, news: &NewSettings, writer: &mut IpvsWriter) -> Settings {
        let resolved = &news.resolved;
        self.settings.clone_from(&resolved.ipvs);
        writer.set_drain_timeout(resolved.ipvs.drain_timeout);
        resolved.ipvs_for(resolved.families_on(news.support))
    }

    fn follow(&self, facts: &NodeFacts, writer: &mut IpvsWriter) {
        writer.set_api_server(&facts.api_server);
    }

    /// What it takes is made at the start.
    fn prepare(&mut self, _: &Ipvs, _: &Cause) {}

    fn check_host(&mut self, _: &Ipvs, telemetry: &Telemetry) {
        let outcome = host_settings::apply_ipvs(&self.settings);
        self.host
            .looked(&outcome, &telemetry.health, &telemetry.metrics);
    }

    fn tended(&self, writer: &IpvsWriter, telemetry: &Telemetry) {
        telemetry.metrics.draining(writer.draining());
    }

    fn take_over(&mut self, cleaner: Option<&Cleaner>, telemetry: &Telemetry) -> Option<Duration> {
        self.takeover.go_on(cleaner, telemetry)
    }
}
