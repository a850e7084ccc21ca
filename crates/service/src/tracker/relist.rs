//! What is gone because nobody names it any more.

use std::collections::BTreeSet;

use super::Tracker;
use crate::model::{ServiceId, SliceId};

impl Tracker {
    /// Deletes every Service that is not among these.
    pub(super) fn keep_services(&mut self, present: &BTreeSet<ServiceId>) {
        let known = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.newest().service.is_some());
        let gone: Vec<ServiceId> = known
            .map(|(id, _)| id)
            .filter(|id| !present.contains(*id))
            .cloned()
            .collect();
        for id in gone {
            self.delete_service(&id);
        }
        self.keep_refused_services(present);
    }

    /// Deletes every slice that is not among these.
    pub(super) fn keep_slices(&mut self, present: &BTreeSet<SliceId>) {
        let known = self
            .entries
            .values()
            .flat_map(|entry| entry.newest().slices());
        let gone: Vec<SliceId> = known
            .map(|slice| &slice.id)
            .filter(|id| !present.contains(*id))
            .cloned()
            .collect();
        for id in gone {
            self.delete_slice(&id);
        }
        self.keep_refused_slices(present);
    }

    /// Deletes the slice of this name from every Service but one.
    pub(super) fn move_slice(&mut self, namespace: &str, name: &str, to: Option<&ServiceId>) {
        if to.is_none() {
            self.accept_slice(namespace, name);
        }
        // Nearly always: a slice of a known Service changed, and stays there.
        let stays = to.and_then(|id| self.entries.get(id));
        if stays.is_some_and(|entry| entry.newest().has_named(name)) {
            return;
        }
        let others = self.entries.iter().filter(|(id, entry)| {
            id.namespace() == namespace && Some(*id) != to && entry.newest().has_named(name)
        });
        let others: Vec<ServiceId> = others.map(|(id, _)| id.clone()).collect();
        for service in others {
            self.delete_slice(&SliceId {
                service,
                name: name.into(),
            });
        }
    }
}
