//! What follows from facts, whoever read them.

use viprule_dataplane::iptables::{self, Iptables};
use viprule_dataplane::ipvs::{self, Ipvs, Saves};
use viprule_dataplane::netfilter;
use viprule_dataplane::netfilter::Object;
use viprule_dataplane::ownership::Layout;
use viprule_dataplane::{Content, Dataplane, ObjectKey, State, diff};
use viprule_service::model::Event;
use viprule_service::tracker::Tracker;
use viprule_sync::desired;
use viprule_testkit::objects::plan_config;

/// The node whose view is planned.
pub(crate) const NODE: &str = "node-0";

/// A tracker that knows nothing.
pub(crate) fn tracker() -> Tracker {
    Tracker::new(plan_config(NODE))
}

/// A tracker that was told these events, each of which is also planned in both modes.
pub(crate) fn follow(events: impl IntoIterator<Item = Event>) -> Tracker {
    let mut tracker = tracker();
    for event in events {
        tracker.apply(event);
    }
    check(&tracker);
    tracker
}

/// In both modes: what is planned differs from nothing but itself, and reads back as it prints.
pub(crate) fn check(tracker: &Tracker) {
    for conflict in tracker.conflicts() {
        let _ = conflict.to_string();
    }
    let chains = Iptables::new(iptables::Settings::default(), tracker.facts());
    let state = desired(&chains, tracker);
    objections(&chains, tracker);
    differs_from_all_but_itself(&state);
    for family in nfnetlink::Family::ALL {
        let text = netfilter::print_save(family, &state);
        let read = netfilter::parse_save::<Object>(Layout::Iptables, family, &text);
        let read = read.expect("what is printed can be read");
        let own = state
            .clone()
            .filter(|key: &netfilter::Key| key.table().family == family);
        same(&read, &own, &text);
    }

    let servers = Ipvs::new(ipvs::Settings::default(), tracker.facts());
    let state = desired(&servers, tracker);
    objections(&servers, tracker);
    differs_from_all_but_itself(&state);
    let text = ipvs::print_save(&state);
    let mut saves = Saves::new();
    saves
        .read(&text, None)
        .expect("what is printed can be read");
    same(&saves.finish().state, &state, &text);
}

fn objections<D: Dataplane>(dataplane: &D, tracker: &Tracker) {
    for id in tracker.services() {
        if let Some(plan) = tracker.plan(&id) {
            let _ = dataplane.objections(&plan);
        }
    }
}

/// A state's differences from itself and from nothing.
pub(crate) fn differs_from_all_but_itself<K, V>(state: &State<K, V>)
where
    K: ObjectKey,
    V: Content,
{
    assert!(diff(state, state).is_empty(), "differs from itself");
    assert!(diff(&state.fingerprints(), state).is_empty());
    let nothing = State::<K, V>::default();
    assert_eq!(diff(&nothing, state).writes.len(), state.len());
    assert!(diff(state, &nothing).writes.is_empty());
}

/// Fails with what differs.
pub(crate) fn same<K, V>(found: &State<K, V>, wanted: &State<K, V>, text: &str)
where
    K: ObjectKey,
    V: Content,
{
    let diff = diff(found, wanted);
    assert!(diff.is_empty(), "{diff:#?}\n{text}");
}
