//! Endpoint selection against contract 1.7, stated a second time, set by set.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use viprule_service::model::{Endpoint, EndpointSlice, Family, Service, ServiceType};
use viprule_service::plan::{NodeFacts, PlanConfig, PortPlan, plan_service};

use crate::world::{NODE, config, service, slice};

type Set = BTreeSet<SocketAddr>;

/// The endpoints of one port, by address.
fn merged<'a>(slices: &'a [EndpointSlice], port: &PortPlan) -> BTreeMap<SocketAddr, &'a Endpoint> {
    let mut merged: BTreeMap<SocketAddr, &Endpoint> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| slice.family == port.family) {
        for number in &slice.ports {
            if number.name != port.name || number.protocol != port.protocol {
                continue;
            }
            for endpoint in &slice.endpoints {
                let address = SocketAddr::new(endpoint.address, number.port);
                if !merged.contains_key(&address) || !endpoint.conditions.terminating {
                    merged.insert(address, endpoint);
                }
            }
        }
    }
    merged
}

fn where_(all: &BTreeMap<SocketAddr, &Endpoint>, rule: impl Fn(&Endpoint) -> bool) -> Set {
    all.iter()
        .filter(|(_, endpoint)| rule(endpoint))
        .map(|(address, _)| *address)
        .collect()
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.ready
}

fn is_dying_well(endpoint: &Endpoint) -> bool {
    endpoint.conditions.serving && endpoint.conditions.terminating
}

fn is_local(endpoint: &Endpoint) -> bool {
    endpoint.node.as_deref() == Some(NODE)
}

fn zones(endpoint: &Endpoint) -> Vec<&str> {
    endpoint
        .hints
        .iter()
        .flat_map(|hints| hints.zones.iter().map(|name| &**name))
        .collect()
}

fn nodes(endpoint: &Endpoint) -> Vec<&str> {
    endpoint
        .hints
        .iter()
        .flat_map(|hints| hints.nodes.iter().map(|name| &**name))
        .collect()
}

fn cluster_set(all: &BTreeMap<SocketAddr, &Endpoint>, zone: &str) -> Set {
    let ready = where_(all, is_ready);
    let here = where_(all, |e| is_ready(e) && nodes(e).contains(&NODE));
    if where_(all, |e| is_ready(e) && !nodes(e).is_empty()) == ready && !here.is_empty() {
        return here;
    }
    let same_zone = where_(all, |e| is_ready(e) && zones(e).contains(&zone));
    if where_(all, |e| is_ready(e) && !zones(e).is_empty()) == ready && !same_zone.is_empty() {
        return same_zone;
    }
    if ready.is_empty() {
        where_(all, is_dying_well)
    } else {
        ready
    }
}

fn local_set(all: &BTreeMap<SocketAddr, &Endpoint>) -> Set {
    let ready = where_(all, |e| is_local(e) && is_ready(e));
    if ready.is_empty() {
        where_(all, |e| is_local(e) && is_dying_well(e))
    } else {
        ready
    }
}

fn check_port(
    service: &Service,
    slices: &[EndpointSlice],
    zone: &str,
    port: &PortPlan,
) -> Result<(), TestCaseError> {
    let all = merged(slices, port);
    let of_family = |ips: &[std::net::IpAddr]| ips.iter().any(|ip| Family::of(ip) == port.family);
    let accessible = port.node_port != 0
        || of_family(&service.load_balancer_ips)
        || of_family(&service.external_ips);
    let typed = service.kind != ServiceType::ClusterIp || !service.external_ips.is_empty();
    let external_local = service.external_policy_local && typed;
    prop_assert_eq!(port.external_local, external_local);
    let uses_cluster = !service.internal_policy_local || accessible;
    let uses_local = service.internal_policy_local || (external_local && accessible);

    let cluster = if uses_cluster {
        cluster_set(&all, zone)
    } else {
        Set::new()
    };
    let local = if uses_local {
        local_set(&all)
    } else {
        Set::new()
    };
    let addresses = |set: &mut dyn Iterator<Item = SocketAddr>| set.collect::<Set>();
    prop_assert_eq!(
        addresses(&mut port.cluster_endpoints().map(|e| e.address)),
        cluster.clone()
    );
    prop_assert_eq!(
        addresses(&mut port.local_endpoints().map(|e| e.address)),
        local.clone()
    );
    let union: Set = cluster.union(&local).copied().collect();
    prop_assert_eq!(port.endpoints.len(), union.len());
    let idle: Set = where_(&all, is_local).difference(&union).copied().collect();
    prop_assert_eq!(
        addresses(&mut port.idle_local_endpoints.iter().copied()),
        idle
    );
    let anywhere = all.values().any(|e| is_ready(e) || is_dying_well(e));
    prop_assert_eq!(
        port.has_endpoints,
        !cluster.is_empty() || (uses_local && anywhere)
    );

    let texts: Vec<String> = port
        .endpoints
        .iter()
        .map(|e| e.address.to_string())
        .collect();
    prop_assert!(texts.is_sorted());
    for endpoint in &port.endpoints {
        prop_assert_eq!(endpoint.local, is_local(all[&endpoint.address]));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn sets_are_those_of_the_contract(
        service in service("a"),
        slices in vec(slice("a", "s"), 0..4),
        zone in prop_oneof!["east", "west", Just("north".to_owned())],
        gate: bool,
    ) {
        let facts = NodeFacts { zone: Some(zone.clone()), ..NodeFacts::default() };
        let config: PlanConfig = config(gate);
        let plan = plan_service(&service, &slices, &config, &facts);
        prop_assert_eq!(plan.ports.len(), service.ports.len() * service.cluster_ips.len());
        for port in &plan.ports {
            check_port(&service, &slices, &zone, port)?;
        }
    }
}
