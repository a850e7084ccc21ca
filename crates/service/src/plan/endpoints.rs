//! Which endpoints of a port take which traffic (contract 1.7).

use super::backends::Backend;
use super::terminating::{Tier, usable};
use super::topology::Topology;
use super::traffic_policy::Uses;
use super::{EndpointPlan, NodeFacts, PlanConfig};

/// The endpoints that some packet may reach, and whether one is usable anywhere.
pub(super) fn select(
    backends: &[Backend<'_>],
    uses: Uses,
    config: &PlanConfig,
    facts: &NodeFacts,
) -> (Vec<EndpointPlan>, bool) {
    let node = config.node_name.as_str();
    let conditions = |backend: &Backend<'_>| backend.endpoint.conditions;
    let ready = backends
        .iter()
        .map(|b| b.endpoint)
        .filter(|e| e.conditions.ready);

    // Each set falls back to terminating endpoints on its own.
    let cluster_tier = Tier::of(backends.iter().map(|b| &b.endpoint.conditions));
    let local = backends.iter().filter(|backend| backend.is_on(node));
    let local_tier = Tier::of(local.map(|b| &b.endpoint.conditions));
    let topology = match cluster_tier {
        Tier::Ready => Topology::of(&ready, node, facts.zone.as_deref()),
        Tier::ServingTerminating => Topology::Anywhere,
    };

    let plan = |backend: &Backend<'_>| {
        let local = backend.is_on(node);
        EndpointPlan {
            address: backend.address,
            local,
            in_cluster_set: uses.cluster
                && cluster_tier.admits(conditions(backend))
                && topology.admits(backend.endpoint),
            in_local_set: uses.local && local && local_tier.admits(conditions(backend)),
        }
    };
    let reachable = |endpoint: &EndpointPlan| endpoint.in_cluster_set || endpoint.in_local_set;
    let mut endpoints = Vec::with_capacity(backends.len());
    endpoints.extend(backends.iter().map(plan).filter(reachable));

    // Every port uses one set at least, and a topology never empties the cluster set, so both of
    // the contract's questions have this answer.
    let has_endpoints = backends.iter().any(|backend| usable(conditions(backend)));
    (endpoints, has_endpoints)
}
