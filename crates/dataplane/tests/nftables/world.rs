//! A node, a Service and what they are rendered to.

use std::collections::BTreeSet;

use viprule_dataplane::Dataplane as _;
use viprule_dataplane::netfilter::SourcePorts;
use viprule_dataplane::nftables::{Desired, ElementContent, Key, Nftables, Object, Settings};
use viprule_dataplane::{CommonSettings, DetectLocal};
use viprule_service::model::{Conditions, Family, Service};
use viprule_service::plan::{Budgets, NodeFacts, PlanConfig, ServicePlan, plan_service};
use viprule_testkit::objects::{self, endpoint, slice};
pub(crate) use viprule_testkit::objects::{DRAINING, READY, ip};

/// The node `here` with 192.0.2.1 and `2001:db8::1`, a loopback and a link-local address.
pub(crate) fn facts() -> NodeFacts {
    let mut local_addresses: Vec<_> = [
        "127.0.0.1",
        "192.0.2.1",
        "192.0.2.9",
        "::1",
        "2001:db8::1",
        "fe80::1",
    ]
    .map(ip)
    .into();
    local_addresses.sort_unstable();
    NodeFacts {
        node_ip: [Some(ip("192.0.2.1")), Some(ip("2001:db8::1"))],
        local_addresses,
        pod_cidrs: ["10.2.0.0/24", "fd00:2::/64"]
            .map(|net| net.parse().unwrap())
            .into(),
        ..NodeFacts::default()
    }
}

/// Pods' networks are known, and which ports are node ports.
pub(crate) fn settings() -> Settings {
    let pods = ["10.2.0.0/16", "fd00:2::/56"].map(|net| net.parse().unwrap());
    Settings {
        common: CommonSettings {
            source_ports: SourcePorts::outside(&(30000..=32767)),
            detect_local: DetectLocal::ClusterCidr(pods.into()),
            ..CommonSettings::default()
        },
    }
}

/// 10.1.0.1:80, a `LoadBalancer`, TCP, without node port.
pub(crate) fn service() -> Service {
    objects::service("web", &[ip("10.1.0.1")])
}

/// Endpoints at port 8080: address, node, conditions.
pub(crate) fn plan_with(service: &Service, endpoints: &[(&str, &str, Conditions)]) -> ServicePlan {
    let of_family = |family| {
        let endpoints = endpoints.iter();
        let own = endpoints.filter(|(address, ..)| Family::of(&ip(address)) == family);
        let all =
            own.map(|(address, node, conditions)| endpoint(ip(address), Some(node), *conditions));
        let mut slice = slice(&service.id, family, all.collect());
        slice.ports[0].protocol = service.ports[0].protocol;
        slice
    };
    let config = PlanConfig {
        node_name: "here".to_owned(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
    };
    plan_service(service, &Family::ALL.map(of_family), &config, &facts())
}

/// The same with an endpoint here and two elsewhere.
pub(crate) fn plan(service: &Service) -> ServicePlan {
    let endpoints = [
        ("10.2.0.5", "here", READY),
        ("10.2.1.5", "there", READY),
        ("10.2.2.5", "there", READY),
    ];
    plan_with(service, &endpoints)
}

pub(crate) fn dataplane() -> Nftables {
    Nftables::new(settings(), &facts())
}

/// What is said of each object: elements as `SET: ELEMENT = VALUE`, without the table.
pub(crate) fn texts(state: &Desired) -> BTreeSet<String> {
    let text = |(key, object): &(Key, Object)| {
        let name = key.to_string().replace(" ip viprule ", " ");
        let name = name.strip_prefix("set ").unwrap_or(&name);
        match object {
            Object::Element(ElementContent::Named(name_of)) => format!("{name} = {name_of:?}"),
            Object::Element(ElementContent::Endpoint(to)) => format!("{name} = {to}"),
            // Ids are what they are.
            Object::Element(ElementContent::Id(_)) => format!("{name} = id"),
            _ => name.to_owned(),
        }
    };
    state.iter().map(text).collect()
}

pub(crate) fn render(plan: &ServicePlan) -> BTreeSet<String> {
    texts(&dataplane().service(plan))
}

/// The whole desired state with these.
pub(crate) fn with_plans(dataplane: &Nftables, plans: &[ServicePlan]) -> Desired {
    dataplane.desired(plans.iter().map(|plan| dataplane.service(plan)))
}
