//! The cluster that kube-proxy's golden dumps were taken from.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::path::PathBuf;

use viprule_service::model::{Event, Family, Protocol, Service, ServiceType};
use viprule_source::manifest::Manifests;

fn cluster() -> Vec<Event> {
    let path = PathBuf::from("../../tests/golden/cluster/cluster.yaml");
    let load = Manifests::new([path], Some("node-0".to_owned())).load();
    assert_eq!(load.problems, []);
    load.events
}

fn service(events: &[Event], name: &str) -> Service {
    let found = events.iter().find_map(|event| match event {
        Event::ServiceApplied(service) if service.id.name() == name => Some(service.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no Service {name}"))
}

#[test]
fn events_come_in_their_order() {
    let events = cluster();
    let rank = |event: &Event| match event {
        Event::NodeApplied(_) => 0,
        Event::ServiceApplied(_) => 1,
        Event::SliceApplied(_) => 2,
        other => panic!("{other:?}"),
    };
    let ranks: Vec<_> = events.iter().map(rank).collect();
    assert!(ranks.is_sorted());
    let count = |wanted| ranks.iter().filter(|rank| **rank == wanted).count();
    assert_eq!((count(0), count(1), count(2)), (1, 9, 9));
}

#[test]
fn the_node_is_read() {
    let events = cluster();
    let Event::NodeApplied(node) = &events[0] else {
        panic!("{:?}", events[0]);
    };
    let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.168.77.2", "fd00:77::2"]);
    assert_eq!(node.zone.as_deref(), Some("zone-a"));
    let ranges: Vec<_> = node.pod_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["10.244.0.0/24", "fd00:10:244::/64"]);
    assert!(node.eligible_for_load_balancers);
}

#[test]
fn services_are_read() {
    let events = cluster();
    let edge = service(&events, "edge");
    assert_eq!(edge.id.as_str(), "shop/edge");
    assert_eq!(edge.kind, ServiceType::LoadBalancer);
    assert!(edge.external_policy_local);
    assert!(!edge.internal_policy_local);
    assert_eq!(edge.health_check_node_port, 32040);
    assert_eq!(
        edge.external_ips[..],
        ["198.51.100.40".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(
        edge.load_balancer_ips[..],
        ["203.0.113.40".parse::<std::net::IpAddr>().unwrap()]
    );
    let ranges: Vec<_> = edge.source_ranges.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["203.0.113.0/24", "192.0.2.0/25"]);

    assert!(
        service(&events, "lbproxy").load_balancer_ips.is_empty(),
        "ipMode Proxy"
    );
    assert_eq!(service(&events, "sticky").affinity_seconds, Some(600));
    assert!(service(&events, "agent").internal_policy_local);

    let dual = service(&events, "dual");
    assert_eq!(
        dual.cluster_ip(Family::Ipv4).unwrap().to_string(),
        "10.1.0.80"
    );
    assert_eq!(
        dual.cluster_ip(Family::Ipv6).unwrap().to_string(),
        "fd00:10:1::80"
    );
    assert_eq!(dual.ports[1].protocol, Protocol::Sctp);
    assert_eq!(dual.ports[1].node_port, 30132);
}

#[test]
fn slices_are_read() {
    let events = cluster();
    let slice = |name: &str| {
        let found = events.iter().find_map(|event| match event {
            Event::SliceApplied(slice) if &*slice.id.name == name => Some(slice.clone()),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no slice {name}"))
    };
    let draining = slice("draining-a");
    let conditions = draining.endpoints[0].conditions;
    assert_eq!(
        (conditions.ready, conditions.serving, conditions.terminating),
        (false, true, true)
    );
    assert_eq!(draining.ports[0].port, 8080);

    let zoned = slice("zoned-a");
    assert_eq!(
        *zoned.endpoints[1].hints.as_ref().unwrap().zones[0],
        *"zone-b"
    );
    assert!(
        zoned.endpoints[0].conditions.serving,
        "not said means serving"
    );

    assert_eq!(slice("dual-v6").family, Family::Ipv6);
    let node = zoned.endpoints[0].node.clone().unwrap();
    assert!(std::sync::Arc::ptr_eq(
        &node,
        slice("edge-a").endpoints[0].node.as_ref().unwrap()
    ));
}

#[test]
fn other_nodes_are_none_of_ours() {
    let path = PathBuf::from("../../tests/golden/cluster/cluster.yaml");
    for node in [None, Some("node-1".to_owned())] {
        let load = Manifests::new([path.clone()], node).load();
        assert!(
            !load
                .events
                .iter()
                .any(|event| matches!(event, Event::NodeApplied(_)))
        );
        assert_eq!(load.other_kinds, 1);
    }
}
