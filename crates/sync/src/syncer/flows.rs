//! What the cleaner of tracked flows is told.

use viprule_dataplane::Dataplane;

use super::Syncer;
use crate::FragmentId;
use crate::ledger::Note;
use crate::transaction::Staged;

impl<D: Dataplane, W> Syncer<D, W> {
    /// Flows that the new rules make must not be taken for stale ones, however soon they come. What
    /// could not be written is announced anew with the next attempt, or withdrawn with the Service.
    pub(super) fn announce_flows(&self, staged: &[Staged<D>]) {
        let Some(cleaner) = &self.cleaner else { return };
        for Staged { id, note, .. } in staged {
            if let (FragmentId::Service(id), Note::Service(Some(facts))) = (id, note)
                && !facts.flows.is_empty()
            {
                cleaner.announce(id, &facts.flows);
            }
        }
    }

    /// A Service was written.
    pub(super) fn update_flows(&self, id: &FragmentId, note: Note<D::Counts>) {
        if let (Some(cleaner), FragmentId::Service(id), Note::Service(facts)) =
            (&self.cleaner, id, note)
        {
            cleaner.update(id, facts.map(|facts| facts.flows).unwrap_or_default());
        }
    }

    /// Ends the flows of Services that are gone and were removed object by object: not before that
    /// is done, or their rules would make new ones.
    pub(super) fn end_departed_flows(&mut self) {
        for service in std::mem::take(&mut self.departed) {
            // One that came back is told of when it is written.
            if self.tracker().service(&service).is_none() {
                self.update_flows(&FragmentId::Service(service), Note::Service(None));
            }
        }
    }

    /// Ends the flows of Services that went while nobody watched: not before the cleaner knows all
    /// Services, as what it does not know it would end.
    pub(super) fn end_found_flows(&mut self) {
        if self.leftovers.is_empty() && !self.found_udp.is_empty() {
            let found = std::mem::take(&mut self.found_udp);
            if let Some(cleaner) = &self.cleaner {
                cleaner.removed(found);
            }
        }
    }
}
