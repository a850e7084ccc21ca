//! IPVS mode.

mod configuration;
mod counters;
mod flags;
mod leftovers;
mod node;
mod print;
mod saved;

pub use configuration::{Configuration, IpvsSettings};
pub use flags::Flags;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use nfnetlink::Family;
use serde_json::Value;
use viprule_dataplane::Diff;
use viprule_dataplane::ipvs::{Desired, Ipvs, Key, Object, Settings, print_save};
use viprule_service::plan::NodeFacts;
use viprule_writer::WriteError;
use viprule_writer::backend::Backend;
use viprule_writer::host::Outcome;
use viprule_writer::ipvs::{self, IpvsWriter};
use viprule_writer::netfilter::Support;

use super::changes::Changes;
use super::leftovers::{Found, Search};
use super::{Counted, Counters, Dump, Failures, Mode, ModeMetrics, Saved};
use crate::agent::Cause;
use crate::agent::host_settings::Strictness;
use crate::config::{GoDuration, KubeProxyConfiguration, Resolved};

/// What it serves.
pub const METRICS: ModeMetrics = ModeMetrics {
    counted: Counted::Nothing,
    failures: Failures::Restores,
    nfacct: false,
    draining: true,
};

/// IPVS mode.
#[derive(Debug, Default)]
pub(crate) struct IpvsMode;

/// The dataplane's settings for a kernel that has this, or everything.
pub fn settings(resolved: &Resolved, support: Option<Support>) -> Settings {
    let mut common = resolved.common.clone();
    if let Some(support) = support {
        common.families = resolved.families_on(support);
    }
    Settings {
        common,
        scheduler: resolved.modes.ipvs.scheduler,
        exclude_cidrs: resolved.modes.ipvs.exclude_cidrs.clone(),
    }
}

impl Mode for IpvsMode {
    type Dataplane = Ipvs;
    type Writer = IpvsWriter;

    const NAME: &str = "ipvs";
    const ABOUT: &str = "IPVS virtual servers";
    const VITAL: &[&str] = &node::VITAL;

    fn periods(proxy: &KubeProxyConfiguration) -> (GoDuration, GoDuration) {
        (proxy.ipvs.sync_period, proxy.ipvs.min_sync_period)
    }

    fn settings(resolved: &Resolved, support: Option<Support>) -> Settings {
        settings(resolved, support)
    }

    fn dataplane(settings: Settings, facts: &NodeFacts) -> Ipvs {
        Ipvs::new(settings, facts)
    }

    fn check(backend: Backend, _: Support, resolved: &Resolved) -> Result<(), WriteError> {
        ipvs::probe(backend, &resolved.modes.ipvs.scheduler)
    }

    fn open(backend: Backend, families: &[Family]) -> Result<IpvsWriter, WriteError> {
        IpvsWriter::open(backend, families)
    }

    fn configure(writer: &mut IpvsWriter, resolved: &Resolved) {
        writer.set_drain_timeout(resolved.modes.ipvs.drain_timeout);
    }

    fn follow(writer: &mut IpvsWriter, facts: &NodeFacts) {
        writer.set_api_server(&facts.api_server);
    }

    fn start(resolved: &Resolved) -> anyhow::Result<()> {
        node::make(&resolved.modes.ipvs, Strictness::Told)
    }

    fn prepare_node(resolved: &Resolved, _: &Ipvs, strictness: Strictness) -> anyhow::Result<()> {
        node::make(&resolved.modes.ipvs, strictness)
    }

    fn hold() {
        node::hold();
    }

    /// What it takes is made at the start.
    fn prepare(&mut self, _: &Ipvs, _: &Cause) {}

    fn check_node(resolved: &Resolved, _: &Ipvs) -> Outcome {
        node::apply(&resolved.modes.ipvs)
    }

    fn clear_way(api_server: &[SocketAddr]) -> Result<Vec<IpAddr>, WriteError> {
        ipvs::clear_way(api_server)
    }

    fn draining(writer: &IpvsWriter) -> usize {
        writer.draining()
    }

    fn metrics(_: Support) -> ModeMetrics {
        METRICS
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

impl Dump for IpvsMode {
    fn unfinished(writer: &IpvsWriter) -> Option<String> {
        let draining = writer.draining();
        (draining > 0).then(|| {
            format!(
                "{draining} destinations at weight 0 still have connections; the agent removes \
                 them when those have ended, and so does this command"
            )
        })
    }

    fn saved(paths: &[PathBuf], resolved: &Resolved) -> anyhow::Result<Saved<Self>> {
        saved::read(paths, resolved)
    }

    fn text(_: &Settings, state: &Desired) -> String {
        print_save(state)
    }

    fn json(state: &Desired) -> anyhow::Result<Value> {
        Ok(print::json(state))
    }

    fn changes(diff: &Diff<'_, Key, Object, Object>) -> Changes {
        print::changes(diff)
    }
}
