//! The applied state: what the kernel holds of ours, as far as we know.

mod elements;
mod holders;
#[cfg(test)]
mod tests;

use std::cell::LazyCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use viprule_dataplane::{Fingerprint, ObjectKey, Scope, State};

use crate::FragmentId;
use elements::Elements;
use holders::Holders;

/// Fingerprints of what the kernel holds, by the last look at it and by what was written since.
///
/// Right whether a transaction was applied or refused: only [`Applied::set`] and
/// [`Applied::remove`] take over what was written.
#[derive(Debug)]
pub(crate) struct Applied<K> {
    fragments: BTreeMap<FragmentId, State<K, Fingerprint>>,
    /// Of the fragments' objects those that several of them may hold.
    holders: Holders,
    /// What the entry points depend on.
    elements: Elements<K>,
    /// Objects that belong to no fragment.
    orphans: BTreeMap<K, Fingerprint>,
}

impl<K: ObjectKey> Applied<K> {
    /// Nothing is known.
    pub(crate) fn new() -> Self {
        Self {
            fragments: BTreeMap::new(),
            holders: Holders::default(),
            elements: Elements::new(),
            orphans: BTreeMap::new(),
        }
    }

    /// Takes a look at the kernel over. What was a fragment's stays the fragment's, the rest of
    /// what was seen belongs to nobody. Returns the fragments that have other objects now than we
    /// knew.
    pub(crate) fn correct(
        &mut self,
        scope: &Scope<K::Piece>,
        seen: State<K, Fingerprint>,
    ) -> Vec<FragmentId> {
        let mut seen: BTreeMap<K, Fingerprint> = seen.into_iter().collect();
        let mut changed = Vec::new();
        // Common objects that are others than we knew.
        let mut meddled = BTreeSet::new();
        for (id, fingerprints) in &mut self.fragments {
            if fingerprints
                .iter()
                .any(|(key, _)| scope.contains(&key.piece()))
            {
                let mut differs = false;
                let objects = std::mem::take(fingerprints).into_iter();
                let still_there = objects.filter_map(|(key, print)| {
                    if !scope.contains(&key.piece()) {
                        return Some((key, print));
                    }
                    let (now, is_news) = if key.is_common() {
                        let now = seen.get(&key).copied();
                        let known = see_common(&mut self.holders, &key, now).or(Some(print));
                        if now != known {
                            meddled.insert(key.clone());
                        }
                        (now, meddled.contains(&key))
                    } else {
                        let now = seen.remove(&key);
                        (now, now != Some(print))
                    };
                    differs |= is_news;
                    if now.is_none() {
                        self.elements.remove(&key);
                    }
                    now.map(|print| (key, print))
                });
                *fingerprints = still_there.collect();
                if differs {
                    changed.push(id.clone());
                }
            }
        }
        if !self.holders.is_empty() {
            seen.retain(|key, _| !key.is_common() || self.holders.count(key) == 0);
        }
        self.orphans.retain(|key, _| !scope.contains(&key.piece()));
        self.orphans.append(&mut seen);
        changed
    }

    /// What the kernel holds of a fragment, and of what it wants by way of another one. Orphans
    /// that it wants become its own.
    pub(crate) fn held<V>(
        &mut self,
        id: &FragmentId,
        wanted: &State<K, V>,
    ) -> State<K, Fingerprint> {
        self.adopt(id, wanted);
        let own = self.fragments.get(id).cloned().unwrap_or_default();
        if self.holders.is_empty() {
            return own;
        }
        // Who else holds it may have written it since.
        let own = own.into_iter().map(|(key, print)| {
            let now = if key.is_common() {
                self.holders.content(&key)
            } else {
                None
            };
            (key, now.unwrap_or(print))
        });
        let common = wanted.iter().filter(|(key, _)| key.is_common());
        let others = common.filter_map(|(key, _)| Some((key.clone(), self.holders.content(key)?)));
        own.chain(others).collect()
    }

    /// Lets a fragment have what is nobody's and it wants.
    pub(crate) fn adopt<V>(&mut self, id: &FragmentId, wanted: &State<K, V>) {
        if self.orphans.is_empty() {
            return;
        }
        let keys = wanted.iter().map(|(key, _)| key);
        let adopted: State<K, Fingerprint> = keys
            .filter_map(|key| self.orphans.remove_entry(key))
            .collect();
        if !adopted.is_empty() {
            self.hold(&adopted);
            let own = self.fragments.entry(id.clone()).or_default();
            *own = std::mem::take(own).merged(adopted);
        }
    }

    /// A fragment's own objects in the kernel, where it has any.
    pub(crate) fn own(&self, id: &FragmentId) -> Option<&State<K, Fingerprint>> {
        self.fragments.get(id)
    }

    /// How many fragments hold an object that several may want.
    pub(crate) fn holders(&self, key: &K) -> u32 {
        self.holders.count(key)
    }

    /// Whether a container has an element once these fragments are written. What they change is counted
    /// with the first question.
    pub(crate) fn has_with<'a>(
        &'a self,
        written: impl Iterator<Item = (&'a FragmentId, &'a State<K, Fingerprint>)>,
    ) -> impl Fn(&K) -> bool {
        let elements = LazyCell::new(move || {
            let mut elements = self.elements.clone();
            for (id, after) in written {
                after.iter().for_each(|(key, _)| elements.add(key));
                let before = self.own(id).into_iter().flatten();
                before.for_each(|(key, _)| elements.remove(key));
            }
            elements
        });
        move |container| elements.has(container)
    }

    /// True where a container got its first element or lost its last one since the last question.
    pub(crate) fn take_container_changes(&mut self) -> bool {
        self.elements.take_changed()
    }

    /// A fragment was written.
    pub(crate) fn set(&mut self, id: FragmentId, fingerprints: State<K, Fingerprint>) {
        self.hold(&fingerprints);
        let before = if fingerprints.is_empty() {
            self.fragments.remove(&id)
        } else {
            self.fragments.insert(id, fingerprints)
        };
        let before = before.unwrap_or_default();
        for (key, _) in &before {
            self.elements.remove(key);
            if key.is_common() {
                self.holders.release(key);
            }
        }
    }

    /// A fragment has these objects.
    fn hold(&mut self, objects: &State<K, Fingerprint>) {
        for (key, print) in objects {
            self.elements.add(key);
            if key.is_common() {
                self.holders.hold(key, *print);
            }
        }
    }

    /// Makes a fragment's objects nobody's, but for those that another one holds. Returns what the
    /// fragment had.
    pub(crate) fn disown(&mut self, id: &FragmentId) -> State<K, Fingerprint> {
        let objects = self.fragments.remove(id).unwrap_or_default();
        for (key, print) in &objects {
            self.elements.remove(key);
            let content = if key.is_common() {
                self.holders.release(key)
            } else {
                Some(*print)
            };
            self.orphans
                .extend(content.map(|content| (key.clone(), content)));
        }
        objects
    }

    /// Makes every fragment's objects nobody's.
    pub(crate) fn disown_all(&mut self) {
        let fragments = std::mem::take(&mut self.fragments);
        self.orphans.extend(fragments.into_values().flatten());
        self.holders.clear();
        self.elements = Elements::new();
    }

    /// Objects that belong to no fragment.
    pub(crate) fn orphans(&self) -> &BTreeMap<K, Fingerprint> {
        &self.orphans
    }

    /// An orphan has other content now.
    pub(crate) fn rewrite(&mut self, key: K, print: Fingerprint) {
        if let Entry::Occupied(mut orphan) = self.orphans.entry(key) {
            orphan.insert(print);
        }
    }

    /// An orphan is gone.
    pub(crate) fn remove(&mut self, key: &K) {
        self.orphans.remove(key);
    }
}

/// A holder of a common object sees it, or that it is gone. Returns what we knew of it: whoever else
/// holds it may have written it.
fn see_common<K: ObjectKey>(
    holders: &mut Holders,
    key: &K,
    now: Option<Fingerprint>,
) -> Option<Fingerprint> {
    let known = holders.content(key);
    match now {
        Some(print) => holders.correct(key, print),
        None => {
            holders.release(key);
        }
    }
    known
}
