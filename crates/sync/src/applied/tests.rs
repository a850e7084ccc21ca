//! Who holds what.

use std::fmt;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use viprule_service::model::ServiceId;

use super::*;

/// Up to 7 are common, and elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key(u8);

impl ObjectKey for Key {
    type Piece = bool;

    fn piece(&self) -> bool {
        self.0.is_multiple_of(2)
    }

    fn is_removable(&self) -> bool {
        true
    }

    fn is_common(&self) -> bool {
        self.0 < 8
    }

    fn container(&self) -> Option<Self> {
        self.is_common().then(|| Self(100 + self.0 % 4))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn state(keys: impl IntoIterator<Item = u8>, content: u8) -> State<Key, Fingerprint> {
    let keys = keys.into_iter();
    keys.map(|key| (Key(key), Fingerprint::of(&content)))
        .collect()
}

fn fragment(number: u8) -> FragmentId {
    FragmentId::Service(ServiceId::new("shop", &format!("s{number}")).unwrap())
}

fn holding(fragments: &[&[u8]]) -> Applied<Key> {
    let mut applied = Applied::new();
    for (number, keys) in (0..).zip(fragments) {
        applied.set(fragment(number), state(keys.iter().copied(), 0));
    }
    applied
}

#[test]
fn what_another_one_holds_is_held() {
    let mut applied = holding(&[&[1, 9]]);
    let held = applied.held(&fragment(1), &state([1, 2, 9], 0));
    assert_eq!(held, state([1], 0));
    assert_eq!(applied.own(&fragment(1)), None);
}

#[test]
fn who_writes_last_is_seen_by_all() {
    let mut applied = holding(&[&[1], &[1]]);
    applied.set(fragment(1), state([1], 5));
    let held = applied.held(&fragment(0), &state([1], 0));
    assert_eq!(held, state([1], 5));
    // The first one held it before and is not asked any more.
    applied.set(fragment(1), State::default());
    let held = applied.held(&fragment(0), &state([1], 0));
    assert_eq!(held, state([1], 5));
}

#[test]
fn what_another_holder_wrote_is_no_news() {
    let mut applied = holding(&[&[1], &[1]]);
    applied.set(fragment(1), state([1], 5));
    let mut look = |content| {
        let scope = Scope::Pieces([false].into());
        applied.correct(&scope, state([1], content))
    };
    assert_eq!(look(5), []);
    // What somebody else wrote is.
    assert_eq!(look(0), [fragment(0), fragment(1)]);
}

#[test]
fn only_the_last_holder_leaves_an_orphan() {
    let mut applied = holding(&[&[1, 9], &[1]]);
    assert_eq!(applied.disown(&fragment(0)).len(), 2);
    let orphans: Vec<_> = applied.orphans().keys().copied().collect();
    assert_eq!(orphans, [Key(9)]);
    applied.disown(&fragment(1));
    let orphans: Vec<_> = applied.orphans().keys().copied().collect();
    assert_eq!(orphans, [Key(1), Key(9)]);
    assert!(applied.disown(&fragment(1)).is_empty());
}

#[test]
fn all_holders_lose_what_is_gone() {
    let mut applied = holding(&[&[1, 2], &[1]]);
    let scope = Scope::Pieces([false].into());
    let changed = applied.correct(&scope, state([3], 0));
    assert_eq!(changed, [fragment(0), fragment(1)]);
    assert_eq!(applied.own(&fragment(0)), Some(&state([2], 0)));
    assert_eq!(applied.own(&fragment(1)), Some(&state([], 0)));
    assert_eq!((applied.holders(&Key(1)), applied.holders(&Key(2))), (0, 1));
    let orphans: Vec<_> = applied.orphans().keys().copied().collect();
    assert_eq!(orphans, [Key(3)]);
}

#[test]
fn the_first_and_the_last_element_turn_a_container() {
    let mut applied = Applied::new();
    let has = |applied: &Applied<Key>| applied.has_with([].into_iter())(&Key(101));
    let mut set = |number, keys: &[u8]| {
        applied.set(fragment(number), state(keys.iter().copied(), 0));
        (applied.take_container_changes(), has(&applied))
    };
    assert_eq!(set(0, &[1]), (true, true));
    // Another one has the same, and then one of its own.
    assert_eq!(set(1, &[1]), (false, true));
    assert_eq!(set(1, &[5]), (false, true));
    assert_eq!(set(0, &[]), (false, true));
    assert_eq!(set(1, &[]), (true, false));
}

#[test]
fn what_is_about_to_be_written_counts_as_if_it_were() {
    let mut applied = holding(&[&[1], &[2]]);
    applied.take_container_changes();
    let (nothing, other) = (state([], 0), state([3], 0));
    let (first, second) = (fragment(0), fragment(1));
    let written = [(&first, &nothing), (&second, &other)];
    let has = applied.has_with(written.into_iter());
    let having = (100..104).filter(|key| has(&Key(*key)));
    assert_eq!(having.collect::<Vec<_>>(), [103]);
    drop(has);
    let has = applied.has_with([].into_iter());
    let having = (100..104).filter(|key| has(&Key(*key)));
    assert_eq!(having.collect::<Vec<_>>(), [101, 102]);
    drop(has);
    assert!(!applied.take_container_changes());
}

#[test]
fn a_look_tells_who_has_other_objects_than_we_knew() {
    let mut applied = holding(&[&[1, 9], &[3], &[10]]);
    let look = |applied: &mut Applied<Key>, seen| {
        let scope = Scope::Pieces([false].into());
        applied.correct(&scope, seen)
    };
    assert_eq!(look(&mut applied, state([1, 3, 9], 0)), []);
    let seen = state([1, 9], 0).merged(state([3], 7));
    assert_eq!(look(&mut applied, seen.clone()), [fragment(1)]);
    assert_eq!(look(&mut applied, seen), []);
}

proptest! {
    /// Whatever fragments come and go, an object is held by as many as have it, and containers are
    /// known to have elements.
    #[test]
    fn holders_are_counted(
        steps in vec((0..4_u8, btree_set(0..12_u8, 0..6), any::<bool>()), 0..30),
        gone in btree_set(0..12_u8, 0..6),
    ) {
        let mut applied = Applied::new();
        let mut model: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
        let having = |applied: &Applied<Key>| -> BTreeSet<u8> {
            let has = applied.has_with([].into_iter());
            (100..104).filter(|key| has(&Key(*key))).collect()
        };
        let expected = |model: &BTreeMap<u8, BTreeSet<u8>>| -> BTreeSet<u8> {
            let elements = model.values().flatten().filter(|key| **key < 8);
            elements.map(|key| 100 + key % 4).collect()
        };
        let mut had = BTreeSet::new();
        for (number, keys, disown) in steps {
            if disown {
                applied.disown(&fragment(number));
                model.remove(&number);
            } else {
                let wanted = state(keys.iter().copied(), 0);
                applied.held(&fragment(number), &wanted);
                applied.set(fragment(number), wanted);
                model.insert(number, keys);
            }
            prop_assert_eq!(having(&applied), expected(&model));
            let changed = applied.take_container_changes();
            prop_assert!(changed || having(&applied) == had);
            had = having(&applied);
        }
        let seen = (0..12).filter(|key| !gone.contains(key));
        applied.correct(&Scope::Everything, state(seen, 0));
        for keys in model.values_mut() {
            keys.retain(|key| !gone.contains(key));
        }
        prop_assert_eq!(having(&applied), expected(&model));
        prop_assert_eq!(applied.take_container_changes(), having(&applied) != had);
        for key in 0..8 {
            let holders = model.values().filter(|keys| keys.contains(&key)).count();
            prop_assert_eq!(applied.holders(&Key(key)) as usize, holders);
        }
        for key in 0..12 {
            let held = model.values().any(|keys| keys.contains(&key));
            let orphan = applied.orphans().contains_key(&Key(key));
            prop_assert_eq!(orphan, !held && !gone.contains(&key), "{}", key);
        }
        applied.disown_all();
        prop_assert_eq!(applied.orphans().len(), 12 - gone.len());
    }
}
