//! First sync, second sync, changes.

use std::collections::BTreeSet;

use viprule_dataplane::Scope;
use viprule_dataplane::netfilter::Key;
use viprule_service::model::Event;
use viprule_testkit::fake::Kernel;

use crate::world::{
    FILTER, NAT, assert_in_sync, fragment, fresh, id, restarted, service, slice, synced, wanted,
};

fn keys(syncer: &mut crate::world::FakeSyncer) -> BTreeSet<Key> {
    syncer.writer().requested().iter().copied().collect()
}

#[test]
fn the_first_sync_writes_everything_at_once() {
    let mut syncer = fresh(Kernel::new());
    let report = syncer.reconcile(Scope::Everything).unwrap();
    assert_in_sync(&mut syncer);
    assert_eq!(report.created, wanted(&syncer).len());
    assert_eq!(
        (report.replaced, report.removed, report.transactions),
        (0, 0, 1)
    );
    let shares: Vec<&str> = report.touched.iter().map(|it| it.share.as_str()).collect();
    let services = ["a", "b", "c", "d", "e"].map(|name| format!("service shop/{name}"));
    let services = services.iter().map(String::as_str);
    let order = ["base"].into_iter().chain(services).chain(["entry points"]);
    assert!(order.eq(shares));
}

#[test]
fn a_second_sync_writes_nothing() {
    let mut syncer = synced();
    assert!(syncer.sync().unwrap().is_empty());
    assert!(syncer.reconcile(Scope::Everything).unwrap().is_empty());
    assert_eq!(syncer.writer().transactions(), 0);
}

#[test]
fn a_restart_on_an_unchanged_cluster_writes_nothing() {
    let mut syncer = crate::world::restarted(synced());
    assert!(syncer.reconcile(Scope::Everything).unwrap().is_empty());
    assert_eq!(syncer.writer().transactions(), 0);
    assert_in_sync(&mut syncer);
}

#[test]
fn what_kubelet_makes_is_not_found_as_a_service_proxys() {
    let syncer = synced();
    assert_eq!(syncer.found(), 0, "of nobody");
    let objects = wanted(&syncer).iter().count();
    let mut again = restarted(syncer);
    again.reconcile(Scope::Everything).unwrap();
    let all = again.found();
    assert!((1..objects).contains(&all), "{all} of {objects}");
    // All that goes is a service proxy's; kubelet's chain and the jumps to it stay.
    again.remove_everything().unwrap();
    let mut after = restarted(again);
    assert!(after.writer().has(FILTER, "KUBE-FIREWALL"));
    let kubelets = after.writer().state().iter().count();
    after.reconcile(Scope::Everything).unwrap();
    assert_eq!(after.found(), 0);
    assert_eq!(all + kubelets, objects);
}

#[test]
fn events_that_say_what_is_known_write_nothing() {
    let mut syncer = synced();
    syncer.apply(service("b"));
    syncer.apply(slice("b", &["10.244.0.5", "10.244.1.7"]));
    assert!(syncer.sync().unwrap().is_empty());
    assert_eq!(syncer.writer().transactions(), 0);
}

#[test]
fn a_change_touches_its_service_only() {
    let mut syncer = synced();
    let before = fragment(&syncer, "b");
    syncer.apply(slice("b", &["10.244.0.5", "10.244.2.9"]));
    let report = syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
    let after = fragment(&syncer, "b");
    let own: BTreeSet<Key> = before
        .iter()
        .chain(after.iter())
        .map(|(key, _)| *key)
        .collect();
    let requested = keys(&mut syncer);
    assert!(requested.is_subset(&own), "{requested:?}");
    // The new endpoint's chain, the old one's, and the one that leads to them.
    assert_eq!((report.created, report.replaced, report.removed), (1, 1, 1));
    assert_eq!(requested.len(), 3);
    assert!(requested.iter().all(|key| matches!(key, Key::Chain { .. })));
}

#[test]
fn a_new_service_adds_its_own_rules_and_a_gone_one_takes_them_along() {
    let mut syncer = synced();
    let before = syncer.writer().state();
    syncer.apply(service("f"));
    syncer.apply(slice("f", &["10.244.0.9"]));
    let report = syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
    assert_eq!(report.created, fragment(&syncer, "f").len());
    assert_eq!(report.replaced + report.removed, 0);
    syncer.apply(Event::ServiceDeleted(id("f")));
    let removed = syncer.sync().unwrap();
    assert_eq!(
        (removed.removed, removed.created, removed.replaced),
        (report.created, 0, 0)
    );
    crate::world::assert_same(&syncer.writer().state(), &before);
}

#[test]
fn a_service_that_loses_its_endpoints_is_refused_in_place_of_balanced() {
    let mut syncer = synced();
    syncer.apply(slice("c", &[]));
    syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
    let refusing = syncer.writer().rules(FILTER, "KUBE-SERVICES");
    assert!(
        refusing
            .iter()
            .any(|rule| rule.contains("shop/c:http has no endpoints"))
    );
    let balancing = syncer.writer().rules(NAT, "KUBE-SERVICES");
    assert!(!balancing.iter().any(|rule| rule.contains("shop/c:http")));
}

#[test]
fn a_hundred_events_are_one_transaction() {
    let mut syncer = synced();
    for number in 0..50 {
        let name = format!("new-{number}");
        syncer.apply(service(&name));
        syncer.apply(slice(&name, &["10.244.0.9", "10.244.1.9"]));
    }
    let report = syncer.sync().unwrap();
    assert_eq!((report.touched.len(), report.transactions), (50, 1));
    assert_eq!(syncer.writer().transactions(), 1);
    assert_in_sync(&mut syncer);
}

#[test]
fn new_node_facts_rewrite_what_depends_on_them_only() {
    let mut syncer = synced();
    let node = viprule_service::model::Node {
        name: viprule_testkit::strategy::NODE.to_owned(),
        addresses: vec!["192.168.77.2".parse().unwrap()],
        ..Default::default()
    };
    syncer.apply(Event::NodeApplied(node));
    assert!(
        syncer.sync().unwrap().is_empty(),
        "node ports answer on every address"
    );
    assert_in_sync(&mut syncer);
}

#[test]
fn a_transaction_in_parts_ends_in_the_same_state() {
    for operations in [1, 2, 7, 40] {
        let mut kernel = Kernel::new();
        kernel.send_in_parts(operations);
        let mut syncer = fresh(kernel);
        let report = syncer.reconcile(Scope::Everything).unwrap();
        assert!(report.transactions > 1);
        assert_eq!(report.transactions, syncer.writer().transactions());
        assert_in_sync(&mut syncer);
    }
}
