//! Services that are too large.

use super::*;
use crate::model::{CreationTime, Refused, SliceId};
use crate::plan::Budgets;
use crate::tracker::{Limit, Oversized};

/// A slice of as many endpoints.
fn sized(service: &ServiceId, endpoints: u8) -> Event {
    let all = (1..=endpoints).map(|last| endpoint(&format!("10.0.0.{last}"), READY, NODE));
    let mut slice = slice("s", []);
    slice.id.service = service.clone();
    slice.endpoints = all.collect();
    Event::SliceApplied(slice)
}

fn endpoints(tracker: &Tracker, id: &ServiceId) -> Option<usize> {
    let plan = tracker.plan(id)?;
    Some(plan.ports.iter().map(|port| port.endpoints.len()).sum())
}

fn limited(service: u64, total: u64) -> Tracker {
    Tracker::new(PlanConfig {
        budgets: Budgets { service, total },
        ..config()
    })
}

fn with_external_ip(name: &str, cluster_ip: &str) -> Service {
    Service {
        external_ips: [ip("198.51.100.1")].into(),
        ..at(name, cluster_ip)
    }
}

fn owner(tracker: &Tracker) -> Vec<ServiceId> {
    let services = tracker.services().into_iter();
    let has_it = |id: &ServiceId| {
        let plan = tracker.plan(id).unwrap();
        plan.ports.iter().any(|port| !port.external_ips.is_empty())
    };
    services.filter(has_it).collect()
}

#[test]
fn the_last_version_that_was_small_enough_stays_in_force_whole() {
    let mut tracker = limited(10, 1_000);
    tracker.apply(Event::ServiceApplied(with_external_ip("a", "10.1.0.1")));
    tracker.apply(sized(&id("a"), 2));
    tracker.apply(Event::ServiceApplied(with_external_ip("b", "10.1.0.2")));
    tracker.complete();
    tracker.take_changes();
    assert_eq!(owner(&tracker), [id("a")]);

    // It gives its external IP up and becomes too large.
    assert!(marked(&mut tracker, sized(&id("a"), 11)).is_empty());
    let newest = Event::ServiceApplied(at("a", "10.1.0.1"));
    assert!(marked(&mut tracker, newest).is_empty());
    let too_large = Oversized {
        size: 11,
        limit: Limit::Service(10),
    };
    assert_eq!(tracker.oversized().get(&id("a")), Some(&too_large));
    assert_eq!(endpoints(&tracker, &id("a")), Some(2));
    assert_eq!(owner(&tracker), [id("a")], "its rules are there still");
    assert!(!tracker.withholds_anything());

    assert_eq!(marked(&mut tracker, sized(&id("a"), 3)), [id("a"), id("b")]);
    assert!(tracker.oversized().is_empty());
    assert_eq!(endpoints(&tracker, &id("a")), Some(3));
    assert_eq!(owner(&tracker), [id("b")]);
}

#[test]
fn nothing_is_in_force_of_one_that_nobody_was_told_of_but_its_addresses_are_its_own() {
    let mut tracker = limited(10, 1_000);
    tracker.apply(Event::ServiceApplied(with_external_ip("a", "10.1.0.1")));
    tracker.apply(sized(&id("a"), 11));
    tracker.apply(Event::ServiceApplied(with_external_ip("b", "10.1.0.2")));
    tracker.complete();
    assert!(tracker.withholds_anything() && tracker.may_have_more(&id("a")));
    tracker.take_changes();
    assert_eq!(tracker.services(), [id("b")]);
    assert!(owner(&tracker).is_empty());
    assert_eq!(
        marked(&mut tracker, Event::ServiceDeleted(id("a"))),
        [id("a"), id("b")]
    );
    assert!(!tracker.withholds_anything() && !tracker.may_have_more(&id("a")));
    assert_eq!(owner(&tracker), [id("b")]);
    // Its slice is there still.
    tracker.apply(Event::ServiceApplied(at("a", "10.1.0.1")));
    assert_eq!(tracker.oversized().len(), 1);
    let slice = SliceId::new(id("a"), "s").unwrap();
    assert_eq!(marked(&mut tracker, Event::SliceDeleted(slice)), [id("a")]);
    assert_eq!(endpoints(&tracker, &id("a")), Some(0));
}

#[test]
fn another_budget_counts_at_once_and_takes_nothing_away() {
    let mut tracker = tracker([
        Event::ServiceApplied(at("a", "10.1.0.1")),
        sized(&id("a"), 11),
    ]);
    let mut budgets = Budgets {
        service: 10,
        ..Budgets::default()
    };
    for is_oversized in [true, false] {
        tracker.configure(PlanConfig {
            budgets,
            ..config()
        });
        assert_eq!(tracker.oversized().len(), usize::from(is_oversized));
        assert_eq!(endpoints(&tracker, &id("a")), Some(11));
        budgets.service = 11;
    }
}

fn in_namespace(namespace: &str, name: &str, created: i64, cluster_ip: &str) -> Service {
    Service {
        id: ServiceId::new(namespace, name).unwrap(),
        created: CreationTime::at(created),
        ..at(name, cluster_ip)
    }
}

/// Namespace `many` has five Services of ten endpoints, `one` has one of ten.
fn two_namespaces(mut tracker: Tracker) -> Tracker {
    for number in 0..5 {
        let cluster_ip = format!("10.1.0.{number}");
        let service = in_namespace("many", &format!("s{number}"), 9 - number, &cluster_ip);
        tracker.apply(sized(&service.id, 10));
        tracker.apply(Event::ServiceApplied(service));
    }
    let service = in_namespace("one", "a", 100, "10.1.0.9");
    tracker.apply(sized(&service.id, 10));
    tracker.apply(Event::ServiceApplied(service));
    tracker.complete();
    tracker.take_changes();
    tracker
}

fn names(tracker: &Tracker) -> Vec<String> {
    let services = tracker.services().into_iter();
    services.map(|id| id.to_string()).collect()
}

#[test]
fn the_largest_namespace_loses_its_newest_services() {
    let all = two_namespaces(limited(10, 60));
    assert!(all.oversized().is_empty());
    let mut tracker = two_namespaces(limited(10, 45));
    assert_eq!(names(&tracker), ["many/s2", "many/s3", "many/s4", "one/a"]);
    assert!(
        tracker
            .oversized()
            .values()
            .all(|it| it.limit == Limit::Namespace(35))
    );

    // What becomes free goes to who waits.
    let gone = ServiceId::new("many", "s4").unwrap();
    tracker.apply(Event::ServiceDeleted(gone));
    tracker.take_changes();
    assert_eq!(names(&tracker), ["many/s0", "many/s2", "many/s3", "one/a"]);
    assert_eq!(tracker.oversized().len(), 1);
}

#[test]
fn nobody_else_s_services_keep_a_namespace_from_its_share() {
    let mut tracker = two_namespaces(limited(20, 60));
    let (one, many) = (
        ServiceId::new("one", "a").unwrap(),
        ServiceId::new("many", "s0").unwrap(),
    );
    assert!(marked(&mut tracker, sized(&many, 11)).is_empty());
    assert_eq!(tracker.oversized()[&many].limit, Limit::Namespace(30));
    assert_eq!(endpoints(&tracker, &many), Some(10));
    let grown = marked(&mut tracker, sized(&one, 20));
    assert_eq!(grown, std::slice::from_ref(&one));
    // Less is always possible, and makes room.
    let other = ServiceId::new("many", "s1").unwrap();
    assert_eq!(marked(&mut tracker, sized(&other, 1)), [other]);
    assert_eq!(marked(&mut tracker, sized(&one, 10)), [many.clone(), one]);
    assert_eq!(endpoints(&tracker, &many), Some(11));
}

#[test]
fn a_refused_service_has_the_addresses_that_can_be_read_of_it() {
    let refused = || {
        tracker([
            Event::Refused(Refused::Service(id("a"))),
            Event::RefusedAsks(at("a", "198.51.100.1")),
            Event::ServiceApplied(with_external_ip("b", "10.1.0.2")),
        ])
    };
    assert!(owner(&refused()).is_empty());
    assert_eq!(refused().conflicts().count(), 1);
    for end in [
        Event::ServiceDeleted(id("a")),
        Event::ServicesRelisted([id("b")].into()),
        Event::NoLongerRefused(Refused::Service(id("a"))),
    ] {
        let mut tracker = refused();
        tracker.apply(end);
        assert!(tracker.take_changes().services.contains(&id("b")));
        assert_eq!(owner(&tracker), [id("b")]);
    }
    // What is in force says better what it has.
    let mut tracker = refused();
    tracker.apply(Event::ServiceApplied(at("a", "10.1.0.1")));
    tracker.apply(Event::Refused(Refused::Service(id("a"))));
    tracker.apply(Event::RefusedAsks(at("a", "198.51.100.1")));
    assert_eq!(owner(&tracker), [id("b")]);
}
