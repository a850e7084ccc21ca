//! How much all Services together ask for, and who may ask for more.

use std::collections::HashMap;

use super::Tracker;
use super::oversized::Limit;
use crate::model::ServiceId;

/// The sizes of all versions in force.
#[derive(Debug, Default)]
pub(super) struct Usage {
    total: u64,
    /// None of them is 0.
    by_namespace: HashMap<Box<str>, u64>,
    /// There is less than when somebody last asked.
    freed: bool,
}

impl Usage {
    fn of(&self, namespace: &str) -> u64 {
        self.by_namespace.get(namespace).copied().unwrap_or(0)
    }

    /// A Service of this namespace has another size.
    pub(super) fn replace(&mut self, namespace: &str, old: u64, new: u64) {
        if old == new {
            return;
        }
        self.freed |= new < old;
        self.total = self.total - old + new;
        let of_namespace = self.of(namespace) - old + new;
        if of_namespace == 0 {
            self.by_namespace.remove(namespace);
        } else if let Some(used) = self.by_namespace.get_mut(namespace) {
            *used = of_namespace;
        } else {
            self.by_namespace.insert(namespace.into(), of_namespace);
        }
    }

    /// What each namespace may have of a budget, this one among them.
    fn share(&self, budget: u64, namespace: &str) -> u64 {
        let is_new = !self.by_namespace.contains_key(namespace);
        budget / count(self.by_namespace.len() + usize::from(is_new))
    }
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

impl Tracker {
    /// The limit that a version of this size would be beyond.
    pub(super) fn limit(&self, id: &ServiceId, size: u64) -> Option<Limit> {
        let budget = self.config.budgets.service;
        if size > budget {
            return Some(Limit::Service(budget));
        }
        let old = self.size(id);
        let budget = self.config.budgets.total;
        // Before all that exists is known nobody can say what a share is.
        if !self.complete || size <= old || self.usage.total - old + size <= budget {
            return None;
        }
        let share = self.usage.share(budget, id.namespace());
        let used = self.usage.of(id.namespace()) - old + size;
        (used > share).then_some(Limit::Namespace(share))
    }

    /// All that exists has been told for the first time. Where that is beyond the total budget, the
    /// largest namespaces have what the others leave, and in each of them the oldest Services have it.
    pub fn complete(&mut self) {
        let was_complete = std::mem::replace(&mut self.complete, true);
        let mut left = self.config.budgets.total;
        if was_complete || self.usage.total <= left {
            return;
        }
        let mut services = self.services();
        let used = |id: &ServiceId| self.usage.of(id.namespace());
        let created = |id: &ServiceId| self.service(id).map(|service| service.created);
        services.sort_by_cached_key(|id| (used(id), id.namespace().to_owned(), created(id)));
        let namespaces = services.chunk_by(|a, b| a.namespace() == b.namespace());
        let many = namespaces.clone().count();
        for (at, services) in namespaces.enumerate() {
            let share = left / count(many - at);
            let mut used = 0;
            for id in services {
                let size = self.size(id);
                if used + size <= share {
                    used += size;
                } else {
                    self.decide(id, size, Some(Limit::Namespace(share)), |_| {});
                }
            }
            left -= used;
        }
        self.usage.freed = false;
    }

    /// Brings into force what was held back for the sake of others, as far as there is room again.
    pub(super) fn use_room(&mut self) {
        if !std::mem::take(&mut self.usage.freed) || self.oversized.is_empty() {
            return;
        }
        let held_back = self.oversized.iter();
        let held_back = held_back.filter(|(_, it)| matches!(it.limit, Limit::Namespace(_)));
        let mut waiting: Vec<(ServiceId, u64)> =
            held_back.map(|(id, it)| (id.clone(), it.size)).collect();
        waiting.sort_by_key(|(id, size)| (self.usage.of(id.namespace()), *size));
        for (id, size) in waiting {
            self.edit(&id, size, |_| {});
        }
        self.usage.freed = false;
    }
}
