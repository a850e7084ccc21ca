//! iptables mode.

mod configuration;
mod leftovers;
mod node;
mod saved;

pub use configuration::{Configuration, IptablesSettings};

use std::path::PathBuf;

use nfnetlink::Family;
use serde_json::Value;
use viprule_dataplane::Diff;
use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_dataplane::netfilter::{Desired, Key, Object, RuleCounts, print_save};
use viprule_service::model;
use viprule_service::plan::NodeFacts;
use viprule_writer::WriteError;
use viprule_writer::backend::{Backend, HostWriter};
use viprule_writer::host::Outcome;
use viprule_writer::netfilter::{Support, probe};

use super::chains::{self, chains};
use super::changes::Changes;
use super::leftovers::{Found, Search};
use super::{Counted, Dump, Failures, Mode, ModeMetrics, Saved};
use crate::agent::Cause;
use crate::agent::host_settings::Strictness;
use crate::config::{GoDuration, KubeProxyConfiguration, Resolved};
use crate::metrics::{Metrics, Table};

/// What it serves where the kernel has no nfacct counters.
pub const METRICS: ModeMetrics = ModeMetrics {
    counted: Counted::Rules,
    failures: Failures::RestoresByKind,
    nfacct: false,
    draining: false,
};

/// iptables mode.
#[derive(Debug, Default)]
pub(crate) struct IptablesMode {
    loopback_is_routed: bool,
}

/// The dataplane's settings for a kernel that has this, or everything.
pub fn settings(resolved: &Resolved, support: Option<Support>) -> Settings {
    let mut settings = Settings {
        common: resolved.common.clone(),
        localhost_node_ports: resolved.modes.iptables.localhost_node_ports,
        ..Settings::default()
    };
    if let Some(support) = support {
        settings.nfacct = support.nfacct;
        settings.drop_invalid = !support.be_liberal;
        settings.common.families = resolved.families_on(support);
    }
    settings
}

impl Mode for IptablesMode {
    type Dataplane = Iptables;
    type Writer = HostWriter;

    const NAME: &str = "iptables";
    const ABOUT: &str = "iptables chains";
    const HAS_COUNTERS: bool = true;

    fn periods(proxy: &KubeProxyConfiguration) -> (GoDuration, GoDuration) {
        (proxy.iptables.sync_period, proxy.iptables.min_sync_period)
    }

    fn settings(resolved: &Resolved, support: Option<Support>) -> Settings {
        settings(resolved, support)
    }

    fn dataplane(settings: Settings, facts: &NodeFacts) -> Iptables {
        Iptables::new(settings, facts)
    }

    fn check(_: Backend, support: Support, _: &Resolved) -> Result<(), WriteError> {
        if !support.nfacct {
            tracing::info!(
                "this kernel has no nfacct counters: the rules that count go without them"
            );
        }
        Ok(())
    }

    fn open(backend: Backend, families: &[Family]) -> Result<HostWriter, WriteError> {
        HostWriter::open(backend, families)
    }

    fn prepare_node(_: &Resolved, dataplane: &Iptables, _: Strictness) -> anyhow::Result<()> {
        Ok(node::ensure(dataplane.options())?)
    }

    fn hold() {
        node::hold();
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
            if let Err(error) = node::ensure(options) {
                tracing::error!(
                    "node ports on loopback addresses do not work: {error}; set it on the host, \
                     or set iptables.localhostNodePorts to false"
                );
            }
            self.loopback_is_routed = true;
        }
    }

    fn check_node(_: &Resolved, dataplane: &Iptables) -> Outcome {
        node::look_again(dataplane.options())
    }

    fn metrics(support: Support) -> ModeMetrics {
        let nfacct = support.nfacct;
        ModeMetrics { nfacct, ..METRICS }
    }

    fn count(metrics: &Metrics, family: model::Family, total: &RuleCounts, written: &RuleCounts) {
        let at = family as usize;
        for (table, total, written) in [
            (Table::Filter, total.filter, written.filter),
            (Table::Nat, total.nat, written.nat),
        ] {
            metrics.rules(family, table, total[at] as usize);
            metrics.rules_written(family, table, written[at] as usize);
        }
    }

    fn leftovers(search: &Search<'_>) -> Vec<Found> {
        leftovers::find(search)
    }
}

impl Dump for IptablesMode {
    fn unfinished(_: &HostWriter) -> Option<String> {
        None
    }

    fn saved(paths: &[PathBuf], resolved: &Resolved) -> anyhow::Result<Saved<Self>> {
        saved::read(paths, resolved)
    }

    fn text(settings: &Settings, state: &Desired) -> String {
        let families = settings.common.families.iter();
        families.map(|family| print_save(*family, state)).collect()
    }

    fn json(state: &Desired) -> anyhow::Result<Value> {
        Ok(serde_json::to_value(chains(state))?)
    }

    fn changes(diff: &Diff<'_, Key, Object, Object>) -> Changes {
        chains::changed(Self::NAME, diff)
    }
}
