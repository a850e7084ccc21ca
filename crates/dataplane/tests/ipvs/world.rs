//! A node, a Service and what they are rendered to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use viprule_dataplane::ipvs::{Desired, Ipvs, Key, Object, Settings, line};
use viprule_dataplane::{Dataplane as _, State};
use viprule_service::model::{
    Conditions, Endpoint, EndpointSlice, Family, Protocol, Service, ServiceId, ServicePort,
    ServiceType, SliceId, SlicePort,
};
use viprule_service::plan::{NodeFacts, PlanConfig, ServicePlan, plan_service};

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) const READY: Conditions = Conditions {
    ready: true,
    serving: true,
    terminating: false,
};
pub(crate) const NOT_READY: Conditions = Conditions {
    ready: false,
    serving: false,
    terminating: false,
};

/// The node `here` with 192.0.2.1, a loopback and a link-local address.
pub(crate) fn facts() -> NodeFacts {
    NodeFacts {
        node_ip: [Some(ip("192.0.2.1")), None],
        local_addresses: ["127.0.0.1", "192.0.2.1", "::1", "fe80::1"].map(ip).into(),
        ..NodeFacts::default()
    }
}

/// 10.1.0.1:80, a `LoadBalancer`, TCP, without node port.
pub(crate) fn service() -> Service {
    Service {
        id: ServiceId::new("shop", "web").unwrap(),
        kind: ServiceType::LoadBalancer,
        cluster_ips: [ip("10.1.0.1")].into(),
        ports: [ServicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: 0,
        }]
        .into(),
        external_ips: [].into(),
        load_balancer_ips: [].into(),
        source_ranges: [].into(),
        affinity_seconds: None,
        internal_policy_local: false,
        external_policy_local: false,
        health_check_node_port: 0,
        balancing: None,
    }
}

/// Endpoints at port 8080: address, node, conditions.
pub(crate) fn plan_with(
    service: &Service,
    endpoints: &[(&str, &str, Conditions)],
    facts: &NodeFacts,
) -> ServicePlan {
    let slice = EndpointSlice {
        id: SliceId::new(service.id.clone(), "web-1").unwrap(),
        family: Family::Ipv4,
        ports: [SlicePort {
            name: "http".into(),
            protocol: service.ports[0].protocol,
            port: 8080,
        }]
        .into(),
        endpoints: endpoints
            .iter()
            .map(|(address, node, conditions)| Endpoint {
                address: ip(address),
                conditions: *conditions,
                node: Some((*node).into()),
                hints: None,
            })
            .collect(),
    };
    let config = PlanConfig {
        node_name: "here".to_owned(),
        bind_address: None,
        allow_external_ips: true,
    };
    plan_service(service, &[slice], &config, facts)
}

/// The same with an endpoint here and one elsewhere.
pub(crate) fn plan(service: &Service) -> ServicePlan {
    let endpoints = [("10.2.0.5", "here", READY), ("10.2.1.5", "there", READY)];
    plan_with(service, &endpoints, &facts())
}

/// What the tools print of a Service's objects; rules behind their chain's name.
pub(crate) fn texts(state: &Desired) -> BTreeSet<String> {
    let text = |(key, object): &(Key, Object)| match (key, object) {
        (Key::Netfilter(key), Object::Netfilter(object)) => object
            .rules()
            .iter()
            .map(|rule| format!("{} {rule}", key.chain_name()))
            .collect(),
        _ => line(key, object).into_iter().collect::<Vec<_>>(),
    };
    state.iter().flat_map(text).collect()
}

pub(crate) fn render(service: &Service, settings: Settings) -> BTreeSet<String> {
    texts(&Ipvs::new(settings, &facts()).service(&plan(service)))
}

/// Those lines that have all of these words.
pub(crate) fn about(texts: &BTreeSet<String>, words: &[&str]) -> Vec<String> {
    texts
        .iter()
        .filter(|text| words.iter().all(|word| text.contains(word)))
        .cloned()
        .collect()
}

/// A dataplane that has written these Services.
pub(crate) fn with_services(settings: Settings, services: &[Service]) -> Ipvs {
    let mut dataplane = Ipvs::new(settings, &facts());
    for service in services {
        let state = dataplane.service(&plan(service)).fingerprints();
        dataplane.settled(&State::default(), &state);
    }
    dataplane
}
