//! A node, a Service and what they are rendered to.

use std::collections::BTreeSet;

use viprule_dataplane::Dataplane as _;
use viprule_dataplane::ipvs::{Desired, Ipvs, Key, Object, Settings, line};
use viprule_service::model::{Conditions, Family, Service};
use viprule_service::plan::{Budgets, NodeFacts, PlanConfig, ServicePlan, plan_service};
use viprule_testkit::objects::{self, endpoint, slice};
pub(crate) use viprule_testkit::objects::{NOT_READY, READY, ip};

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
    objects::service("web", &[ip("10.1.0.1")])
}

/// Endpoints at port 8080: address, node, conditions.
pub(crate) fn plan_with(
    service: &Service,
    endpoints: &[(&str, &str, Conditions)],
    facts: &NodeFacts,
) -> ServicePlan {
    let endpoints = endpoints.iter();
    let endpoints =
        endpoints.map(|(address, node, conditions)| endpoint(ip(address), Some(node), *conditions));
    let mut slice = slice(&service.id, Family::Ipv4, endpoints.collect());
    slice.ports[0].protocol = service.ports[0].protocol;
    let config = PlanConfig {
        node_name: "here".to_owned(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
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

/// Everything that is there where these Services are.
pub(crate) fn with_services(settings: Settings, services: &[Service]) -> Desired {
    let dataplane = Ipvs::new(settings, &facts());
    let services = services.iter();
    dataplane.desired(services.map(|service| dataplane.service(&plan(service))))
}
