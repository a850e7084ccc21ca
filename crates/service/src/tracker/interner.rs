//! One copy of each node name, whoever mentions it.

use std::collections::HashSet;
use std::sync::Arc;

/// How many names are kept before the first look for unused ones.
const FIRST_SWEEP: usize = 64;

#[derive(Debug)]
pub(super) struct Interner {
    names: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Default for Interner {
    fn default() -> Self {
        Self {
            names: HashSet::new(),
            sweep_at: FIRST_SWEEP,
        }
    }
}

impl Interner {
    /// Replaces the name by the copy that everybody shares.
    pub(super) fn share(&mut self, name: &mut Arc<str>) {
        if let Some(known) = self.names.get(name) {
            *name = Arc::clone(known);
            return;
        }
        if self.names.len() >= self.sweep_at {
            // Nodes come and go; twice what is in use is the most that is ever kept.
            self.names.retain(|name| Arc::strong_count(name) > 1);
            self.sweep_at = FIRST_SWEEP.max(2 * self.names.len());
        }
        self.names.insert(Arc::clone(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_become_one() {
        let mut interner = Interner::default();
        let [mut a, mut b]: [Arc<str>; 2] = ["node-1".into(), "node-1".into()];
        interner.share(&mut a);
        interner.share(&mut b);
        assert!(Arc::ptr_eq(&a, &b));
    }

    #[test]
    fn unused_names_are_forgotten_and_used_ones_stay() {
        let mut interner = Interner::default();
        let mut kept: Arc<str> = "kept".into();
        interner.share(&mut kept);
        for number in 0..10 * FIRST_SWEEP {
            interner.share(&mut format!("node-{number}").into());
        }
        assert!(interner.names.len() <= FIRST_SWEEP);
        let mut again: Arc<str> = "kept".into();
        interner.share(&mut again);
        assert!(Arc::ptr_eq(&kept, &again));
    }
}
