//! Which sets have elements.

use std::collections::{BTreeMap, BTreeSet};

use super::Key;
use crate::ownership::Set;
use crate::{Fingerprint, State};

/// How many elements the Services' fragments have in each set. An element that several have counts
/// as often.
#[derive(Debug, Clone, Default)]
pub(super) struct Occupancy(BTreeMap<Set, usize>);

impl Occupancy {
    /// True where the set has an element.
    pub(super) fn has(&self, set: Set) -> bool {
        self.0.contains_key(&set)
    }

    /// A fragment's objects were `before` and are `after`. True where a set got its first element
    /// or lost its last one.
    pub(super) fn applied(
        &mut self,
        before: &State<Key, Fingerprint>,
        after: &State<Key, Fingerprint>,
    ) -> bool {
        let touched: BTreeSet<Set> = sets(before).chain(sets(after)).collect();
        let had: Vec<bool> = touched.iter().map(|set| self.has(*set)).collect();
        for set in sets(after) {
            *self.0.entry(set).or_default() += 1;
        }
        for set in sets(before) {
            if let Some(count) = self.0.get_mut(&set) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(&set);
                }
            }
        }
        touched
            .iter()
            .zip(had)
            .any(|(set, had)| self.has(*set) != had)
    }
}

fn sets(state: &State<Key, Fingerprint>) -> impl Iterator<Item = Set> + '_ {
    state.iter().filter_map(|(key, _)| match key {
        Key::Entry { set, .. } => Some(*set),
        _ => None,
    })
}
