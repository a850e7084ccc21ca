//! The diff, the order of keys, and what fragments share.

use std::collections::{BTreeMap, BTreeSet};

use nfnetlink::xtables::{Rule, Target};
use proptest::prelude::*;
use proptest::sample::Index;
use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_dataplane::netfilter::{Desired, Key, Kind, Object, parse_save, print_save};
use viprule_dataplane::ownership::{Chain, Layout};
use viprule_dataplane::{Content, Dataplane, ObjectKey, State, diff};
use viprule_service::model::Event;
use viprule_service::plan::{Budgets, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_testkit::dump::is_our_chain;
use viprule_testkit::steps;
use viprule_testkit::strategy::{self, NODE, events, iptables_settings};

type Objects = BTreeMap<Key, Object>;

/// Every share of a desired state: the base, each Service's, the entry points.
fn fragments(events: impl IntoIterator<Item = Event>, settings: &Settings) -> Vec<Desired> {
    let mut tracker = Tracker::new(PlanConfig {
        node_name: NODE.to_owned(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
    });
    events.into_iter().for_each(|event| tracker.apply(event));
    let dataplane = Iptables::new(settings.clone(), tracker.facts());
    let plans = tracker.services().into_iter().map(|id| tracker.plan(&id));
    let services = plans.map(|plan| dataplane.service(&plan.expect("the tracker lists it")));
    std::iter::once(dataplane.base())
        .chain(services)
        .chain([dataplane.entry_points(&|_| false)])
        .collect()
}

fn whole(fragments: Vec<Desired>) -> Desired {
    fragments
        .into_iter()
        .fold(Desired::default(), State::merged)
}

/// A generated node's desired state.
fn desired() -> impl Strategy<Value = Desired> {
    (strategy::cluster(), iptables_settings())
        .prop_map(|(cluster, settings)| whole(fragments(events(&cluster), &settings)))
}

/// Any mixture of two nodes' objects, as another proxy or a half-done cleanup leaves it.
fn mixture() -> impl Strategy<Value = Desired> {
    let taken = proptest::collection::vec(any::<bool>(), 1..64);
    (desired(), desired(), taken).prop_map(|(a, b, taken)| {
        let objects = a.into_iter().chain(b).zip(taken.into_iter().cycle());
        let kept = objects.filter(|(_, taken)| *taken).map(|(it, _)| it);
        // In the order of keys, in which there may be several.
        let kept: Objects = kept.collect();
        steps::possible(kept, references, |_, _| true)
            .into_iter()
            .collect()
    })
}

/// What has to be there before an object.
fn references(key: &Key, object: &Object) -> Vec<Key> {
    let table = key.table();
    let target = |rule: &Rule| match &rule.target {
        Target::Jump(name) | Target::Goto(name) => {
            let chain = Chain::parse(name).expect("a rule of ours leads to a chain of ours");
            Some(Key::Chain { table, chain })
        }
        _ => None,
    };
    let place = match *key {
        Key::Rule { table, chain, .. } => Some(Key::Chain { table, chain }),
        Key::Chain { .. } | Key::Jump { .. } => None,
    };
    place
        .into_iter()
        .chain(object.rules().iter().filter_map(target))
        .collect()
}

fn step_by_step(from: &Desired, to: &Desired) -> Result<Objects, TestCaseError> {
    steps::take(from, to, references, |_| Ok(()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_state_has_no_difference_to_itself(state in desired()) {
        prop_assert!(diff(&state, &state).is_empty());
        prop_assert!(diff(&state, &state.fingerprints()).is_empty());
        prop_assert_eq!(diff(&Desired::default(), &state).len(), state.len());
    }

    #[test]
    fn every_step_of_a_diff_is_possible_and_the_last_one_ends_there(
        from in mixture(),
        to in desired(),
    ) {
        let objects = step_by_step(&from, &to)?;
        let mut expected: Objects = to.iter().cloned().collect();
        // What others share with us stays.
        let shared = from.iter().filter(|(key, _)| !key.is_removable());
        for (key, object) in shared {
            expected.entry(*key).or_insert_with(|| object.clone());
        }
        prop_assert_eq!(objects, expected);
    }

    #[test]
    fn everything_of_ours_can_be_removed(state in mixture()) {
        let left = step_by_step(&state, &Desired::default())?;
        prop_assert!(left.keys().all(|key| !key.is_removable()));
    }

    #[test]
    fn an_object_refers_to_smaller_keys_only(state in desired()) {
        for (key, object) in &state {
            for other in references(key, object) {
                prop_assert!(other < *key, "{key} leads to {other}");
                prop_assert!(state.get(&other).is_some(), "{key} leads to {other}, not there");
            }
        }
    }

    #[test]
    fn fragments_share_no_keys(cluster in strategy::cluster(), settings in iptables_settings()) {
        let mut seen = BTreeSet::new();
        for (key, _) in fragments(events(&cluster), &settings).into_iter().flatten() {
            prop_assert!(seen.insert(key), "{key} is in two fragments");
        }
    }

    #[test]
    fn every_key_names_a_chain_of_ours_or_a_built_in_one(state in desired()) {
        for (key, _) in &state {
            let base = matches!(key, Key::Jump { .. });
            prop_assert_eq!(!base, is_our_chain(&key.chain_name()), "{}", key);
        }
    }

    #[test]
    fn the_order_of_events_does_not_show(
        cluster in strategy::cluster(),
        settings in iptables_settings(),
        swaps in proptest::collection::vec(any::<(Index, Index)>(), 8),
    ) {
        let state = whole(fragments(events(&cluster), &settings));
        let mut shuffled = events(&cluster);
        for (a, b) in swaps {
            let (a, b) = (a.index(shuffled.len()), b.index(shuffled.len()));
            shuffled.swap(a, b);
        }
        let other = whole(fragments(shuffled, &settings));
        prop_assert_eq!(state.fingerprints(), other.fingerprints());
    }

    #[test]
    fn what_reads_the_same_has_the_same_fingerprints(state in desired()) {
        let mut read = Desired::default();
        for family in nfnetlink::Family::ALL {
            let text = print_save(family, &state);
            read = read.merged(parse_save(Layout::Iptables, family, &text).unwrap());
        }
        prop_assert_eq!(read.fingerprints(), state.fingerprints());
        for ((_, a), (_, b)) in state.iter().zip(read.iter()) {
            prop_assert_eq!(a.fingerprint() == b.fingerprint(), a == b);
        }
    }

    #[test]
    fn names_that_are_not_ours_have_no_key(
        name in prop_oneof![
            "[A-Z]{1,12}",
            "KUBE-[A-Z2-7-]{0,24}",
            "KUBE-(SVC|SVL|SEP|EXT|FW|XLB|HOST)-[A-Za-z0-9=]{14,18}",
            "(?i)kube-(services|nodeports|mark-masq|mark-drop|kubelet-canary|iptables-hint)",
            "KUBE-(SERVICES|FORWARD|POSTROUTING)[ \\n2_-]?",
            ".{0,32}",
        ],
    ) {
        if let Some(chain) = Chain::parse(&name) {
            prop_assert!(is_our_chain(&name), "{name:?} is taken for ours");
            prop_assert_eq!(chain.to_string(), name);
        } else {
            // The kit knows the names of IPVS mode as well.
            let ipvs = ["LOAD-BALANCER", "NODE-PORT", "IPVS", "SOURCE-RANGES"];
            let later = ipvs.iter().any(|part| name.contains(part));
            prop_assert!(later || !is_our_chain(&name), "{name:?} is taken for foreign");
        }
    }
}

#[test]
fn tables_of_other_names_have_no_kind() {
    for name in ["raw", "security", "NAT", "kube-proxy", "", "nat "] {
        assert_eq!(Kind::parse(name), None, "{name:?}");
    }
}
