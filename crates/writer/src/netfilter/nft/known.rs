//! What the kernel holds besides contents: numbers and places.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use viprule_dataplane::netfilter::{BaseChain, Key, Table};

/// Numbers and places by the last look, kept up to date by our own writes.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Tables that exist.
    pub(super) tables: BTreeSet<Table>,
    /// Built-in chains that exist.
    pub(super) bases: BTreeSet<(Table, BaseChain)>,
    /// Handles of rules in shared chains. A rule that is there but not here is looked up when it
    /// has to be deleted.
    pub(super) rules: HashMap<Key, u64>,
    /// Handles of our rules in built-in chains.
    pub(super) jumps: BTreeMap<Key, u64>,
}

impl Known {
    /// True where packets can reach our chains: what is written then is validated by the kernel
    /// with everything reachable, so that parts would cost more than a whole.
    pub(super) fn linked(&self) -> bool {
        !self.jumps.is_empty()
    }

    pub(super) fn handle(&self, key: &Key) -> Option<u64> {
        match key {
            Key::Jump { .. } => self.jumps.get(key).copied(),
            _ => self.rules.get(key).copied(),
        }
    }

    pub(super) fn remember(&mut self, key: Key, handle: u64) {
        match key {
            Key::Jump { .. } => {
                self.jumps.insert(key, handle);
            }
            _ => {
                self.rules.insert(key, handle);
            }
        }
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.rules.remove(key);
        self.jumps.remove(key);
    }
}
