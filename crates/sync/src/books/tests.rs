//! Who holds what.

use std::fmt;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use viprule_service::model::ServiceId;

use super::*;

/// Up to 7 are common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key(u8);

impl ObjectKey for Key {
    type Part = bool;

    fn part(&self) -> bool {
        self.0.is_multiple_of(2)
    }

    fn is_removable(&self) -> bool {
        true
    }

    fn is_common(&self) -> bool {
        self.0 < 8
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

fn settled(fragments: &[&[u8]]) -> Books<Key> {
    let mut books = Books::new();
    for (number, keys) in (0..).zip(fragments) {
        books.settle(fragment(number), state(keys.iter().copied(), 0));
    }
    books
}

#[test]
fn what_another_one_holds_is_held() {
    let mut books = settled(&[&[1, 9]]);
    let (held, adopted) = books.held(&fragment(1), &state([1, 2, 9], 0));
    assert_eq!(held, state([1], 0));
    assert!(adopted.is_empty());
}

#[test]
fn who_writes_last_is_seen_by_all() {
    let mut books = settled(&[&[1], &[1]]);
    books.settle(fragment(1), state([1], 5));
    let (held, _) = books.held(&fragment(0), &state([1], 0));
    assert_eq!(held, state([1], 5));
    // The first one held it before and is not asked any more.
    books.settle(fragment(1), State::default());
    let (held, _) = books.held(&fragment(0), &state([1], 0));
    assert_eq!(held, state([1], 5));
}

#[test]
fn what_another_holder_wrote_is_no_news() {
    let mut books = settled(&[&[1], &[1]]);
    books.settle(fragment(1), state([1], 5));
    let mut look = |content| {
        let scope = Scope::Parts([false].into());
        books.correct(&scope, state([1], content), |_| panic!("nothing is gone"))
    };
    assert_eq!(look(5), []);
    // What somebody else wrote is.
    assert_eq!(look(0), [fragment(0), fragment(1)]);
}

#[test]
fn only_the_last_holder_leaves_an_orphan() {
    let mut books = settled(&[&[1, 9], &[1]]);
    assert_eq!(books.disown(&fragment(0)).len(), 2);
    let orphans: Vec<_> = books.orphans().keys().copied().collect();
    assert_eq!(orphans, [Key(9)]);
    books.disown(&fragment(1));
    let orphans: Vec<_> = books.orphans().keys().copied().collect();
    assert_eq!(orphans, [Key(1), Key(9)]);
    assert!(books.disown(&fragment(1)).is_empty());
}

#[test]
fn all_holders_lose_what_is_gone() {
    let mut books = settled(&[&[1, 2], &[1]]);
    let scope = Scope::Parts([false].into());
    let mut lost = Vec::new();
    let changed = books.correct(&scope, state([3], 0), |gone| lost.push(gone));
    assert_eq!(changed, [fragment(0), fragment(1)]);
    assert_eq!(lost, [state([1], 0), state([1], 0)]);
    assert_eq!((books.holders(&Key(1)), books.holders(&Key(2))), (0, 1));
    let orphans: Vec<_> = books.orphans().keys().copied().collect();
    assert_eq!(orphans, [Key(3)]);
}

#[test]
fn a_look_tells_who_has_other_objects_than_we_knew() {
    let mut books = settled(&[&[1, 9], &[3], &[10]]);
    let look = |books: &mut Books<Key>, seen| {
        let scope = Scope::Parts([false].into());
        books.correct(&scope, seen, |_| panic!("nothing is gone"))
    };
    assert_eq!(look(&mut books, state([1, 3, 9], 0)), []);
    let seen = state([1, 9], 0).merged(state([3], 7));
    assert_eq!(look(&mut books, seen.clone()), [fragment(1)]);
    assert_eq!(look(&mut books, seen), []);
}

proptest! {
    /// Whatever fragments come and go, an object is held by as many as have it.
    #[test]
    fn holders_are_counted(
        steps in vec((0..4_u8, btree_set(0..12_u8, 0..6), any::<bool>()), 0..30),
        gone in btree_set(0..12_u8, 0..6),
    ) {
        let mut books = Books::new();
        let mut model: BTreeMap<u8, std::collections::BTreeSet<u8>> = BTreeMap::new();
        for (number, keys, disown) in steps {
            if disown {
                books.disown(&fragment(number));
                model.remove(&number);
            } else {
                let wanted = state(keys.iter().copied(), 0);
                books.held(&fragment(number), &wanted);
                books.settle(fragment(number), wanted);
                model.insert(number, keys);
            }
        }
        let seen = (0..12).filter(|key| !gone.contains(key));
        books.correct(&Scope::Everything, state(seen, 0), |_| {});
        for keys in model.values_mut() {
            keys.retain(|key| !gone.contains(key));
        }
        for key in 0..8 {
            let holders = model.values().filter(|keys| keys.contains(&key)).count();
            prop_assert_eq!(books.holders(&Key(key)) as usize, holders);
        }
        for key in 0..12 {
            let held = model.values().any(|keys| keys.contains(&key));
            let orphan = books.orphans().contains_key(&Key(key));
            prop_assert_eq!(orphan, !held && !gone.contains(&key), "{}", key);
        }
        books.disown_all();
        prop_assert_eq!(books.orphans().len(), 12 - gone.len());
    }
}
