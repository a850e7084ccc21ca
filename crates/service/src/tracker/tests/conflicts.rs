//! Who has a frontend that several Services ask for.

use std::net::IpAddr;

use super::{at, marked, tracker};
use crate::model::{CreationTime, Event, Service, ServicePort};
use crate::plan::testing::{id, ip, service};
use crate::tracker::Tracker;

#[test]
fn the_first_service_by_name_keeps_a_cluster_ip() {
    let mut tracker = tracker([Event::ServiceApplied(service("b"))]);
    tracker.apply(Event::ServiceApplied(service("c")));
    let changes = tracker.take_changes();
    assert_eq!(changes.services.into_iter().collect::<Vec<_>>(), [id("c")]);
    assert_eq!(
        changes.conflicts[0].to_string(),
        "cluster IP 10.1.0.1:80/tcp of ns/c belongs to ns/b; change one of the two Services"
    );
    assert!(tracker.plan(&id("c")).unwrap().ports.is_empty());

    // A smaller name takes it over; both are planned anew.
    assert_eq!(
        marked(&mut tracker, Event::ServiceApplied(service("a"))),
        [id("a"), id("b")]
    );
    assert!(tracker.plan(&id("b")).unwrap().ports.is_empty());
    assert_eq!(tracker.plan(&id("a")).unwrap().ports.len(), 1);
    assert_eq!(tracker.conflicts().count(), 2);

    // The next in line inherits.
    assert_eq!(
        marked(&mut tracker, Event::ServiceDeleted(id("a"))),
        [id("a"), id("b")]
    );
    assert_eq!(tracker.plan(&id("b")).unwrap().ports.len(), 1);
    assert_eq!(
        marked(&mut tracker, Event::ServiceDeleted(id("c"))),
        [id("c")]
    );
    assert_eq!(tracker.conflicts().count(), 0);
}

#[test]
fn a_lost_node_port_leaves_the_rest_of_the_port() {
    let with_node_port = |name, cluster_ip| {
        let mut service = at(name, cluster_ip);
        service.ports[0].node_port = 30_080;
        service
    };
    let tracker = tracker([
        Event::ServiceApplied(with_node_port("b", "10.1.0.2")),
        Event::ServiceApplied(with_node_port("a", "10.1.0.1")),
    ]);
    assert_eq!(tracker.plan(&id("a")).unwrap().ports[0].node_port, 30_080);
    assert_eq!(tracker.plan(&id("b")).unwrap().ports[0].node_port, 0);
    let conflict = tracker.conflicts().next().unwrap();
    assert_eq!((conflict.owner, conflict.loser), (id("a"), id("b")));
}

#[test]
fn one_node_port_in_two_families_is_no_conflict() {
    let with_node_port = |name, cluster_ip| {
        let mut service = at(name, cluster_ip);
        service.ports[0].node_port = 30_080;
        Event::ServiceApplied(service)
    };
    let tracker = tracker([
        with_node_port("a", "10.1.0.1"),
        with_node_port("b", "fd00:1::1"),
    ]);
    assert_eq!(tracker.conflicts().count(), 0);
}

/// A Service with an external IP.
fn external(name: &str, cluster_ip: &str, external_ip: &str) -> Service {
    let mut service = at(name, cluster_ip);
    service.external_ips = [ip(external_ip)].into();
    service
}

fn applied(services: impl IntoIterator<Item = Service>) -> Tracker {
    tracker(services.into_iter().map(Event::ServiceApplied))
}

/// The addresses of a Service beside its cluster IP.
fn external_of(tracker: &Tracker, name: &str) -> Vec<IpAddr> {
    let plan = tracker.plan(&id(name)).unwrap();
    let ports = plan.ports.iter();
    ports
        .flat_map(|port| [&port.external_ips[..], &port.load_balancer_ips[..]].concat())
        .collect()
}

fn messages(tracker: &Tracker) -> Vec<String> {
    tracker.conflicts().map(|it| it.to_string()).collect()
}

#[test]
fn a_cluster_ip_is_its_services_whoever_came_first() {
    let taker = external("a", "10.1.0.2", "10.1.0.1");
    for services in [
        [taker.clone(), service("dns")],
        [service("dns"), taker.clone()],
    ] {
        let tracker = applied(services);
        assert_eq!(external_of(&tracker, "a"), [""; 0].map(ip));
        assert_eq!(tracker.plan(&id("a")).unwrap().ports.len(), 1);
        assert_eq!(tracker.plan(&id("dns")).unwrap().ports.len(), 1);
        assert_eq!(
            messages(&tracker),
            [
                "external IP 10.1.0.1:80/tcp of ns/a belongs to ns/dns as its cluster IP; change \
                 one of the two Services"
            ]
        );
    }
}

#[test]
fn a_load_balancer_ip_comes_before_external_ips() {
    let mut balanced = at("b", "10.1.0.2");
    balanced.load_balancer_ips = [ip("203.0.113.1")].into();
    let tracker = applied([external("a", "10.1.0.1", "203.0.113.1"), balanced]);
    assert_eq!(external_of(&tracker, "a"), [""; 0].map(ip));
    assert_eq!(external_of(&tracker, "b"), [ip("203.0.113.1")]);
}

#[test]
fn among_equals_the_oldest_service_has_an_address() {
    let created = |name, cluster_ip, seconds| Service {
        created: CreationTime::at(seconds),
        ..external(name, cluster_ip, "198.51.100.1")
    };
    let mut tracker = applied([
        external("a", "10.1.0.1", "198.51.100.1"),
        created("b", "10.1.0.2", 20),
        created("c", "10.1.0.3", 10),
    ]);
    assert_eq!(external_of(&tracker, "c"), [ip("198.51.100.1")]);
    assert_eq!(tracker.conflicts().count(), 2);
    tracker.take_changes();
    let gone = Event::ServiceDeleted(id("c"));
    assert_eq!(marked(&mut tracker, gone), [id("b"), id("c")]);
    assert_eq!(external_of(&tracker, "b"), [ip("198.51.100.1")]);
    // One that is made anew is the youngest.
    tracker.apply(Event::ServiceApplied(created("c", "10.1.0.3", 30)));
    assert_eq!(external_of(&tracker, "c"), [""; 0].map(ip));
}

#[test]
fn other_ports_of_a_shared_address_stay() {
    let mut other = external("b", "10.1.0.2", "198.51.100.1");
    other.ports[0].port = 443;
    let tracker = applied([external("a", "10.1.0.1", "198.51.100.1"), other]);
    assert_eq!(tracker.conflicts().count(), 0);
    for name in ["a", "b"] {
        assert_eq!(external_of(&tracker, name), [ip("198.51.100.1")]);
    }
}

#[test]
fn a_node_port_is_its_services_on_every_address_of_the_node() {
    let mut with_node_port = at("b", "10.1.0.2");
    with_node_port.ports[0].node_port = 30_080;
    let mut taker = external("a", "10.1.0.1", "192.0.2.77");
    taker.ports[0].port = 30_080;
    let mut tracker = applied([taker, with_node_port.clone()]);
    // Nobody's address yet.
    assert_eq!(external_of(&tracker, "a"), [ip("192.0.2.77")]);
    let local =
        |addresses: &[&str]| Event::LocalAddresses(addresses.iter().map(|it| ip(it)).collect());
    tracker.take_changes();
    assert_eq!(marked(&mut tracker, local(&["192.0.2.77"])), [id("a")]);
    assert_eq!(external_of(&tracker, "a"), [""; 0].map(ip));
    assert_eq!(
        messages(&tracker),
        [
            "external IP 192.0.2.77:30080/tcp of ns/a belongs to ns/b as its node port; change one \
             of the two Services"
        ]
    );
    with_node_port.ports[0].node_port = 30_081;
    let moved = Event::ServiceApplied(with_node_port.clone());
    assert_eq!(marked(&mut tracker, moved), [id("a"), id("b")]);
    assert_eq!(external_of(&tracker, "a"), [ip("192.0.2.77")]);
    with_node_port.ports[0].node_port = 30_080;
    tracker.apply(Event::ServiceApplied(with_node_port));
    tracker.take_changes();
    assert_eq!(marked(&mut tracker, local(&[])), [id("a")]);
    assert_eq!(external_of(&tracker, "a"), [ip("192.0.2.77")]);
}

#[test]
fn external_ips_that_are_not_programmed_take_nothing() {
    let services = || {
        let mut balanced = at("b", "10.1.0.2");
        balanced.external_ips = [ip("198.51.100.1")].into();
        [external("a", "10.1.0.1", "198.51.100.1"), balanced]
    };
    let mut tracker = applied(services());
    assert_eq!(tracker.conflicts().count(), 1);
    let mut config = tracker.config().clone();
    config.allow_external_ips = false;
    tracker.configure(config.clone());
    assert_eq!(tracker.conflicts().count(), 0);
    config.allow_external_ips = true;
    tracker.configure(config);
    assert_eq!(tracker.conflicts().count(), 1);
}

#[test]
fn many_frontends_of_two_services_are_one_conflict() {
    let many = |service: Service| {
        let port = |port| ServicePort {
            name: format!("p{port}").into(),
            port,
            ..service.ports[0].clone()
        };
        Service {
            ports: (1..=1_000).map(port).collect(),
            ..service.clone()
        }
    };
    let tracker = applied([
        many(service("dns")),
        many(external("a", "10.1.0.2", "10.1.0.1")),
    ]);
    assert_eq!(
        messages(&tracker),
        [
            "external IP 10.1.0.1:1/tcp and 999 more of ns/a belong to ns/dns as its cluster IP; \
             change one of the two Services"
        ]
    );
}

#[test]
fn a_loser_that_asks_by_another_field_stays_one() {
    let mut tracker = applied([service("dns"), external("a", "10.1.0.2", "10.1.0.1")]);
    let mut balanced = at("a", "10.1.0.2");
    balanced.load_balancer_ips = [ip("10.1.0.1")].into();
    tracker.apply(Event::ServiceApplied(balanced));
    assert_eq!(external_of(&tracker, "a"), [""; 0].map(ip));
    assert_eq!(tracker.conflicts().count(), 1);
    tracker.apply(Event::ServiceApplied(at("a", "10.1.0.2")));
    assert_eq!(tracker.conflicts().count(), 0);
}

#[test]
fn of_two_ports_of_one_service_on_one_frontend_the_first_counts() {
    let mut twice = service("a");
    let again = ServicePort {
        name: "again".into(),
        ..twice.ports[0].clone()
    };
    twice.ports = [twice.ports[0].clone(), again].into();
    let tracker = tracker([Event::ServiceApplied(twice)]);
    let plan = tracker.plan(&id("a")).unwrap();
    assert_eq!(
        plan.ports
            .iter()
            .map(|port| &*port.name)
            .collect::<Vec<_>>(),
        ["http"]
    );
    assert_eq!(
        tracker.conflicts().next().unwrap().to_string(),
        "cluster IP 10.1.0.1:80/tcp is on two ports of ns/a; remove it from one of them"
    );
}

#[test]
fn a_conflict_that_came_and_went_is_not_reported() {
    let mut tracker = tracker([Event::ServiceApplied(service("a"))]);
    // A relist tells of the new Service before it tells that the old one is gone.
    tracker.apply(Event::ServiceApplied(service("b")));
    tracker.apply(Event::ServiceDeleted(id("a")));
    let changes = tracker.take_changes();
    assert!(changes.conflicts.is_empty());
    assert_eq!(
        changes.services.into_iter().collect::<Vec<_>>(),
        [id("a"), id("b")]
    );
    assert_eq!(tracker.plan(&id("b")).unwrap().ports.len(), 1);
}

#[test]
fn a_conflict_is_reported_once() {
    let mut tracker = tracker([Event::ServiceApplied(service("a"))]);
    tracker.apply(Event::ServiceApplied(service("b")));
    assert_eq!(tracker.take_changes().conflicts.len(), 1);
    let changed = Service {
        affinity_seconds: Some(5),
        ..service("b")
    };
    tracker.apply(Event::ServiceApplied(changed));
    assert!(tracker.take_changes().conflicts.is_empty());
    assert_eq!(tracker.conflicts().count(), 1);
}
