//! Which event marks what.

mod api_server;
mod conflicts;
mod oversized;
mod refusals;
mod relist;

use std::sync::Arc;

use super::*;
use crate::model::{Endpoint, Hints, ServiceType};
use crate::plan::testing::{NODE, READY, config, endpoint, id, ip, service, slice};

fn tracker(events: impl IntoIterator<Item = Event>) -> Tracker {
    let mut tracker = Tracker::new(config());
    events.into_iter().for_each(|event| tracker.apply(event));
    tracker.take_changes();
    tracker
}

/// The Services that an event marks.
fn marked(tracker: &mut Tracker, event: Event) -> Vec<ServiceId> {
    tracker.apply(event);
    tracker.take_changes().services.into_iter().collect()
}

/// A Service with its own cluster IP.
fn at(name: &str, cluster_ip: &str) -> Service {
    Service {
        cluster_ips: [ip(cluster_ip)].into(),
        ..service(name)
    }
}

fn slice_of(service: &str, name: &str, endpoints: [Endpoint; 1]) -> EndpointSlice {
    let mut slice = slice(name, endpoints);
    slice.id.service = id(service);
    slice
}

fn hinted(zone: &str) -> Endpoint {
    let hints = Hints {
        zones: [zone.into()].into(),
        nodes: [].into(),
    };
    Endpoint {
        hints: Some(Box::new(hints)),
        ..endpoint("10.0.0.1", READY, NODE)
    }
}

fn node(zone: Option<&str>, address: &str) -> Node {
    Node {
        name: NODE.into(),
        addresses: vec![ip(address)],
        zone: zone.map(Into::into),
        ..Node::default()
    }
}

fn addresses(tracker: &Tracker, name: &str) -> Vec<String> {
    let plan = tracker.plan(&id(name)).unwrap();
    plan.ports[0]
        .endpoints
        .iter()
        .map(|endpoint| endpoint.address.to_string())
        .collect()
}

#[test]
fn a_repeated_event_marks_nothing() {
    let events = [
        Event::ServiceApplied(service("a")),
        Event::SliceApplied(slice("s", [endpoint("10.0.0.1", READY, NODE)])),
        Event::NodeApplied(node(Some("east"), "192.0.2.1")),
        Event::LocalAddresses(vec![ip("192.0.2.1")]),
        Event::ServiceDeleted(id("absent")),
        Event::SliceDeleted(slice("absent", []).id),
    ];
    let mut tracker = tracker(events.clone());
    for event in events {
        tracker.apply(event);
    }
    assert!(tracker.take_changes().is_empty());
}

#[test]
fn an_event_marks_its_own_service_only() {
    let mut tracker = tracker([
        Event::ServiceApplied(service("a")),
        Event::ServiceApplied(at("b", "10.1.0.2")),
    ]);
    let new_slice = slice_of("b", "s", [endpoint("10.0.0.1", READY, NODE)]);
    let slice_id = new_slice.id.clone();
    assert_eq!(
        marked(&mut tracker, Event::SliceApplied(new_slice)),
        [id("b")]
    );
    assert_eq!(
        marked(&mut tracker, Event::SliceDeleted(slice_id)),
        [id("b")]
    );
    let changed = Service {
        affinity_seconds: Some(5),
        ..service("a")
    };
    assert_eq!(
        marked(&mut tracker, Event::ServiceApplied(changed)),
        [id("a")]
    );
    assert_eq!(
        marked(&mut tracker, Event::ServiceDeleted(id("a"))),
        [id("a")]
    );
    assert_eq!(tracker.services(), [id("b")]);
    assert_eq!(tracker.plan(&id("a")), None);
}

#[test]
fn slices_wait_for_their_service_and_outlive_it() {
    let mut tracker = Tracker::new(config());
    let first = slice("s", [endpoint("10.0.0.1", READY, NODE)]);
    assert!(marked(&mut tracker, Event::SliceApplied(first.clone())).is_empty());
    assert!(tracker.services().is_empty());
    tracker.apply(Event::ServiceApplied(service("a")));
    assert_eq!(addresses(&tracker, "a"), ["10.0.0.1:8080"]);
    tracker.apply(Event::ServiceDeleted(id("a")));
    assert!(tracker.plan(&id("a")).is_none());
    assert_eq!(tracker.slices(&id("a")), [first]);
    tracker.apply(Event::ServiceApplied(service("a")));
    assert_eq!(addresses(&tracker, "a"), ["10.0.0.1:8080"]);
}

#[test]
fn nothing_is_kept_of_a_service_that_is_gone_with_its_slices() {
    let mut tracker = tracker([
        Event::ServiceApplied(service("a")),
        Event::SliceApplied(slice("s", [hinted("east")])),
    ]);
    tracker.apply(Event::SliceDeleted(slice("s", []).id));
    tracker.apply(Event::ServiceDeleted(id("a")));
    assert!(tracker.entries.is_empty() && tracker.by_zone.is_empty());
    assert!(tracker.conflicts().next().is_none());
}

#[test]
fn an_endpoint_moves_between_slices_without_a_gap() {
    let moving = || endpoint("10.0.0.1", READY, NODE);
    let staying = || endpoint("10.0.0.2", READY, NODE);
    let both = ["10.0.0.1:8080", "10.0.0.2:8080"];
    let old = slice("old", [moving(), staying()]);
    let mut tracker = tracker([
        Event::ServiceApplied(service("a")),
        Event::SliceApplied(old),
    ]);
    tracker.apply(Event::SliceApplied(slice("new", [moving()])));
    assert_eq!(addresses(&tracker, "a"), both);
    tracker.apply(Event::SliceApplied(slice("old", [staying()])));
    assert_eq!(addresses(&tracker, "a"), both);
}

#[test]
fn a_new_zone_marks_services_with_zone_hints_only() {
    let mut tracker = tracker([
        Event::ServiceApplied(service("a")),
        Event::SliceApplied(slice("s", [hinted("east")])),
        Event::ServiceApplied(at("b", "10.1.0.2")),
        Event::SliceApplied(slice_of("absent", "s", [hinted("east")])),
        Event::NodeApplied(node(Some("east"), "192.0.2.1")),
    ]);
    let moved = Event::NodeApplied(node(Some("west"), "192.0.2.1"));
    tracker.apply(moved);
    let changes = tracker.take_changes();
    assert_eq!(changes.services.into_iter().collect::<Vec<_>>(), [id("a")]);
    assert!(changes.node);
    assert_eq!(tracker.facts().zone.as_deref(), Some("west"));

    tracker.apply(Event::SliceApplied(slice(
        "s",
        [endpoint("10.0.0.1", READY, NODE)],
    )));
    tracker.take_changes();
    assert!(
        marked(&mut tracker, Event::NodeDeleted).is_empty(),
        "the hints are gone"
    );
}

#[test]
fn a_new_node_address_marks_services_with_source_ranges_only() {
    let ranged = Service {
        source_ranges: ["192.0.2.0/24".parse().unwrap()].into(),
        kind: ServiceType::LoadBalancer,
        ..service("a")
    };
    let mut tracker = tracker([
        Event::ServiceApplied(ranged),
        Event::ServiceApplied(at("b", "10.1.0.2")),
        Event::NodeApplied(node(None, "198.51.100.1")),
    ]);
    assert!(!tracker.plan(&id("a")).unwrap().ports[0].source_ranges_hold_node);
    assert_eq!(
        marked(&mut tracker, Event::NodeApplied(node(None, "192.0.2.1"))),
        [id("a")]
    );
    assert!(tracker.plan(&id("a")).unwrap().ports[0].source_ranges_hold_node);
}

#[test]
fn local_addresses_mark_the_node_only() {
    let ranged = Service {
        source_ranges: ["192.0.2.0/24".parse().unwrap()].into(),
        ..service("a")
    };
    let mut tracker = tracker([
        Event::ServiceApplied(ranged),
        Event::SliceApplied(slice("s", [hinted("east")])),
    ]);
    tracker.apply(Event::LocalAddresses(vec![ip("192.0.2.1")]));
    let changes = tracker.take_changes();
    assert!(changes.node && changes.services.is_empty());
}

#[test]
fn services_and_slices_share_names() {
    let slices = ["s1", "s2"].map(|name| slice(name, [endpoint("10.0.0.1", READY, NODE)]));
    let tracker = tracker(
        [Event::ServiceApplied(service("a"))]
            .into_iter()
            .chain(slices.map(Event::SliceApplied)),
    );
    let [one, two] = tracker.slices(&id("a")) else {
        panic!("two slices")
    };
    assert_eq!(
        one.id.service.as_str().as_ptr(),
        two.id.service.as_str().as_ptr()
    );
    let node = |slice: &EndpointSlice| slice.endpoints[0].node.clone().unwrap();
    assert!(Arc::ptr_eq(&node(one), &node(two)));
}
