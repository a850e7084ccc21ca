//! A transaction was committed, or failed.

use viprule_dataplane::{Dataplane, NodeEffect, ObjectKey as _, State};

use super::Syncer;
use crate::ledger::Note;
use crate::listener::tell;
use crate::transaction::{Staged, Transaction};
use crate::{FragmentId, Report, Touched, WriterFor};

impl<D: Dataplane, W: WriterFor<D>> Syncer<D, W> {
    /// A transaction was committed.
    pub(super) fn record(&mut self, transaction: Transaction<D::Key>, report: &mut Report) {
        let nothing = State::default();
        let mut effect = transaction.effect;
        self.committed += 1;
        for (at, staged) in transaction.fragments.into_iter().enumerate() {
            let Staged {
                id, digest, note, ..
            } = staged;
            report.add(staged.touched);
            if staged.finished {
                self.owed.remove(&id);
                self.ledger.enter(&id, &note);
                self.update_flows(&id, note);
            }
            let before = self.applied.own(&id).unwrap_or(&nothing);
            if !D::ATOMIC && at >= transaction.assumed {
                effect = effect.max(self.dataplane.applied(before, &digest));
            }
            tell(&mut self.listener, &id, before, &digest);
            if !self.leftovers.is_empty() {
                let taken_over = digest.iter().filter(|(key, _)| !key.is_common());
                taken_over.for_each(|(key, _)| {
                    self.leftovers.remove(key);
                });
            }
            self.applied.set(id, digest);
        }
        self.owe_for(effect);
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

    /// A transaction failed.
    pub(super) fn roll_back(&mut self, transaction: &Transaction<D::Key>) {
        let (nothing, mut effect) = (State::default(), NodeEffect::Nothing);
        for Staged { id, digest, .. } in &transaction.fragments[..transaction.assumed] {
            let before = self.applied.own(id).unwrap_or(&nothing);
            effect = effect.max(self.dataplane.applied(digest, before));
        }
        self.owe_for(effect);
    }

    fn update_flows(&self, id: &FragmentId, note: Note) {
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
