//! Deletion by omission, and slices that change their Service.

use super::*;
use crate::model::SliceId;

fn two_services() -> Tracker {
    tracker([
        Event::ServiceApplied(service("a")),
        Event::ServiceApplied(at("b", "10.1.0.2")),
        Event::SliceApplied(slice_of("a", "s", [endpoint("10.0.0.1", READY, NODE)])),
        Event::SliceApplied(slice_of("b", "t", [endpoint("10.0.0.2", READY, NODE)])),
    ])
}

fn slice_id(service: &str, name: &str) -> SliceId {
    SliceId::new(id(service), name).unwrap()
}

#[test]
fn a_service_that_is_not_listed_is_gone_and_the_others_are_untouched() {
    let mut tracker = two_services();
    let listed = Event::ServicesRelisted([id("b"), id("never-heard-of")].into());
    assert_eq!(marked(&mut tracker, listed.clone()), [id("a")]);
    assert_eq!(tracker.services(), [id("b")]);
    assert_eq!(
        tracker.slices(&id("a")).len(),
        1,
        "slices have their own list"
    );
    assert!(marked(&mut tracker, listed).is_empty());
}

#[test]
fn a_slice_that_is_not_listed_is_gone_and_the_others_are_untouched() {
    let mut tracker = two_services();
    // The same name under another Service is another slice.
    let listed = Event::SlicesRelisted([slice_id("a", "s"), slice_id("a", "t")].into());
    assert_eq!(marked(&mut tracker, listed.clone()), [id("b")]);
    assert!(tracker.slices(&id("b")).is_empty());
    assert_eq!(addresses(&tracker, "a"), ["10.0.0.1:8080"]);
    assert!(marked(&mut tracker, listed).is_empty());
}

#[test]
fn nothing_is_left_where_nothing_is_listed() {
    let mut tracker = two_services();
    tracker.apply(Event::ServicesRelisted([].into()));
    tracker.apply(Event::SlicesRelisted([].into()));
    assert!(tracker.entries.is_empty() && tracker.by_zone.is_empty());
}

fn moved(name: &str, to: Option<&str>) -> Event {
    Event::SliceMoved {
        namespace: id("a").namespace().into(),
        name: name.into(),
        to: to.map(id),
    }
}

#[test]
fn a_slice_leaves_the_service_that_it_had() {
    let mut tracker = two_services();
    assert!(marked(&mut tracker, moved("s", Some("a"))).is_empty());
    assert_eq!(marked(&mut tracker, moved("s", Some("b"))), [id("a")]);
    assert!(tracker.slices(&id("a")).is_empty());
    assert_eq!(marked(&mut tracker, moved("t", None)), [id("b")]);
    assert!(tracker.slices(&id("b")).is_empty());
}

#[test]
fn a_slice_of_another_namespace_stays() {
    let mut tracker = two_services();
    let elsewhere = Event::SliceMoved {
        namespace: "elsewhere".into(),
        name: "s".into(),
        to: None,
    };
    assert!(marked(&mut tracker, elsewhere).is_empty());
    assert_eq!(tracker.slices(&id("a")).len(), 1);
}
