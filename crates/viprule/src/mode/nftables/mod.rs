//! nftables mode.

mod configuration;
mod counters;
mod leftovers;
mod print;
mod saved;

pub use configuration::Configuration;

use std::path::PathBuf;

use nfnetlink::Family;
use serde_json::Value;
use viprule_dataplane::Diff;
use viprule_dataplane::nftables::{Desired, Key, Nftables, Object, ObjectCounts, Settings};
use viprule_service::model;
use viprule_service::plan::NodeFacts;
use viprule_source::kube::Resource;
use viprule_writer::WriteError;
use viprule_writer::backend::Backend;
use viprule_writer::host::Outcome;
use viprule_writer::netfilter::Support;
use viprule_writer::nftables::{NftablesWriter, probe};

use super::changes::Changes;
use super::leftovers::{Found, Search};
use super::{Counted, Counters, Dump, Failures, MasqueradeSettings, Mode, ModeMetrics, Saved};
use crate::agent::Cause;
use crate::agent::host_settings::Strictness;
use crate::config::{GoDuration, KubeProxyConfiguration, Resolved};
use crate::metrics::Metrics;

/// What it serves.
pub const METRICS: ModeMetrics = ModeMetrics {
    counted: Counted::Elements,
    failures: Failures::Transactions,
    nfacct: false,
    draining: false,
};

/// nftables mode. It needs nothing of the node but `nf_tables`, and makes no settings.
#[derive(Debug, Default)]
pub(crate) struct NftablesMode;

/// The dataplane's settings for a kernel that has this, or everything.
pub fn settings(resolved: &Resolved, support: Option<Support>) -> Settings {
    let mut common = resolved.common.clone();
    if let Some(support) = support {
        common.families = resolved.families_on(support);
    }
    Settings { common }
}

impl Mode for NftablesMode {
    type Dataplane = Nftables;
    type Writer = NftablesWriter;

    const NAME: &str = "nftables";
    const ABOUT: &str = "nftables sets";
    const MASQUERADES_OUTSIDE_NODE_PORTS: bool = true;
    const USES_IPTABLES: bool = false;
    const RESOURCES: &[Resource] = &Resource::ALL;

    fn periods(proxy: &KubeProxyConfiguration) -> (GoDuration, GoDuration) {
        (proxy.nftables.sync_period, proxy.nftables.min_sync_period)
    }

    fn masquerade(proxy: &KubeProxyConfiguration) -> Option<MasqueradeSettings> {
        Some(MasqueradeSettings {
            bit_field: "nftables.masqueradeBit",
            bit: proxy.nftables.masquerade_bit,
            all: proxy.nftables.masquerade_all,
        })
    }

    fn settings(resolved: &Resolved, support: Option<Support>) -> Settings {
        settings(resolved, support)
    }

    fn dataplane(settings: Settings, facts: &NodeFacts) -> Nftables {
        Nftables::new(settings, facts)
    }

    fn check(_: Backend, support: Support, resolved: &Resolved) -> Result<(), WriteError> {
        probe(&resolved.families_on(support))
    }

    fn open(_: Backend, families: &[Family]) -> Result<NftablesWriter, WriteError> {
        NftablesWriter::open(families)
    }

    fn prepare_node(_: &Resolved, _: &Nftables, _: Strictness) -> anyhow::Result<()> {
        Ok(())
    }

    fn hold() {}

    fn prepare(&mut self, _: &Nftables, _: &Cause) {}

    fn check_node(_: &Resolved, _: &Nftables) -> Outcome {
        Outcome::default()
    }

    fn metrics(_: Support) -> ModeMetrics {
        METRICS
    }

    fn count(
        metrics: &Metrics,
        family: model::Family,
        total: &ObjectCounts,
        _written: &ObjectCounts,
    ) {
        metrics.elements(family, total.elements[family as usize] as usize);
    }

    fn counters() -> Option<Counters<Self>> {
        let owners = counters::owners();
        Some(Counters {
            listener: Box::new(owners.clone()),
            text: counters::text(owners),
        })
    }

    fn leftovers(search: &Search<'_>) -> Vec<Found> {
        leftovers::find(search)
    }
}

impl Dump for NftablesMode {
    fn unfinished(_: &NftablesWriter) -> Option<String> {
        None
    }

    fn saved(paths: &[PathBuf], resolved: &Resolved) -> anyhow::Result<Saved<Self>> {
        saved::read(paths, resolved)
    }

    fn text(settings: &Settings, state: &Desired) -> String {
        print::text(&settings.common.families, state)
    }

    fn json(state: &Desired) -> anyhow::Result<Value> {
        Ok(print::json(state))
    }

    fn changes(diff: &Diff<'_, Key, Object, Object>) -> Changes {
        print::changes(diff)
    }
}
