//! Who asks for much is written in parts, and keeps nobody waiting.

use viprule_dataplane::Scope;
use viprule_service::model::Event;
use viprule_sync::{Report, Rooms};
use viprule_testkit::fake::{Blame, Kernel, Request};

use crate::world::{
    FakeSyncer, NAT, assert_in_sync, balancing_chain, fragment, fresh, id, restarted, service,
    slice, synced, wanted,
};

/// Services of two endpoints cost four, so that five fit.
const ROOMS: Rooms = Rooms {
    sync: 20,
    reconcile: 20,
};

/// A slice of as many endpoints.
fn many(name: &str, endpoints: u8) -> Event {
    let all: Vec<String> = (1..=endpoints)
        .map(|last| format!("10.244.9.{last}"))
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    slice(name, &all)
}

/// Syncs to the end, and says in how many turns.
fn finish(syncer: &mut FakeSyncer) -> usize {
    let mut turns = 1;
    while syncer.sync().unwrap().unfinished {
        turns += 1;
        assert!(turns < 1_000, "there is no end of it");
    }
    turns
}

fn is_written(syncer: &mut FakeSyncer, name: &str) -> bool {
    let fragment = fragment(syncer, name);
    let state = syncer.writer().state();
    fragment
        .iter()
        .all(|(key, object)| state.get(key) == Some(object))
}

#[test]
fn a_large_service_is_written_in_parts_and_others_have_their_turn_first() {
    let mut syncer = synced().in_turns(ROOMS);
    syncer.apply(many("a", 100));
    let first = syncer.sync().unwrap();
    assert!(first.unfinished && first.created <= 10);
    let chain = balancing_chain(&syncer, "a");
    assert!(!is_written(&mut syncer, "a"));
    assert_eq!(syncer.writer().rules(NAT, &chain).len(), 2, "as it was");

    syncer.apply(slice("b", &["10.244.1.9"]));
    assert!(syncer.sync().unwrap().unfinished);
    assert!(is_written(&mut syncer, "b"));
    assert!(finish(&mut syncer) > 5);
    assert_in_sync(&mut syncer);
    // Less of it takes parts, too.
    syncer.apply(Event::ServiceDeleted(id("a")));
    let Report {
        unfinished,
        removed,
        ..
    } = syncer.sync().unwrap();
    assert!(unfinished && removed <= 10);
    finish(&mut syncer);
    assert_in_sync(&mut syncer);
}

#[test]
fn what_changes_meanwhile_counts_from_then_on() {
    let mut syncer = synced().in_turns(ROOMS);
    syncer.apply(many("a", 100));
    syncer.sync().unwrap();
    syncer.sync().unwrap();
    syncer.apply(many("a", 40));
    syncer.sync().unwrap();
    syncer.apply(slice("a", &["10.244.0.5"]));
    finish(&mut syncer);
    assert_in_sync(&mut syncer);
}

#[test]
fn a_first_sync_in_parts_ends_with_what_leads_to_the_services() {
    for found in [Kernel::new(), std::mem::take(synced().writer())] {
        let is_new = found.state().is_empty();
        let mut syncer = fresh(found);
        for name in ["a", "c", "e"] {
            syncer.apply(many(name, 30));
        }
        syncer = syncer.in_turns(ROOMS);
        assert!(syncer.reconcile(Scope::Everything).unwrap().unfinished);
        assert_eq!(syncer.writer().rules(NAT, "PREROUTING").is_empty(), is_new);
        assert!(finish(&mut syncer) > 5);
        assert_in_sync(&mut syncer);
    }
}

#[test]
fn what_nobody_wants_goes_last() {
    let mut before = synced();
    before.apply(service("gone"));
    before.apply(slice("gone", &["10.244.0.5"]));
    before.sync().unwrap();
    let gone = balancing_chain(&before, "gone");
    let mut syncer = restarted(before).in_turns(ROOMS);
    syncer.apply(many("a", 30));
    assert!(syncer.reconcile(Scope::Everything).unwrap().unfinished);
    assert!(syncer.writer().has(NAT, &gone));
    finish(&mut syncer);
    assert!(!syncer.writer().has(NAT, &gone));
    assert_in_sync(&mut syncer);
}

#[test]
fn a_refused_part_sets_the_service_aside_and_a_lost_answer_does_not() {
    let mut syncer = synced().in_turns(ROOMS);
    syncer.apply(many("a", 60));
    syncer.sync().unwrap();
    syncer.writer().lose_the_next_answer(true);
    syncer.sync().unwrap();
    syncer.writer().lose_the_next_answer(false);
    syncer.sync().unwrap();
    let refused = |request: &Request<'_>| request.mentions("10.244.9.60:8080");
    syncer.writer().refuse(Blame::Told, refused);
    finish(&mut syncer);
    assert_eq!(syncer.quarantined().len(), 1);
    syncer.apply(slice("b", &["10.244.1.9"]));
    finish(&mut syncer);
    assert!(is_written(&mut syncer, "b"));
    syncer.writer().accept();
    syncer.release_refused();
    finish(&mut syncer);
    assert!(syncer.quarantined().is_empty());
    assert_in_sync(&mut syncer);
    assert!(!wanted(&syncer).is_empty());
}
