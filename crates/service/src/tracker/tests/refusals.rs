//! Objects that exist and can't be used.

use super::*;
use crate::model::{Refused, SliceId};

fn refused_slice(name: &str, service: Option<&str>) -> Refused {
    Refused::Slice {
        namespace: id("a").namespace().into(),
        name: name.into(),
        service: service.map(id),
    }
}

fn one_service() -> Tracker {
    tracker([
        Event::ServiceApplied(service("a")),
        Event::SliceApplied(slice_of("a", "s", [endpoint("10.0.0.1", READY, NODE)])),
    ])
}

#[test]
fn an_earlier_version_stays_and_withholds_nothing() {
    let mut tracker = one_service();
    for refused in [Refused::Service(id("a")), refused_slice("s", Some("a"))] {
        assert!(marked(&mut tracker, Event::Refused(refused)).is_empty());
    }
    assert_eq!(tracker.refused().len(), 2);
    assert!(!tracker.withholds(&id("a")) && !tracker.withholds_anything());
    assert_eq!(addresses(&tracker, "a"), ["10.0.0.1:8080"]);

    // The same version again is as good as any.
    tracker.apply(Event::ServiceApplied(service("a")));
    let again = slice_of("a", "s", [endpoint("10.0.0.1", READY, NODE)]);
    tracker.apply(Event::SliceApplied(again));
    assert!(tracker.refused().is_empty());
}

#[test]
fn an_unknown_slice_withholds_its_service_until_it_is_known_or_gone() {
    let gone = SliceId::new(id("a"), "t").unwrap();
    let known = slice_of("a", "t", [endpoint("10.0.0.2", READY, NODE)]);
    for end in [
        Event::SliceDeleted(gone),
        Event::SliceApplied(known),
        Event::NoLongerRefused(refused_slice("t", Some("a"))),
        Event::SlicesRelisted([SliceId::new(id("a"), "s").unwrap()].into()),
        Event::SliceMoved {
            namespace: id("a").namespace().into(),
            name: "t".into(),
            to: None,
        },
    ] {
        let mut tracker = one_service();
        tracker.apply(Event::Refused(refused_slice("t", Some("a"))));
        assert!(tracker.withholds(&id("a")) && tracker.withholds_anything());
        assert!(!tracker.withholds(&id("b")));
        assert_eq!(marked(&mut tracker, end), [id("a")]);
        assert!(!tracker.withholds(&id("a")) && !tracker.withholds_anything());
        assert!(tracker.refused().is_empty());
    }
}

#[test]
fn a_slice_of_an_unknown_service_may_be_of_any_that_has_none() {
    let mut tracker = one_service();
    tracker.apply(Event::ServiceApplied(at("b", "10.1.0.2")));
    tracker.apply(Event::Refused(refused_slice("t", None)));
    assert!(tracker.withholds(&id("b")) && !tracker.withholds(&id("a")));
    tracker.take_changes();
    let end = Event::NoLongerRefused(refused_slice("t", None));
    assert_eq!(marked(&mut tracker, end), [id("b")]);
    assert!(!tracker.withholds_anything());
}

#[test]
fn an_unknown_service_withholds_what_nobody_asks_for() {
    for end in [
        Event::ServiceDeleted(id("b")),
        Event::ServicesRelisted([id("a")].into()),
        Event::ServiceApplied(at("b", "10.1.0.2")),
    ] {
        let mut tracker = one_service();
        tracker.apply(Event::Refused(Refused::Service(id("b"))));
        assert!(tracker.withholds_anything() && !tracker.withholds(&id("a")));
        tracker.apply(Event::ServicesRelisted([id("a"), id("b")].into()));
        assert!(tracker.withholds_anything());
        tracker.apply(end);
        assert!(!tracker.withholds_anything() && tracker.refused().is_empty());
    }
}

#[test]
fn what_has_no_names_may_be_of_services_without_slices() {
    let mut tracker = one_service();
    tracker.apply(Event::ServiceApplied(at("b", "10.1.0.2")));
    tracker.apply(Event::Refused(Refused::Unnamed));
    assert!(tracker.withholds_anything());
    assert!(tracker.withholds(&id("b")) && !tracker.withholds(&id("a")));
    tracker.take_changes();
    let end = Event::NoLongerRefused(Refused::Unnamed);
    assert_eq!(marked(&mut tracker, end), [id("b")]);
    assert!(!tracker.withholds_anything());
}
