//! The diff, the order of keys, what fragments share, and whose virtual servers are.

use std::collections::{BTreeMap, BTreeSet};

use nfnetlink::Family;
use nfnetlink::xtables::{Match, Rule, Target};
use proptest::prelude::*;
use viprule_dataplane::ipvs::{
    Desired, Ipvs, Key, Object, Saves, Settings, owns_server, print_save,
};
use viprule_dataplane::ownership::{Chain, Set, SetName};
use viprule_dataplane::{Content as _, Dataplane as _, ObjectKey as _, State, diff, netfilter};
use viprule_service::model::Event;
use viprule_service::plan::{Budgets, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_testkit::steps;
use viprule_testkit::strategy::{self, NODE, events, ipvs_settings};

type Objects = BTreeMap<Key, Object>;

/// Chains with rules about sets whatever is in those (contract 3.6).
const STATIC: [(netfilter::Kind, &str); 2] = [
    (netfilter::Kind::Filter, "KUBE-NODE-PORT"),
    (netfilter::Kind::Filter, "KUBE-IPVS-FILTER"),
];

fn tracker(events: impl IntoIterator<Item = Event>) -> Tracker {
    let mut tracker = Tracker::new(PlanConfig {
        node_name: NODE.to_owned(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
    });
    events.into_iter().for_each(|event| tracker.apply(event));
    tracker
}

/// Every share of a desired state: the base, each Service's, the entry points.
fn fragments(events: impl IntoIterator<Item = Event>, settings: &Settings) -> Vec<Desired> {
    let tracker = tracker(events);
    let dataplane = Ipvs::new(settings.clone(), tracker.facts());
    let mut fragments = services(&dataplane, &tracker);
    let containers: BTreeSet<Key> = fragments.iter().flat_map(State::containers).collect();
    fragments.insert(0, dataplane.base());
    fragments.push(dataplane.entry_points(&|container| containers.contains(container)));
    fragments
}

fn services(dataplane: &Ipvs, tracker: &Tracker) -> Vec<Desired> {
    let plans = tracker.services().into_iter().map(|id| tracker.plan(&id));
    let services = plans.map(|plan| dataplane.service(&plan.expect("the tracker lists it")));
    services.collect()
}

fn of_all(dataplane: &Ipvs, tracker: &Tracker) -> Desired {
    dataplane.desired(services(dataplane, tracker))
}

/// A generated node's desired state.
fn desired() -> impl Strategy<Value = Desired> {
    (strategy::cluster(), ipvs_settings()).prop_map(|(cluster, settings)| {
        let tracker = tracker(events(&cluster));
        of_all(&Ipvs::new(settings, tracker.facts()), &tracker)
    })
}

/// Any mixture of two nodes' objects, as another proxy or a half-done cleanup leaves it.
fn mixture() -> impl Strategy<Value = Desired> {
    let taken = proptest::collection::vec(any::<bool>(), 1..64);
    (desired(), desired(), taken).prop_map(|(a, b, taken)| {
        let objects = a.into_iter().chain(b).zip(taken.into_iter().cycle());
        let kept = objects.filter(|(_, taken)| *taken).map(|(it, _)| it);
        // What the kernel would not have taken, and servers that nobody could tell to be ours.
        steps::possible(kept, references, is_known)
            .into_iter()
            .collect()
    })
}

/// By elements of sets alone: addresses go before the servers that they are for.
fn is_known(key: &Key, objects: &Objects) -> bool {
    let is_there = |other: &Key| matches!(other, Key::Entry { .. }) && objects.contains_key(other);
    match key {
        Key::Server(server) => owns_server(server, is_there),
        _ => true,
    }
}

/// What has to be there before an object.
fn references(key: &Key, object: &Object) -> Vec<Key> {
    match (key, object) {
        (Key::Entry { set, .. }, _) => vec![Key::Set(*set)],
        (Key::Destination { server, .. }, _) => vec![Key::Server(*server)],
        (Key::Address(_), _) => vec![Key::Link],
        (Key::Netfilter(key), Object::Netfilter(object)) => {
            let table = key.table();
            let place = match *key {
                netfilter::Key::Rule { chain, .. } => Some(netfilter::Key::Chain { table, chain }),
                _ => None,
            };
            place
                .map(Key::Netfilter)
                .into_iter()
                .chain(object.rules().iter().flat_map(|rule| of_rule(table, rule)))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn of_rule(table: netfilter::Table, rule: &Rule) -> Vec<Key> {
    let target = match &rule.target {
        Target::Jump(name) | Target::Goto(name) => {
            let chain = Chain::parse(name).expect("a rule of ours leads to a chain of ours");
            let key = netfilter::Key::Chain { table, chain };
            Some(Key::Netfilter(key))
        }
        _ => None,
    };
    let set = rule.matches.iter().filter_map(|one| match one {
        Match::Set { name, .. } => Set::all(table.family).find(|set| set.to_string() == *name),
        _ => None,
    });
    target.into_iter().chain(set.map(Key::Set)).collect()
}

/// At each step every virtual server can be told to be ours.
fn step_by_step(from: &Desired, to: &Desired) -> Result<Objects, TestCaseError> {
    steps::take(from, to, references, |objects| {
        let lost = objects.keys().find(|key| !is_known(key, objects));
        prop_assert_eq!(lost.map(ToString::to_string), None, "whose is it?");
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

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
        prop_assert_eq!(objects, to.iter().cloned().collect::<Objects>());
    }

    #[test]
    fn everything_can_be_removed(state in mixture()) {
        prop_assert_eq!(step_by_step(&state, &Desired::default())?, Objects::new());
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
    fn fragments_share_only_what_may_be_common(
        cluster in strategy::cluster(),
        settings in ipvs_settings(),
    ) {
        let mut seen = BTreeMap::new();
        for (key, object) in fragments(events(&cluster), &settings).into_iter().flatten() {
            if let Some(other) = seen.insert(key, object.fingerprint()) {
                prop_assert!(key.is_common(), "{key} is in two fragments");
                prop_assert_eq!(other, object.fingerprint(), "{} says two things", key);
            }
        }
    }

    /// Read as kernel state: the reader knows nothing but sets and addresses.
    #[test]
    fn what_is_printed_reads_back_with_every_server(state in desired()) {
        let mut saves = Saves::new();
        saves.read(&print_save(&state), None).unwrap();
        let read = saves.finish();
        prop_assert!(read.draining.is_empty());
        prop_assert!(read.state == state);
        prop_assert_eq!(read.state.fingerprints(), state.fingerprints());
    }

    /// Also on a node that has become another one: it is as on a fresh start.
    #[test]
    fn rules_about_a_set_are_there_while_it_has_elements(
        before in strategy::cluster(),
        after in strategy::cluster(),
        settings in ipvs_settings(),
    ) {
        let (before, after) = (tracker(events(&before)), tracker(events(&after)));
        let mut dataplane = Ipvs::new(settings.clone(), before.facts());
        dataplane.set_node(after.facts());
        let desired = of_all(&dataplane, &after);
        prop_assert!(desired == of_all(&Ipvs::new(settings, after.facts()), &after));

        // Those that have rules whatever is in them.
        let is_static = |name| matches!(name, SetName::HealthCheckNodePort | SetName::IpvsIps);
        let with_elements = desired.iter().filter_map(|(key, _)| match key {
            Key::Entry { set, .. } if !is_static(set.name) => Some(Key::Set(*set)),
            _ => None,
        });
        let with_rules = desired.iter().filter(|(key, _)| match key {
            Key::Netfilter(key) => !STATIC.contains(&(key.table().kind, &*key.chain_name())),
            _ => false,
        });
        let with_rules = with_rules.flat_map(|(key, object)| references(key, object));
        let with_rules = with_rules.filter(|key| matches!(key, Key::Set(_)));
        prop_assert_eq!(
            with_rules.collect::<BTreeSet<_>>(),
            with_elements.collect::<BTreeSet<_>>()
        );
    }
}

#[test]
fn all_families_sets_are_made() {
    let dataplane = Ipvs::new(
        Settings::default(),
        &viprule_service::plan::NodeFacts::default(),
    );
    let base = dataplane.base();
    let sets: BTreeSet<Key> = Family::ALL
        .into_iter()
        .flat_map(Set::all)
        .map(Key::Set)
        .collect();
    let made = base.iter().map(|(key, _)| *key);
    assert_eq!(
        made.filter(|key| matches!(key, Key::Set(_)))
            .collect::<BTreeSet<_>>(),
        sets
    );
}
