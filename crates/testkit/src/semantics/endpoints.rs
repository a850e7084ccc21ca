//! Which endpoints a Service port has for which traffic (contract 1.6, 1.7).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use viprule_service::model::{
    Conditions, Endpoint, EndpointSlice, Family, Hints, Service, ServicePort, WeightKey,
};

use super::cluster::Cluster;
use super::settings::Settings;

/// One endpoint of a Service port, duplicates merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) address: SocketAddr,
    pub(super) local: bool,
    pub(super) node: Option<Arc<str>>,
    conditions: Conditions,
    hints: Option<Box<Hints>>,
}

/// Endpoints for a Service port's kinds of traffic, each in the order of the addresses' text.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    /// For traffic under the Cluster policy.
    pub(super) cluster: Vec<Merged>,
    /// For traffic under the Local policy.
    pub(super) local: Vec<Merged>,
    /// True where some traffic on some node finds an endpoint.
    pub(super) anywhere: bool,
}

/// Which policies a Service port's traffic can be under (contract 1.5).
#[derive(Debug, Clone, Copy)]
pub(super) struct Uses {
    pub(super) cluster: bool,
    pub(super) local: bool,
}

pub(super) fn select(
    service: &Service,
    port: &ServicePort,
    family: Family,
    uses: Uses,
    cluster: &Cluster,
    settings: &Settings,
) -> Selection {
    let all = merge(service, port, family, cluster, settings);
    let ready = |endpoint: &&Merged| endpoint.conditions.ready;
    let draining =
        |endpoint: &&Merged| endpoint.conditions.serving && endpoint.conditions.terminating;
    let local = |endpoint: &&Merged| endpoint.local;

    let mut selection = Selection::default();
    if uses.cluster {
        let all_ready: Vec<Merged> = all.iter().filter(ready).cloned().collect();
        selection.cluster = near(all_ready, cluster.zone(), &settings.node_name);
        if selection.cluster.is_empty() {
            selection.cluster = all.iter().filter(draining).cloned().collect();
        }
    }
    if uses.local {
        selection.local = all.iter().filter(local).filter(ready).cloned().collect();
        if selection.local.is_empty() {
            selection.local = all.iter().filter(local).filter(draining).cloned().collect();
        }
    }
    let usable = all
        .iter()
        .any(|endpoint| ready(&endpoint) || draining(&endpoint));
    selection.anywhere = !selection.cluster.is_empty() || (uses.local && usable);
    selection
}

/// All endpoints of a Service port, whatever their conditions.
pub(super) fn merge(
    service: &Service,
    port: &ServicePort,
    family: Family,
    cluster: &Cluster,
    settings: &Settings,
) -> Vec<Merged> {
    let mine = |slice: &&EndpointSlice| slice.id.service == service.id && slice.family == family;
    let mut merged: BTreeMap<String, Merged> = BTreeMap::new();
    for slice in cluster.slices.iter().filter(mine) {
        let number = slice
            .ports
            .iter()
            .filter(|other| other.name == port.name && other.protocol == port.protocol)
            .map(|other| other.port);
        for number in number {
            for endpoint in &slice.endpoints {
                let new = one(endpoint, number, &settings.node_name);
                let identity = new.address.to_string();
                // Of two of the same address the one that isn't terminating counts.
                let known = merged.get(&identity);
                if known.is_none() || !new.conditions.terminating {
                    merged.insert(identity, new);
                }
            }
        }
    }
    merged.into_values().collect()
}

fn one(endpoint: &Endpoint, port: u16, node_name: &str) -> Merged {
    Merged {
        address: SocketAddr::new(endpoint.address, port),
        local: endpoint.node.as_deref() == Some(node_name),
        node: endpoint.node.clone(),
        conditions: endpoint.conditions,
        hints: endpoint.hints.clone(),
    }
}

/// Ready endpoints that topology hints leave over: those for this node, else those for its zone,
/// else all. Hints count only where every endpoint has some.
fn near(ready: Vec<Merged>, zone: Option<&str>, node: &str) -> Vec<Merged> {
    let names = |hints: &Hints, nodes: bool| {
        if nodes {
            hints.nodes.clone()
        } else {
            hints.zones.clone()
        }
    };
    for (nodes, here) in [(true, Some(node)), (false, zone)] {
        let all_hinted = ready.iter().all(|endpoint| {
            endpoint
                .hints
                .as_ref()
                .is_some_and(|hints| !names(hints, nodes).is_empty())
        });
        let for_here: Vec<Merged> = ready
            .iter()
            .filter(|endpoint| {
                endpoint.hints.as_ref().is_some_and(|hints| {
                    names(hints, nodes).iter().any(|name| Some(&**name) == here)
                })
            })
            .cloned()
            .collect();
        if all_hinted && !for_here.is_empty() {
            return for_here;
        }
    }
    ready
}

/// The weight that a Service gives an endpoint: by its address, else by the smallest network that
/// it is in, else by its node.
pub(super) fn weight(service: &Service, endpoint: &Merged) -> u32 {
    let Some(balancing) = &service.balancing else {
        return 1;
    };
    let ip = endpoint.address.ip();
    let weight = |fits: &dyn Fn(&WeightKey) -> bool| {
        let found = balancing.weights.iter().find(|(key, _)| fits(key));
        found.map(|(_, weight)| u32::from(*weight))
    };
    let in_network = |len: u8| move |key: &WeightKey| matches!(key, WeightKey::Network(net) if net.prefix_len() == len && net.contains(&ip));
    weight(&|key| *key == WeightKey::Address(ip))
        .or_else(|| (0..=128).rev().find_map(|len| weight(&in_network(len))))
        .or_else(|| {
            let node = endpoint.node.as_deref()?;
            weight(&|key| matches!(key, WeightKey::Node(name) if **name == *node))
        })
        .unwrap_or(1)
}
