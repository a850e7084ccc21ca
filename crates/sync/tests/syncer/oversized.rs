//! A Service that is too large stays as it was; all others go on.

use viprule_dataplane::Scope;
use viprule_dataplane::iptables::Settings;
use viprule_service::model::Event;
use viprule_service::plan::{Budgets, PlanConfig};
use viprule_sync::{Compared, compared};

use crate::world::{
    FakeSyncer, NAT, assert_in_sync, assert_same, balancing_chain, id, restarted, service, slice,
    synced,
};

/// More pairs of an address and an endpoint than Services of two endpoints have.
const BUDGET: u64 = 20;

/// More endpoints than that.
fn many() -> Event {
    let all: Vec<String> = (1..=21).map(|last| format!("10.244.0.{last}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    slice("b", &all)
}

fn few() -> Event {
    slice("b", &["10.244.0.1", "10.244.0.2"])
}

fn limit(syncer: &mut FakeSyncer) {
    let plan = PlanConfig {
        budgets: Budgets {
            service: BUDGET,
            ..Budgets::default()
        },
        ..syncer.tracker().config().clone()
    };
    syncer.configure(plan, Settings::default());
}

/// Service `b` has become too large; the kernel has it as it was.
fn grown() -> FakeSyncer {
    let mut syncer = synced();
    limit(&mut syncer);
    syncer.apply(many());
    syncer.sync().unwrap();
    syncer
}

#[test]
fn it_stays_as_it_was() {
    let mut before = synced();
    let state = before.writer().state();
    let mut syncer = grown();
    let oversized = syncer.tracker().oversized();
    assert!(oversized.len() == 1 && oversized[&id("b")].size > BUDGET);
    assert_same(&syncer.writer().state(), &state);
    syncer.reconcile(Scope::Everything).unwrap();
    assert_same(&syncer.writer().state(), &state);
    // What others take away of it comes back.
    let chain = balancing_chain(&syncer, "b");
    syncer.writer().foreign_flush(NAT, &chain);
    syncer.reconcile(Scope::Everything).unwrap();
    assert_same(&syncer.writer().state(), &state);

    syncer.apply(slice("a", &["10.244.0.9"]));
    let report = syncer.sync().unwrap();
    assert!(!report.is_empty(), "others go on");
    syncer.apply(few());
    syncer.sync().unwrap();
    assert!(syncer.tracker().oversized().is_empty());
    assert_in_sync(&mut syncer);
}

#[test]
fn it_stays_over_a_restart() {
    let mut before = grown();
    let state = before.writer().state();
    let mut syncer = restarted(before);
    limit(&mut syncer);
    syncer.apply(many());
    // What `viprule diff` says beforehand.
    let Compared { observed, desired } =
        compared(&syncer.dataplane().clone(), syncer.tracker(), state.clone());
    assert_same(&observed, &desired);
    syncer.reconcile(Scope::Everything).unwrap();
    assert_same(&syncer.writer().state(), &state);
    syncer.apply(few());
    syncer.sync().unwrap();
    assert!(!syncer.withholds());
    assert_in_sync(&mut syncer);
}

#[test]
fn it_goes_when_it_is_deleted() {
    for restart in [false, true] {
        let mut syncer = grown();
        if restart {
            syncer = restarted(syncer);
            limit(&mut syncer);
            syncer.apply(many());
            syncer.reconcile(Scope::Everything).unwrap();
        }
        syncer.apply(Event::ServiceDeleted(id("b")));
        syncer.sync().unwrap();
        assert_in_sync(&mut syncer);
    }
}

#[test]
fn nothing_of_a_new_one_is_written() {
    let mut syncer = synced();
    limit(&mut syncer);
    syncer.apply(Event::ServiceDeleted(id("b")));
    syncer.sync().unwrap();
    syncer.apply(many());
    syncer.apply(service("b"));
    assert!(syncer.sync().unwrap().is_empty());
    assert_in_sync(&mut syncer);
}
