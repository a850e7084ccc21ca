//! Where the API server is reached, and who is concerned.

use super::*;
use crate::plan::testing::NOT_READY;

fn told(addresses: &[&str]) -> Event {
    Event::ApiServer(addresses.iter().map(|it| it.parse().unwrap()).collect())
}

fn external(name: &str, cluster_ip: &str, external_ip: &str) -> Service {
    Service {
        external_ips: [ip(external_ip)].into(),
        ..at(name, cluster_ip)
    }
}

fn facts(tracker: &Tracker) -> Vec<String> {
    let all = tracker.facts().api_server.iter();
    all.map(ToString::to_string).collect()
}

#[test]
fn only_services_with_its_address_are_marked() {
    let mut tracker = tracker([
        Event::ServiceApplied(external("a", "10.1.0.1", "192.0.2.1")),
        Event::ServiceApplied(external("b", "10.1.0.2", "192.0.2.2")),
    ]);
    tracker.apply(told(&["192.0.2.1:6443", "192.0.2.3:6443"]));
    let changes = tracker.take_changes();
    assert_eq!(changes.services, [id("a")].into());
    assert!(changes.node);
    assert!(
        tracker
            .plan(&id("a"))
            .unwrap()
            .is_api_server(ip("192.0.2.1"))
    );
    tracker.apply(told(&["192.0.2.3:6443", "192.0.2.1:6443"]));
    assert!(tracker.take_changes().is_empty());
    let event = told(&["192.0.2.2:80", "192.0.2.3:6443"]);
    assert_eq!(marked(&mut tracker, event), [id("a"), id("b")]);
    let plan = tracker.plan(&id("b")).unwrap();
    assert!(plan.ports[0].external_ips.is_empty());
    assert!(tracker.plan(&id("a")).unwrap().api_server.is_none());
}

/// An agent in a pod reaches the API server through a cluster IP; behind that are its machines.
#[test]
fn what_is_behind_a_cluster_ip_is_reached_too() {
    let slice = |address, conditions| {
        Event::SliceApplied(slice_of("way", "s", [endpoint(address, conditions, NODE)]))
    };
    let mut tracker = tracker([
        told(&["10.1.0.1:80"]),
        Event::ServiceApplied(external("a", "10.1.0.2", "192.0.2.1")),
    ]);
    assert_eq!(facts(&tracker), ["10.1.0.1:80"]);
    assert_eq!(marked(&mut tracker, slice("192.0.2.1", NOT_READY)), []);
    let event = Event::ServiceApplied(at("way", "10.1.0.1"));
    assert_eq!(marked(&mut tracker, event), [id("a"), id("way")]);
    assert_eq!(facts(&tracker), ["10.1.0.1:80", "192.0.2.1:8080"]);
    let event = slice("192.0.2.9", READY);
    assert_eq!(marked(&mut tracker, event), [id("a"), id("way")]);
    assert_eq!(facts(&tracker), ["10.1.0.1:80", "192.0.2.9:8080"]);
    // Another Service takes the cluster IP over.
    let event = Event::ServiceApplied(at("other", "10.1.0.1"));
    tracker.apply(event);
    assert_eq!(facts(&tracker), ["10.1.0.1:80"]);
    tracker.apply(Event::ServiceDeleted(id("other")));
    assert_eq!(facts(&tracker), ["10.1.0.1:80", "192.0.2.9:8080"]);
    tracker.apply(Event::ServiceDeleted(id("way")));
    assert_eq!(facts(&tracker), ["10.1.0.1:80"]);
}
