//! What has to follow this node's facts besides the rules.

use std::net::IpAddr;

use viprule_dataplane::iptables::Iptables;
use viprule_service::plan::NodePortTargets;
use viprule_writer::backend::HostWriter;
use viprule_writer::iptables::probe;

use super::telemetry::{Cause, Telemetry};
use super::{Syncer, host_settings};

/// What was told last, so that only changes are.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// What to think of a node without a Node object.
    eligible_alone: bool,
    loopback_is_routed: bool,
    addresses: Option<Vec<IpAddr>>,
    targets: Option<[NodePortTargets; 2]>,
    eligible: Option<bool>,
}

impl Surroundings {
    /// `eligible_alone`: load balancers may send traffic though there is no Node object, as there
    /// is no cluster that should have one.
    pub(super) fn new(eligible_alone: bool) -> Self {
        Self {
            eligible_alone,
            ..Self::default()
        }
    }

    /// Makes the kernel ready for what is about to be written. Where it can't be, only node ports
    /// on loopback don't work.
    pub(super) fn prepare(&mut self, syncer: &Syncer<Iptables, HostWriter>, cause: &Cause) {
        let options = syncer.dataplane().options();
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

    /// Tells whoever depends on this node's facts.
    pub(super) fn tell(&mut self, syncer: &Syncer<Iptables, HostWriter>, telemetry: &Telemetry) {
        let tracker = syncer.tracker();
        let addresses = &tracker.facts().local_addresses;
        if self.addresses.as_ref() != Some(addresses) {
            if let Some(cleaner) = syncer.cleaner() {
                cleaner.set_node_addresses(addresses.iter().copied());
            }
            self.addresses = Some(addresses.clone());
        }
        let targets = &syncer.dataplane().options().node_port_targets;
        if self.targets.as_ref() != Some(targets) {
            telemetry.checks.set_targets(targets.clone());
            self.targets = Some(targets.clone());
        }
        let eligible = tracker
            .node()
            .map_or(self.eligible_alone, |node| node.eligible_for_load_balancers);
        if self.eligible != Some(eligible) {
            telemetry.health.set_node_eligible(eligible);
            self.eligible = Some(eligible);
        }
    }
}
