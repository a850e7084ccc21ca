//! A transaction was committed, or failed.

use viprule_dataplane::{Dataplane, NodeEffect, ObjectKey as _, State};

use super::Syncer;
use crate::ledger::Note;
use crate::listener::tell;
use crate::transaction::{Transaction, Written};
use crate::{FragmentId, Report, Touched, WriterFor};

impl<D: Dataplane, W: WriterFor<D>> Syncer<D, W> {
    /// A transaction was committed.
    pub(super) fn settle(&mut self, transaction: Transaction<D::Key>, report: &mut Report) {
        let nothing = State::default();
        let mut effect = transaction.effect;
        self.committed += 1;
        for (at, written) in transaction.fragments.into_iter().enumerate() {
            let Written {
                id, digest, note, ..
            } = written;
            report.add(written.touched);
            if written.finished {
                self.owed.remove(&id);
                self.ledger.enter(&id, &note);
                self.update_flows(&id, note);
            }
            let before = self.books.own(&id).unwrap_or(&nothing);
            if !D::ATOMIC && at >= transaction.settled {
                effect = effect.max(self.dataplane.settled(before, &digest));
            }
            tell(&mut self.listener, &id, before, &digest);
            if !self.leftovers.is_empty() {
                let taken_over = digest.iter().filter(|(key, _)| !key.is_common());
                taken_over.for_each(|(key, _)| {
                    self.leftovers.remove(key);
                });
            }
            self.books.settle(id, digest);
        }
        self.owe_for(effect);
        report.add(Touched {
            removed: transaction.orphans.len(),
            ..Touched::nothing("leftovers".to_owned())
        });
        for key in &transaction.orphans {
            self.books.remove(key);
        }
        let orphans = self.books.orphans();
        self.stuck.retain(|key, _| orphans.contains_key(key));
    }

    /// A transaction failed.
    pub(super) fn unsettle(&mut self, transaction: &Transaction<D::Key>) {
        let (nothing, mut effect) = (State::default(), NodeEffect::Nothing);
        for Written { id, digest, .. } in &transaction.fragments[..transaction.settled] {
            let before = self.books.own(id).unwrap_or(&nothing);
            effect = effect.max(self.dataplane.settled(digest, before));
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
