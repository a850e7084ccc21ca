//! Who has a frontend that several Services ask for.

use super::{at, marked, tracker};
use crate::model::{Event, Service, ServicePort};
use crate::plan::testing::{id, ip, service};

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

#[test]
fn external_and_load_balancer_ips_may_be_shared() {
    let shared = |name, cluster_ip| {
        let mut service = at(name, cluster_ip);
        service.external_ips = [ip("198.51.100.1")].into();
        service.load_balancer_ips = [ip("203.0.113.1")].into();
        Event::ServiceApplied(service)
    };
    let tracker = tracker([shared("a", "10.1.0.1"), shared("b", "10.1.0.2")]);
    assert_eq!(tracker.conflicts().count(), 0);
    assert_eq!(
        tracker.plan(&id("b")).unwrap().ports[0].external_ips,
        [ip("198.51.100.1")]
    );
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
        "cluster IP 10.1.0.1:80/tcp is on two ports of ns/a; remove one of them"
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
