//! A transaction was committed.

use viprule_dataplane::{Dataplane, ObjectKey as _, State};

use super::Syncer;
use crate::ledger::Note;
use crate::listener::tell;
use crate::transaction::{Staged, Transaction};
use crate::{FragmentId, Report, Touched, WriterFor};

impl<D: Dataplane, W: WriterFor<D>> Syncer<D, W> {
    /// A transaction was committed.
    pub(super) fn record(&mut self, transaction: Transaction<D>, report: &mut Report) {
        let nothing = State::default();
        self.committed += 1;
        for staged in transaction.fragments {
            let Staged {
                id, digest, note, ..
            } = staged;
            report.add(staged.touched);
            self.ledger.wrote(staged.counts);
            if staged.finished {
                self.owed.remove(&id);
                self.ledger.enter(&id, &note);
                self.update_flows(&id, note);
            }
            let before = self.applied.own(&id).unwrap_or(&nothing);
            tell(&mut self.listener, &id, before, &digest);
            if !self.leftovers.is_empty() {
                let taken_over = digest.iter().filter(|(key, _)| !key.is_common());
                taken_over.for_each(|(key, _)| {
                    self.leftovers.remove(key);
                });
            }
            if id == FragmentId::Links {
                // Rendered as for all that stands before them.
                self.applied.take_container_changes();
            }
            self.applied.set(id, digest);
        }
        report.add(Touched {
            removed: transaction.orphans.len(),
            ..Touched::nothing("leftovers".to_owned())
        });
        for key in &transaction.orphans {
            self.applied.remove(key);
        }
        let orphans = self.applied.orphans();
        self.stuck.retain(|key, _| orphans.contains_key(key));
    }

    fn update_flows(&self, id: &FragmentId, note: Note<D::Counts>) {
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
}
