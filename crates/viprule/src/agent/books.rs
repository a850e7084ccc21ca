//! What the kernel holds of ours, as far as we know.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use viprule_dataplane::{Fingerprint, ObjectKey, Scope, State};

use super::FragmentId;

/// Fingerprints of what the kernel holds, by the last look at it and by what was written since.
///
/// Right whether a transaction was applied or refused: only [`Books::settle`] and
/// [`Books::remove`] take over what was written.
#[derive(Debug)]
pub(super) struct Books<K> {
    fragments: BTreeMap<FragmentId, State<K, Fingerprint>>,
    /// Objects that belong to no fragment.
    orphans: BTreeMap<K, Fingerprint>,
}

impl<K: ObjectKey> Books<K> {
    /// Nothing is known.
    pub(super) fn new() -> Self {
        Self {
            fragments: BTreeMap::new(),
            orphans: BTreeMap::new(),
        }
    }

    /// Takes a look at the kernel over. What was a fragment's stays the fragment's, the rest of
    /// what was seen belongs to nobody. Returns the fragments that have objects within the scope.
    pub(super) fn correct(
        &mut self,
        scope: &Scope<K::Part>,
        seen: State<K, Fingerprint>,
    ) -> Vec<FragmentId> {
        let mut seen: BTreeMap<K, Fingerprint> = seen.into_iter().collect();
        let mut affected = Vec::new();
        for (id, digest) in &mut self.fragments {
            if digest.iter().any(|(key, _)| scope.contains(&key.part())) {
                let objects = std::mem::take(digest).into_iter();
                let still_there = objects.filter_map(|(key, print)| {
                    if scope.contains(&key.part()) {
                        seen.remove(&key).map(|print| (key, print))
                    } else {
                        Some((key, print))
                    }
                });
                *digest = still_there.collect();
                affected.push(id.clone());
            }
        }
        self.orphans.retain(|key, _| !scope.contains(&key.part()));
        self.orphans.append(&mut seen);
        affected
    }

    /// What the kernel holds of a fragment. Orphans that it wants become its own.
    pub(super) fn held<V>(
        &mut self,
        id: &FragmentId,
        wanted: &State<K, V>,
    ) -> State<K, Fingerprint> {
        let adopted: Vec<(K, Fingerprint)> = if self.orphans.is_empty() {
            Vec::new()
        } else {
            let keys = wanted.iter().map(|(key, _)| key);
            keys.filter_map(|key| self.orphans.remove_entry(key))
                .collect()
        };
        if !adopted.is_empty() {
            let own = self.fragments.entry(id.clone()).or_default();
            *own = std::mem::take(own).merged(adopted.into_iter().collect());
        }
        self.fragments.get(id).cloned().unwrap_or_default()
    }

    /// A fragment was written.
    pub(super) fn settle(&mut self, id: FragmentId, digest: State<K, Fingerprint>) {
        if digest.is_empty() {
            self.fragments.remove(&id);
        } else {
            self.fragments.insert(id, digest);
        }
    }

    /// Makes a fragment's objects nobody's. Returns false where it has none.
    pub(super) fn disown(&mut self, id: &FragmentId) -> bool {
        let objects = self.fragments.remove(id).unwrap_or_default();
        let some = !objects.is_empty();
        self.orphans.extend(objects);
        some
    }

    /// Makes every fragment's objects nobody's.
    pub(super) fn disown_all(&mut self) {
        let fragments = std::mem::take(&mut self.fragments);
        self.orphans.extend(fragments.into_values().flatten());
    }

    /// Objects that belong to no fragment.
    pub(super) fn orphans(&self) -> &BTreeMap<K, Fingerprint> {
        &self.orphans
    }

    /// An orphan has other content now.
    pub(super) fn rewrite(&mut self, key: K, print: Fingerprint) {
        if let Entry::Occupied(mut orphan) = self.orphans.entry(key) {
            orphan.insert(print);
        }
    }

    /// An orphan is gone.
    pub(super) fn remove(&mut self, key: &K) {
        self.orphans.remove(key);
    }
}
