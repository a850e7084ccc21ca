//! A diff taken step by step, as a kernel that checks each step does.

use std::collections::BTreeMap;

use proptest::prelude::{TestCaseError, prop_assert, prop_assert_eq};
use viprule_dataplane::{Content, ObjectKey, State, diff, ipvs};

/// How many steps a commit of IPVS mode has.
pub const OF_IPVS: usize = 7;

/// The step of IPVS mode's commit in which an object is written, from 0.
pub const fn of_ipvs(key: &ipvs::Key) -> usize {
    match key {
        ipvs::Key::Link => 0,
        ipvs::Key::Set(_) => 1,
        ipvs::Key::Entry { .. } => 2,
        ipvs::Key::Server(_) => 3,
        ipvs::Key::Destination { .. } => 4,
        ipvs::Key::Address(_) => 5,
        ipvs::Key::Netfilter(_) => 6,
    }
}

/// Says what has to be there before an object.
pub type References<K, O> = fn(&K, &O) -> Vec<K>;

/// Takes every step of the diff between two states in its order, and returns what is there then.
/// After each step `is_right` says whether what is there may be so.
///
/// # Errors
///
/// Where a step is impossible: an object is written before one that it refers to or removed
/// before one that refers to it, or is not what the diff says.
pub fn take<K, O>(
    from: &State<K, O>,
    to: &State<K, O>,
    references: References<K, O>,
    is_right: impl Fn(&BTreeMap<K, O>) -> Result<(), TestCaseError>,
) -> Result<BTreeMap<K, O>, TestCaseError>
where
    K: ObjectKey,
    O: Content,
{
    let mut objects: BTreeMap<K, O> = from.iter().cloned().collect();
    let diff = diff(from, to);
    for write in &diff.writes {
        let old = objects.get(write.key);
        prop_assert_eq!(old, write.old, "{} was not as said", write.key);
        for other in references(write.key, write.new) {
            prop_assert!(objects.contains_key(&other), "{} before {other}", write.key);
        }
        objects.insert(write.key.clone(), write.new.clone());
        is_right(&objects)?;
    }
    for (key, old) in &diff.deletes {
        let removed = objects.remove(*key);
        prop_assert_eq!(removed.as_ref(), Some(*old));
        // A chain's own rules go with it, or went before.
        let user = objects
            .iter()
            .find(|(other, object)| references(other, object).contains(key));
        let user = user.map(|(other, _)| other.to_string());
        prop_assert_eq!(user, None, "needs {}", key);
        is_right(&objects)?;
    }
    Ok(objects)
}

/// Those of `objects` that a kernel would have taken in this order.
pub fn possible<K: Ord, O>(
    objects: impl IntoIterator<Item = (K, O)>,
    references: References<K, O>,
    is_right: impl Fn(&K, &BTreeMap<K, O>) -> bool,
) -> BTreeMap<K, O> {
    let mut kept = BTreeMap::new();
    for (key, object) in objects {
        let needed = references(&key, &object);
        if needed.iter().all(|other| kept.contains_key(other)) && is_right(&key, &kept) {
            kept.insert(key, object);
        }
    }
    kept
}
