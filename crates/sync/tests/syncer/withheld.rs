//! What can't be used keeps what the kernel has of it, over restarts too.

use std::collections::BTreeMap;

use viprule_dataplane::Scope;
use viprule_dataplane::ipvs::{Ipvs, Key, Object, Settings};
use viprule_service::model::{Event, Refused};
use viprule_service::plan::{Budgets, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_sync::{Compared, Syncer, compared};
use viprule_testkit::fake::Kernel;
use viprule_testkit::strategy::NODE;

use crate::memory::Memory;
use crate::world::{
    FakeSyncer, assert_in_sync, assert_same, fresh, id, node, service, slice, synced,
};

fn refused_slice(of: &str) -> Refused {
    let Event::SliceApplied(slice) = slice(of, &[]) else {
        unreachable!()
    };
    Refused::Slice {
        namespace: id(of).namespace().into(),
        name: slice.id.name,
        service: Some(id(of)),
    }
}

/// Another agent in front of what this one wrote, which is told everything but this.
fn restarted_without(
    mut syncer: FakeSyncer,
    left_out: impl Fn(&Event) -> bool,
    refused: Refused,
) -> FakeSyncer {
    let kernel = std::mem::take(syncer.writer());
    let mut next = node(viprule_dataplane::iptables::Settings::default(), kernel);
    for name in ["a", "b", "c", "d", "e"] {
        let events = [service(name), slice(name, &["10.244.0.5", "10.244.1.7"])];
        let events = events.into_iter().filter(|event| !left_out(event));
        events.for_each(|event| next.apply(event));
    }
    next.apply(Event::Refused(refused));
    next.writer().forget();
    next
}

fn of_service(event: &Event, name: &str) -> bool {
    matches!(event, Event::ServiceApplied(service) if service.id == id(name))
}

fn of_slice(event: &Event, name: &str) -> bool {
    matches!(event, Event::SliceApplied(slice) if slice.id.service == id(name))
}

#[test]
fn a_refused_slice_keeps_its_services_rules_over_a_restart() {
    let mut before = synced();
    let state = before.writer().state();
    let mut syncer = restarted_without(before, |it| of_slice(it, "b"), refused_slice("b"));
    // What `viprule diff` says beforehand.
    let Compared { observed, desired } =
        compared(&syncer.dataplane().clone(), syncer.tracker(), state.clone());
    assert_same(&observed, &desired);

    let report = syncer.reconcile(Scope::Everything).unwrap();
    assert_eq!(report.removed + report.replaced + report.created, 0);
    assert_same(&syncer.writer().state(), &state);
    assert!(syncer.withholds());

    // Everything else goes on, and somebody else's change of another Service is put right.
    syncer.apply(slice("a", &["10.244.0.9"]));
    syncer.sync().unwrap();
    syncer.reconcile(Scope::Everything).unwrap();
    let chains = |state: &viprule_dataplane::netfilter::Desired| {
        let keys = state.iter().map(|(key, _)| key.to_string());
        keys.filter(|key| key.contains("KUBE-SEP")).count()
    };
    let now = syncer.writer().state();
    assert!(chains(&now) < chains(&state), "an endpoint of a's is gone");

    // A version that can be used ends it.
    syncer.apply(slice("b", &["10.244.1.7"]));
    syncer.sync().unwrap();
    assert!(!syncer.withholds());
    assert_in_sync(&mut syncer);
}

#[test]
fn a_refused_service_keeps_its_rules_over_a_restart_until_it_is_gone() {
    let mut before = synced();
    let state = before.writer().state();
    let refused = Refused::Service(id("b"));
    let mut syncer = restarted_without(before, |it| of_service(it, "b"), refused);
    let report = syncer.reconcile(Scope::Everything).unwrap();
    assert!(report.is_empty());
    assert_same(&syncer.writer().state(), &state);

    // Others may go meanwhile.
    syncer.apply(Event::ServiceDeleted(id("a")));
    syncer.sync().unwrap();
    let mut held = fresh(Kernel::new());
    held.apply(Event::ServiceDeleted(id("a")));
    held.reconcile(Scope::Everything).unwrap();
    assert_same(&syncer.writer().state(), &held.writer().state());

    syncer.apply(Event::ServicesRelisted(["c", "d", "e"].map(id).into()));
    syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
}

#[test]
fn where_the_kernel_has_nothing_what_is_known_is_written() {
    let mut syncer = fresh(Kernel::new());
    syncer.apply(Event::Refused(Refused::Slice {
        namespace: id("b").namespace().into(),
        name: "b-other".into(),
        service: Some(id("b")),
    }));
    syncer.reconcile(Scope::Everything).unwrap();
    assert_in_sync(&mut syncer);
}

#[test]
fn what_has_no_names_keeps_what_nobody_else_asks_for() {
    let mut before = synced();
    let state = before.writer().state();
    let left_out = |it: &Event| of_service(it, "b") || of_slice(it, "b") || of_slice(it, "c");
    let mut syncer = restarted_without(before, left_out, Refused::Unnamed);
    syncer.reconcile(Scope::Everything).unwrap();
    assert_same(&syncer.writer().state(), &state);
    syncer.apply(Event::NoLongerRefused(Refused::Unnamed));
    syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
}

/// One refused Service holds nothing of others: what they left could be in their successors' way.
#[test]
fn what_is_known_to_be_another_services_goes() {
    let mut before = synced();
    let state = before.writer().state();
    let gone = |it: &Event| of_service(it, "b") || of_slice(it, "b") || of_slice(it, "c");
    let mut syncer = restarted_without(before, gone, Refused::Service(id("x")));
    syncer.apply(slice("c", &[]));
    let mut desired_alone = fresh(Kernel::new());
    for event in [
        Event::ServiceDeleted(id("b")),
        slice("b", &[]),
        slice("c", &[]),
    ] {
        desired_alone.apply(event);
    }
    desired_alone.reconcile(Scope::Everything).unwrap();
    let Compared { observed, desired } =
        compared(&syncer.dataplane().clone(), syncer.tracker(), state);
    assert_same(&desired, &desired_alone.writer().state());
    assert_ne!(observed.len(), desired.len());

    syncer.reconcile(Scope::Everything).unwrap();
    assert_same(&syncer.writer().state(), &desired_alone.writer().state());
    assert!(syncer.tracker().withholds_anything());
}

#[test]
fn what_is_refused_later_keeps_its_earlier_version_and_lets_others_go() {
    let mut syncer = synced();
    syncer.apply(Event::Refused(refused_slice("b")));
    syncer.apply(Event::Refused(Refused::Service(id("c"))));
    syncer.apply(Event::Refused(Refused::Unnamed));
    syncer.apply(Event::ServiceDeleted(id("a")));
    syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
    assert_eq!(syncer.tracker().refused().len(), 3);
}

#[test]
fn in_ipvs_mode_too() {
    let start = |kernel, skip: &dyn Fn(&Event) -> bool, refused: Option<Refused>| {
        let mut tracker = Tracker::new(PlanConfig {
            node_name: NODE.to_owned(),
            bind_address: None,
            allow_external_ips: true,
            budgets: Budgets::default(),
        });
        for name in ["a", "b"] {
            let events = [service(name), slice(name, &["10.244.0.5", "10.244.1.7"])];
            let events = events.into_iter().filter(|event| !skip(event));
            events.for_each(|event| tracker.apply(event));
        }
        if let Some(refused) = refused {
            tracker.apply(Event::Refused(refused));
        }
        let dataplane = Ipvs::new(Settings::default(), tracker.facts());
        Syncer::new(tracker, dataplane, kernel)
    };
    // A destination of a Service that is known goes, whatever is refused.
    let mut first = start(Memory::default(), &|_| false, None);
    first.reconcile(Scope::Everything).unwrap();
    let kernel = std::mem::take(first.writer());
    let other = Some(Refused::Service(id("x")));
    let mut syncer = start(kernel, &|it| of_slice(it, "a"), other);
    syncer.apply(slice("a", &["10.244.0.5"]));
    syncer.reconcile(Scope::Everything).unwrap();
    let destinations = |objects: &BTreeMap<Key, Object>| {
        let keys = objects.keys();
        keys.filter(|key| matches!(key, Key::Destination { .. }))
            .count()
    };
    assert_eq!(destinations(&syncer.writer().objects), 3);

    for (left_out, refused) in [
        (of_slice as fn(&Event, &str) -> bool, refused_slice("b")),
        (of_service, Refused::Service(id("b"))),
    ] {
        let mut first = start(Memory::default(), &|_| false, None);
        first.reconcile(Scope::Everything).unwrap();
        let objects = first.writer().objects.clone();
        let kernel = std::mem::take(first.writer());
        let mut syncer = start(kernel, &|it| left_out(it, "b"), Some(refused));
        syncer.reconcile(Scope::Everything).unwrap();
        assert_eq!(syncer.writer().objects, objects);
        // A shared pod's element stays for the one that is held.
        syncer.apply(Event::ServiceDeleted(id("a")));
        syncer.sync().unwrap();
        syncer.apply(service("b"));
        syncer.apply(slice("b", &["10.244.0.5", "10.244.1.7"]));
        syncer.sync().unwrap();
        let mut alone = start(
            Memory::default(),
            &|it| of_service(it, "a") || of_slice(it, "a"),
            None,
        );
        alone.reconcile(Scope::Everything).unwrap();
        assert_eq!(syncer.writer().objects, alone.writer().objects);
    }
}
