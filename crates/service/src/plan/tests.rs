//! Whole plans: the golden cases and the decision table of contract 1.7, and what 1.4 and 1.5 say
//! about a port.

use super::testing::{
    NODE, NOT_READY, READY, SERVING, STOPPED, config, endpoint, facts, ip, service, slice,
};
use super::*;
use crate::model::{
    Balancing, Endpoint, EndpointSlice, Family, Hints, Service, ServiceType, WeightKey,
};

fn load_balancer() -> Service {
    let mut service = service("a");
    service.kind = ServiceType::LoadBalancer;
    service.load_balancer_ips = [ip("203.0.113.1")].into();
    service.external_policy_local = true;
    service
}

fn port(service: &Service, slices: &[EndpointSlice]) -> PortPlan {
    let plan = plan_service(service, slices, &config(), &facts());
    assert_eq!(plan.ports.len(), 1);
    plan.ports[0].clone()
}

/// Last octets of the two sets.
fn sets(plan: &PortPlan) -> (Vec<u8>, Vec<u8>) {
    let last = |endpoint: &EndpointPlan| match endpoint.address.ip() {
        std::net::IpAddr::V4(ip) => ip.octets()[3],
        std::net::IpAddr::V6(ip) => ip.octets()[15],
    };
    (
        plan.cluster_endpoints().map(last).collect(),
        plan.local_endpoints().map(last).collect(),
    )
}

const A: u8 = 1;
const B: u8 = 2;
const C: u8 = 3;
const D: u8 = 4;
const E: u8 = 5;

/// The endpoints of the golden cases: A and B ready and local, C serving and terminating and
/// local, D terminating and local, E as told and remote.
fn golden(which: &[u8], remote: crate::model::Conditions) -> [EndpointSlice; 1] {
    let mut slice = slice("s", []);
    slice.endpoints = which
        .iter()
        .map(|&letter| {
            let address = format!("10.0.0.{letter}");
            match letter {
                A | B => endpoint(&address, READY, NODE),
                C => endpoint(&address, SERVING, NODE),
                D => endpoint(&address, STOPPED, NODE),
                _ => endpoint(&address, remote, "other"),
            }
        })
        .collect();
    [slice]
}

#[test]
fn golden_ready_endpoints_serve_by_both_policies() {
    let plan = port(&load_balancer(), &golden(&[A, B, C, D, E], READY));
    assert_eq!(sets(&plan), (vec![A, B, E], vec![A, B]));
    assert_eq!(plan.internal_unreachable(), None);
    assert_eq!(plan.external_unreachable(), None);
    assert_eq!(
        plan.endpoints.iter().map(|e| e.local).collect::<Vec<_>>(),
        [true, true, false]
    );
}

#[test]
fn golden_each_policy_falls_back_to_terminating_endpoints_on_its_own() {
    let plan = port(&load_balancer(), &golden(&[C, D, E], READY));
    assert_eq!(sets(&plan), (vec![E], vec![C]));
    assert_eq!(plan.endpoints.len(), 2);
}

#[test]
fn golden_a_remote_terminating_endpoint_serves_the_cluster_ip_only() {
    let plan = port(&load_balancer(), &golden(&[E], SERVING));
    assert_eq!(sets(&plan), (vec![E], vec![]));
    assert_eq!(plan.internal_unreachable(), None);
    assert_eq!(
        plan.external_unreachable(),
        Some(Unreachable::NoLocalEndpoints)
    );
}

#[test]
fn golden_endpoints_that_no_longer_answer_refuse_both() {
    let plan = port(&load_balancer(), &golden(&[D], READY));
    assert!(plan.endpoints.is_empty());
    assert!(!plan.has_endpoints);
    assert_eq!(plan.internal_unreachable(), Some(Unreachable::NoEndpoints));
    assert_eq!(plan.external_unreachable(), Some(Unreachable::NoEndpoints));
}

#[test]
fn without_slices_everything_refuses() {
    let plan = port(&load_balancer(), &[]);
    assert_eq!(plan.internal_unreachable(), Some(Unreachable::NoEndpoints));
    assert_eq!(plan.external_unreachable(), Some(Unreachable::NoEndpoints));
}

#[test]
fn an_endpoint_that_is_not_ready_is_not_used_even_alone() {
    let slices = [slice("s", [endpoint("10.0.0.1", NOT_READY, NODE)])];
    let plan = port(&load_balancer(), &slices);
    assert!(plan.endpoints.is_empty() && !plan.has_endpoints);
}

#[test]
fn internal_local_without_local_endpoints_drops_and_lists_no_endpoint() {
    let mut service = service("a");
    service.internal_policy_local = true;
    let plan = port(&service, &golden(&[E], READY));
    assert_eq!(sets(&plan), (vec![], vec![]));
    assert!(plan.has_endpoints);
    assert_eq!(
        plan.internal_unreachable(),
        Some(Unreachable::NoLocalEndpoints)
    );
}

#[test]
fn internal_local_and_external_cluster_use_both_sets() {
    let mut service = load_balancer();
    service.internal_policy_local = true;
    service.external_policy_local = false;
    let plan = port(&service, &golden(&[A, E], READY));
    assert_eq!(sets(&plan), (vec![A, E], vec![A]));
    let none_local = port(&service, &golden(&[E], READY));
    assert_eq!(
        none_local.internal_unreachable(),
        Some(Unreachable::NoLocalEndpoints)
    );
    assert_eq!(none_local.external_unreachable(), None);
}

#[test]
fn external_local_without_any_external_frontend_uses_no_local_set() {
    let mut service = load_balancer();
    service.load_balancer_ips = [].into();
    let plan = port(&service, &golden(&[A, C, E], READY));
    assert_eq!(sets(&plan), (vec![A, E], vec![]));
    assert!(plan.external_local);
}

#[test]
fn topology_filters_the_cluster_set_and_never_the_local_one() {
    let hinted = |address, node, zone: &str| Endpoint {
        hints: Some(Box::new(Hints {
            zones: [zone.into()].into(),
            nodes: [].into(),
        })),
        ..endpoint(address, READY, node)
    };
    let slices = [slice(
        "s",
        [
            hinted("10.0.0.1", NODE, "west"),
            hinted("10.0.0.2", "other", "east"),
            hinted("10.0.0.5", "far", "west"),
        ],
    )];
    let plan = port(&load_balancer(), &slices);
    assert_eq!(sets(&plan), (vec![2], vec![1]));
    assert_eq!(plan.endpoints.len(), 2);
}

#[test]
fn terminating_endpoints_serve_without_regard_to_topology() {
    let hinted = |address, zone: &str| Endpoint {
        hints: Some(Box::new(Hints {
            zones: [zone.into()].into(),
            nodes: [].into(),
        })),
        ..endpoint(address, SERVING, "other")
    };
    let slices = [slice(
        "s",
        [hinted("10.0.0.1", "west"), hinted("10.0.0.2", "east")],
    )];
    assert_eq!(sets(&port(&service("a"), &slices)).0, [1, 2]);
}

#[test]
fn external_ips_that_are_switched_off_still_count_as_access_from_outside() {
    let mut service = service("a");
    service.external_ips = [ip("198.51.100.1")].into();
    service.external_policy_local = true;
    let off = PlanConfig {
        allow_external_ips: false,
        ..config()
    };
    let plan = plan_service(&service, &golden(&[A, E], READY), &off, &facts());
    assert!(plan.ports[0].external_ips.is_empty());
    assert_eq!(sets(&plan.ports[0]), (vec![A, E], vec![A]));
    assert_eq!(port(&service, &[]).external_ips, [ip("198.51.100.1")]);
}

#[test]
fn external_ips_of_the_other_family_give_no_access_from_outside() {
    let mut service = service("a");
    service.external_ips = [ip("2001:db8::1")].into();
    service.external_policy_local = true;
    let plan = port(&service, &golden(&[A, E], READY));
    assert!(
        plan.external_local,
        "the policy asks for external IPs of any family"
    );
    assert_eq!(sets(&plan), (vec![A, E], vec![]));
}

#[test]
fn load_balancer_ips_and_node_ports_are_honoured_on_any_type() {
    let mut service = service("a");
    service.load_balancer_ips = [ip("203.0.113.1"), ip("2001:db8::1")].into();
    service.ports[0].node_port = 30_080;
    service.affinity_seconds = Some(10_800);
    let plan = port(&service, &[]);
    assert_eq!(plan.load_balancer_ips, [ip("203.0.113.1")]);
    assert_eq!(
        (plan.node_port, plan.affinity_seconds),
        (30_080, Some(10_800))
    );
}

#[test]
fn ports_are_planned_ipv4_first_in_the_services_order() {
    let mut service = service("a");
    service.cluster_ips = [ip("fd00:1::1"), ip("10.1.0.1")].into();
    let metrics = crate::model::ServicePort {
        name: "metrics".into(),
        port: 9,
        ..service.ports[0].clone()
    };
    service.ports = [metrics, service.ports[0].clone()].into();
    let plan = plan_service(&service, &[], &config(), &facts());
    let ports: Vec<(Family, &str)> = plan.ports.iter().map(|p| (p.family, &*p.name)).collect();
    let expected = [
        (Family::Ipv4, "metrics"),
        (Family::Ipv4, "http"),
        (Family::Ipv6, "metrics"),
        (Family::Ipv6, "http"),
    ];
    assert_eq!(ports, expected);
    assert_eq!(plan.ports[2].cluster_ip, ip("fd00:1::1"));
}

#[test]
fn a_service_of_one_family_plans_no_port_in_the_other() {
    let mut service = service("a");
    service.cluster_ips = [ip("fd00:1::1")].into();
    let mut v6 = slice("s6", [endpoint("fd00::7", READY, NODE)]);
    v6.family = Family::Ipv6;
    let plan = port(
        &service,
        &[slice("s4", [endpoint("10.0.0.1", READY, NODE)]), v6],
    );
    assert_eq!(plan.family, Family::Ipv6);
    assert_eq!(sets(&plan).0, [7]);
}

#[test]
fn source_ranges_say_whether_the_node_is_inside() {
    let mut service = load_balancer();
    service.source_ranges = ["192.0.2.0/24".parse().unwrap(), "fd00::/8".parse().unwrap()].into();
    let plan = port(&service, &[]);
    assert_eq!(plan.source_ranges, ["192.0.2.0/24".parse().unwrap()]);
    assert!(plan.source_ranges_hold_node);
    service.source_ranges = ["198.51.100.0/24".parse().unwrap()].into();
    assert!(!port(&service, &[]).source_ranges_hold_node);
}

#[test]
fn the_health_check_port_is_there_without_endpoints() {
    let mut service = load_balancer();
    service.health_check_node_port = 32_000;
    let plan = plan_service(&service, &[], &config(), &facts());
    assert_eq!(plan.ports[0].health_check_node_port, 32_000);
    assert_eq!(
        plan.health_check,
        Some(HealthCheck {
            created: service.created,
            port: 32_000,
            local_endpoints: [0, 0]
        })
    );
}

#[test]
fn endpoints_follow_the_text_of_their_addresses() {
    let addresses = ["10.0.0.2", "10.0.0.10", "10.0.0.1", "9.0.0.1", "10.0.0.100"];
    let slices = [slice(
        "s",
        addresses.map(|address| endpoint(address, READY, NODE)),
    )];
    let plan = port(&service("a"), &slices);
    let texts: Vec<String> = plan
        .endpoints
        .iter()
        .map(|e| e.address.to_string())
        .collect();
    let mut sorted = texts.clone();
    sorted.sort();
    assert_eq!(texts, sorted);
    assert_eq!(texts[0], "10.0.0.100:8080");
}

#[test]
fn local_endpoints_that_take_no_traffic_are_named_apart() {
    let mut slices = golden(&[A, C, D, E], READY);
    let endpoints = std::mem::take(&mut slices[0].endpoints).into_vec();
    let more = endpoint("10.0.0.9", NOT_READY, NODE);
    let elsewhere = endpoint("10.0.0.8", NOT_READY, "other");
    slices[0].endpoints = endpoints.into_iter().chain([more, elsewhere]).collect();
    let plan = port(&service("a"), &slices);
    assert_eq!(sets(&plan), (vec![A, E], vec![]));
    let idle: Vec<String> = plan
        .idle_local_endpoints
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(idle, ["10.0.0.3:8080", "10.0.0.4:8080", "10.0.0.9:8080"]);
}

#[test]
fn endpoints_have_the_weights_that_the_service_gives_them() {
    let slices = golden(&[A, B, E], READY);
    let weights = |service: &Service| -> Vec<u16> {
        let plan = port(service, &slices);
        plan.endpoints
            .iter()
            .map(|endpoint| endpoint.weight)
            .collect()
    };
    let mut service = service("a");
    assert_eq!(weights(&service), [1, 1, 1]);
    let plan = plan_service(&service, &slices, &config(), &facts());
    assert_eq!(plan.scheduler, None);

    let keys = [
        (WeightKey::Address(ip("10.0.0.2")), 7),
        (WeightKey::Node("other".into()), 9),
    ];
    service.balancing = Some(Box::new(Balancing {
        weights: keys.into(),
        ..Balancing::default()
    }));
    assert_eq!(weights(&service), [1, 7, 9]);
    let plan = plan_service(&service, &slices, &config(), &facts());
    let wish = plan.scheduler.unwrap();
    assert!(wish.weighted && wish.name.is_none() && wish.flags.is_none());
}
