//! Objects that several fragments may want.

use std::collections::HashMap;

use viprule_dataplane::{Fingerprint, ObjectKey};

/// What the kernel holds under common keys, and how many fragments hold it.
///
/// Keys are known by their fingerprints, as contents are: the fragments have them in full.
#[derive(Debug, Default)]
pub(super) struct Holders(HashMap<Fingerprint, Held>);

#[derive(Debug, Clone, Copy)]
struct Held {
    content: Fingerprint,
    fragments: u32,
}

impl Holders {
    /// True where nothing common is held.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many fragments hold it.
    pub(super) fn count<K: ObjectKey>(&self, key: &K) -> u32 {
        let held = self.0.get(&Fingerprint::of(key));
        held.map_or(0, |held| held.fragments)
    }

    /// What the kernel holds under this key; `None` where no fragment holds it.
    pub(super) fn content<K: ObjectKey>(&self, key: &K) -> Option<Fingerprint> {
        self.0.get(&Fingerprint::of(key)).map(|held| held.content)
    }

    /// One fragment more holds it. All of them see this content.
    pub(super) fn hold<K: ObjectKey>(&mut self, key: &K, content: Fingerprint) {
        let held = self.0.entry(Fingerprint::of(key)).or_insert(Held {
            content,
            fragments: 0,
        });
        held.content = content;
        held.fragments += 1;
    }

    /// The kernel holds this content, whoever holds it.
    pub(super) fn correct<K: ObjectKey>(&mut self, key: &K, content: Fingerprint) {
        if let Some(held) = self.0.get_mut(&Fingerprint::of(key)) {
            held.content = content;
        }
    }

    /// One fragment fewer holds it. Returns its content where that was the last one.
    pub(super) fn release<K: ObjectKey>(&mut self, key: &K) -> Option<Fingerprint> {
        let print = Fingerprint::of(key);
        let held = self.0.get_mut(&print)?;
        held.fragments -= 1;
        if held.fragments > 0 {
            return None;
        }
        self.0.remove(&print).map(|held| held.content)
    }

    /// Nobody holds anything.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
