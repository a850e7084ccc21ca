//! What has to follow this node's facts besides the rules.

use std::net::IpAddr;

use viprule_dataplane::Dataplane;
use viprule_service::model::Family;
use viprule_service::plan::NodePortTargets;
use viprule_sync::Syncer;

use super::telemetry::Telemetry;
use crate::config::Resolved;

/// What was told last, so that only changes are.
#[derive(Debug, Default)]
pub(super) struct NodeReport {
    /// What to think of a node without a Node object.
    eligible_alone: bool,
    addresses: Option<Vec<IpAddr>>,
    targets: Option<[NodePortTargets; 2]>,
    eligible: Option<bool>,
}

impl NodeReport {
    /// `eligible_alone`: load balancers may send traffic though there is no Node object, as there
    /// is no cluster that should have one.
    pub(super) fn new(eligible_alone: bool) -> Self {
        Self {
            eligible_alone,
            ..Self::default()
        }
    }

    /// Tells whoever depends on this node's facts.
    pub(super) fn tell<D: Dataplane, W>(
        &mut self,
        syncer: &Syncer<D, W>,
        resolved: &Resolved,
        telemetry: &Telemetry,
    ) {
        let tracker = syncer.tracker();
        let addresses = &tracker.facts().local_addresses;
        if self.addresses.as_ref() != Some(addresses) {
            if let Some(cleaner) = syncer.cleaner() {
                cleaner.set_node_addresses(addresses.iter().copied());
            }
            self.addresses = Some(addresses.clone());
        }
        let chosen = &resolved.common.node_port_addresses;
        let targets = Family::ALL.map(|family| chosen.targets(family, tracker.facts()));
        if self.targets.as_ref() != Some(&targets) {
            telemetry.checks.set_targets(targets.clone());
            self.targets = Some(targets);
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
