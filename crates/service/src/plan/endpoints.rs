//! Which endpoints of a port take which traffic (contract 1.7).

use std::net::SocketAddr;

use super::backends::Backend;
use super::terminating::{Tier, usable};
use super::topology::Topology;
use super::traffic_policy::Uses;
use super::{EndpointPlan, NodeFacts, PlanConfig};
use crate::model::Balancing;

/// What is selected of a port's endpoints.
pub(super) struct Selection {
    /// Those that some packet may reach.
    pub(super) endpoints: Vec<EndpointPlan>,
    /// Those on this node that none may reach.
    pub(super) idle_local: Box<[SocketAddr]>,
    /// One is usable, here or elsewhere.
    pub(super) has_endpoints: bool,
}

/// Selects the endpoints that some packet may reach.
pub(super) fn select(
    backends: &[Backend<'_>],
    uses: Uses,
    balancing: Option<&Balancing>,
    config: &PlanConfig,
    facts: &NodeFacts,
) -> Selection {
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
            weight: balancing.map_or(Balancing::DEFAULT_WEIGHT, |balancing| {
                balancing.weight(backend.address.ip(), backend.endpoint.node.as_deref())
            }),
        }
    };
    let reachable = |endpoint: &EndpointPlan| endpoint.in_cluster_set || endpoint.in_local_set;
    let mut endpoints = Vec::with_capacity(backends.len());
    let mut idle_local = Vec::new();
    for endpoint in backends.iter().map(plan) {
        if reachable(&endpoint) {
            endpoints.push(endpoint);
        } else if endpoint.local {
            idle_local.push(endpoint.address);
        }
    }

    // Every port uses one set at least, and a topology never empties the cluster set, so both of
    // the contract's questions have this answer.
    let has_endpoints = backends.iter().any(|backend| usable(conditions(backend)));
    Selection {
        endpoints,
        idle_local: idle_local.into(),
        has_endpoints,
    }
}
