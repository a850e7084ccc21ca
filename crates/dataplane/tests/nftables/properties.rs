//! The diff, the order of keys, and what fragments share.

use std::collections::{BTreeMap, BTreeSet};

use nfnetlink::Family;
use nfnetlink::nftables::native::{NatTo, Operand, Rule, Statement, Verdict};
use proptest::prelude::*;
use viprule_dataplane::nftables::{Desired, Key, Nftables, Object, Settings, listing, observed};
use viprule_dataplane::{Content as _, Dataplane as _, ObjectKey as _, State, diff};
use viprule_service::model::Event;
use viprule_service::plan::{Budgets, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_testkit::steps;
use viprule_testkit::strategy::{self, NODE, events, ipvs_settings};

type Objects = BTreeMap<Key, Object>;

/// Settings of every mode in every combination.
fn nft_settings() -> impl Strategy<Value = Settings> {
    ipvs_settings().prop_map(|settings| Settings {
        common: settings.common,
    })
}

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
    let dataplane = Nftables::new(settings.clone(), tracker.facts());
    let plans = tracker.services().into_iter().map(|id| tracker.plan(&id));
    let services = plans.map(|plan| dataplane.service(&plan.expect("the tracker lists it")));
    std::iter::once(dataplane.base())
        .chain(services)
        .chain([dataplane.entry_points(&|_| false)])
        .collect()
}

fn whole(fragments: Vec<Desired>) -> Desired {
    fragments.into_iter().flatten().collect()
}

/// A generated node's desired state.
fn desired() -> impl Strategy<Value = Desired> {
    (strategy::cluster(), nft_settings())
        .prop_map(|(cluster, settings)| whole(fragments(events(&cluster), &settings)))
}

/// Any mixture of two nodes' objects that a kernel could have.
fn mixture() -> impl Strategy<Value = Desired> {
    let taken = proptest::collection::vec(any::<bool>(), 1..64);
    (desired(), desired(), taken).prop_map(|(a, b, taken)| {
        learn([&a, &b]);
        let objects = a.into_iter().chain(b).zip(taken.into_iter().cycle());
        // Else nothing is possible.
        let is_table = |key: &Key| matches!(key, Key::Table(_));
        let kept = objects.filter(|((key, _), taken)| *taken || is_table(key));
        let kept: Objects = kept.map(|(it, _)| it).collect();
        steps::possible(kept, references, |_, _| true)
            .into_iter()
            .collect()
    })
}

/// Names that a rule mentions: sets and maps, and chains.
fn mentions(rule: &Rule) -> Vec<String> {
    let mut names = Vec::new();
    for statement in &rule.statements {
        match statement {
            Statement::InSet { set, .. } | Statement::Dynset { set, .. } => {
                names.push(format!("set {set}"));
            }
            Statement::SetMeta {
                to: Operand::Map { map, .. },
                ..
            }
            | Statement::Nat {
                to: NatTo::Map { map, .. },
                ..
            } => names.push(format!("set {map}")),
            Statement::Verdict(Verdict::Goto(chain) | Verdict::Jump(chain)) => {
                names.push(format!("chain {chain}"));
            }
            _ => {}
        }
    }
    names
}

thread_local! {
    /// Keys by the names that rules have for them, as far as any state had them.
    static NAMES: std::cell::RefCell<BTreeMap<String, Key>> = const {
        std::cell::RefCell::new(BTreeMap::new())
    };
}

/// The key of what a rule mentions, looked for among all keys that a test has seen.
fn named(family: Family, name: &str) -> Key {
    let text = name.replacen(' ', &format!(" {family} viprule "), 1);
    NAMES.with_borrow(|names| {
        *names
            .get(&text)
            .unwrap_or_else(|| panic!("{text} is nothing"))
    })
}

/// Lets rules find what is in these states.
fn learn<'a>(states: impl IntoIterator<Item = &'a Desired>) {
    NAMES.with_borrow_mut(|names| {
        for (key, _) in states.into_iter().flatten() {
            if matches!(key, Key::Set(_) | Key::Chain { .. }) {
                names.entry(key.to_string()).or_insert(*key);
            }
        }
    });
}

/// What has to be there before an object.
fn references(key: &Key, object: &Object) -> Vec<Key> {
    learn([&[(*key, object.clone())].into_iter().collect()]);
    let family = key.family();
    let rules = object.rules().iter().flat_map(mentions);
    let mut all: Vec<Key> = rules.map(|name| named(family, &name)).collect();
    match *key {
        Key::Table(_) => {}
        Key::Element(element) => all.push(Key::Set(element.set())),
        Key::StickyRule { row, .. } => all.push(Key::Chain {
            family,
            chain: viprule_dataplane::nftables::Chain::Sticky(row),
        }),
        Key::Set(_) | Key::Chain { .. } | Key::BaseChain { .. } => all.push(Key::Table(family)),
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_listed_is_observed_as_it_was(state in desired()) {
        let listings = Family::ALL.into_iter().filter_map(|family| listing(family, &state));
        let seen: Desired = listings.flat_map(|listing| observed(&listing)).collect();
        prop_assert_eq!(seen, state);
    }

    #[test]
    fn a_state_has_no_difference_to_itself(state in desired()) {
        prop_assert!(diff(&state, &state).is_empty());
        prop_assert!(diff(&state, &state.fingerprints()).is_empty());
        prop_assert_eq!(diff(&Desired::default(), &state).len(), state.len());
    }

    #[test]
    fn an_object_refers_to_smaller_keys_only(state in desired()) {
        learn([&state]);
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
        settings in nft_settings(),
    ) {
        let mut seen = BTreeMap::new();
        for (key, object) in fragments(events(&cluster), &settings).into_iter().flatten() {
            if let Some(other) = seen.insert(key, object.fingerprint()) {
                prop_assert!(key.is_common(), "{key} is in two fragments");
                prop_assert_eq!(other, object.fingerprint(), "{} says two things", key);
            }
        }
    }

    /// Names in the kernel tell objects apart as keys do, and elements have keys of their own.
    #[test]
    fn no_two_keys_are_one_object_to_the_kernel(state in desired()) {
        let mut names = BTreeSet::new();
        for (key, object) in &state {
            let name = match (key, object) {
                (Key::Element(element), Object::Element(content)) => {
                    let bytes = element.encode(content);
                    format!("{:?} {:?} {:?}", element.set(), bytes.key, bytes.end)
                }
                _ => key.to_string(),
            };
            prop_assert!(names.insert(name.clone()), "{name} is twice there");
        }
    }

    /// A packet that finds a frontend in `services` finds a row, and slot 0 in any row.
    #[test]
    fn rows_are_dense_and_as_large_as_their_set_says(state in desired()) {
        use viprule_dataplane::nftables::{Element, FrontendSet};
        let elements = || state.iter().filter_map(|(key, _)| match key {
            Key::Element(element) => Some(*element),
            _ => None,
        });
        let mut rows: BTreeMap<_, u16> = BTreeMap::new();
        for element in elements() {
            if let Element::Endpoint { local, frontend, slot } = element {
                // In the order of slots.
                let next = rows.entry((local, frontend)).or_default();
                prop_assert_eq!(*next, slot);
                *next += 1;
            }
        }
        let mut sized = BTreeSet::new();
        for element in elements() {
            match element {
                Element::Frontend { set: FrontendSet::Size { local, size }, frontend } => {
                    let slots = rows.get(&(local, frontend)).copied().unwrap_or_default();
                    prop_assert_eq!(slots.next_power_of_two(), size);
                    prop_assert!(slots > 0 && sized.insert((local, frontend)));
                }
                Element::Frontend { set: FrontendSet::Services, frontend } => {
                    prop_assert!(rows.contains_key(&(false, frontend)), "{frontend} has no row");
                }
                _ => {}
            }
        }
        prop_assert_eq!(sized, rows.keys().copied().collect::<BTreeSet<_>>());
    }

    #[test]
    fn what_is_printed_reads_back(state in desired()) {
        for family in nfnetlink::Family::ALL {
            if let Some(listing) = listing(family, &state) {
                let text = listing.to_string();
                // Names that begin so have bytes only here, and words in nft.
                if !text.contains("iifname 0x") && !text.contains("iifname != 0x") {
                    let parsed = nfnetlink::nftables::native::Listing::parse(&text);
                    prop_assert!(parsed.as_ref() == Ok(&listing), "{:?}", parsed.err());
                }
            }
        }
    }

    #[test]
    fn a_repeated_and_reversed_order_of_services_shows_nothing(
        cluster in strategy::cluster(),
        settings in nft_settings(),
    ) {
        let straight = whole(fragments(events(&cluster), &settings));
        let mut other = fragments(events(&cluster), &settings);
        other.reverse();
        let repeated = other.clone().into_iter().chain(other);
        prop_assert!(whole(repeated.collect()) == straight);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    #[test]
    fn every_step_of_a_diff_is_possible_and_the_last_one_ends_there(
        from in mixture(),
        to in desired(),
    ) {
        learn([&from, &to]);
        let objects = stepwise(&from, &to)?;
        prop_assert_eq!(objects, to.iter().cloned().collect::<Objects>());
    }

    #[test]
    fn everything_can_be_removed(state in mixture()) {
        prop_assert_eq!(stepwise(&state, &State::default())?, Objects::new());
    }
}

/// Takes each write and delete of a diff; references are counted, as there are thousands of rules.
fn stepwise(from: &Desired, to: &Desired) -> Result<Objects, TestCaseError> {
    let mut objects: Objects = from.iter().cloned().collect();
    let mut users: BTreeMap<Key, usize> = BTreeMap::new();
    let count = |users: &mut BTreeMap<Key, usize>, key: &Key, object: &Object| {
        for other in references(key, object) {
            *users.entry(other).or_default() += 1;
        }
    };
    let forget = |users: &mut BTreeMap<Key, usize>, key: &Key, object: &Object| {
        for other in references(key, object) {
            *users.get_mut(&other).expect("it was counted") -= 1;
        }
    };
    for (key, object) in &objects {
        count(&mut users, key, object);
    }
    let diff = diff(from, to);
    for write in &diff.writes {
        prop_assert_eq!(
            objects.get(write.key),
            write.old,
            "{} was not as said",
            write.key
        );
        for other in references(write.key, write.new) {
            prop_assert!(objects.contains_key(&other), "{} before {other}", write.key);
        }
        if let Some(old) = objects.insert(*write.key, write.new.clone()) {
            forget(&mut users, write.key, &old);
        }
        count(&mut users, write.key, write.new);
    }
    for (key, old) in &diff.deletes {
        let removed = objects.remove(*key);
        prop_assert_eq!(removed.as_ref(), Some(*old));
        forget(&mut users, key, old);
        prop_assert_eq!(
            users.get(*key).copied().unwrap_or_default(),
            0,
            "needs {}",
            key
        );
    }
    Ok(objects)
}
