//! Which containers have elements.

use std::collections::BTreeMap;

use viprule_dataplane::ObjectKey;

/// How many elements the fragments have in each container ([`ObjectKey::container`]). One that
/// several have counts as often.
#[derive(Debug, Clone)]
pub(super) struct Elements<K> {
    counts: BTreeMap<K, usize>,
    /// A container got its first element or lost its last one since the last question.
    changed: bool,
}

impl<K: ObjectKey> Elements<K> {
    /// There are none.
    pub(super) const fn new() -> Self {
        Self {
            counts: BTreeMap::new(),
            changed: false,
        }
    }

    /// True where the container has an element.
    pub(super) fn has(&self, container: &K) -> bool {
        self.counts.contains_key(container)
    }

    /// True where that is so, once.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// One fragment more has this object.
    pub(super) fn add(&mut self, key: &K) {
        if let Some(container) = key.container() {
            let count = self.counts.entry(container).or_default();
            self.changed |= *count == 0;
            *count += 1;
        }
    }

    /// One fragment fewer has this object.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some(container) = key.container()
            && let Some(count) = self.counts.get_mut(&container)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&container);
                self.changed = true;
            }
        }
    }
}
