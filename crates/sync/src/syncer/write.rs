//! One transaction after the other.

use viprule_dataplane::{Dataplane, ObjectKey as _, Scope, State};
use viprule_writer::{ApplyError, PieceOf};

use super::Syncer;
use super::work::WorkItem;
use crate::error::ATTEMPTS;
use crate::listener::tell;
use crate::transaction::{Staged, Transaction};
use crate::{FragmentId, Report, SyncError, Touched, WriterFor};

impl<D: Dataplane, W: WriterFor<D>> Syncer<D, W> {
    /// Writes until nothing is owed that the kernel takes, or until there is no more room.
    pub(super) fn write_owed(&mut self, room: Option<u64>) -> Result<Report, SyncError> {
        let mut report = Report::default();
        let mut attempts = ATTEMPTS;
        loop {
            let (items, leaves_out) = self.work(room);
            if items.is_empty() {
                break;
            }
            let before = self.committed;
            report.join(self.write(&items, &mut attempts)?);
            // What was set aside was no turn; what was only looked at was one, as news may wait.
            if leaves_out && self.committed > before {
                report.unfinished = true;
                break;
            }
        }
        report.contended = attempts < ATTEMPTS;
        if !report.unfinished {
            self.complete = true;
            self.end_departed_flows();
            self.end_found_flows();
        }
        report.refused = self.refusal_lines();
        Ok(report)
    }

    /// Tries to write these items. Afterwards they are written, or set aside because the kernel
    /// refuses them, or still owed and an attempt was used up.
    pub(super) fn write(
        &mut self,
        items: &[WorkItem<D::Key>],
        attempts: &mut usize,
    ) -> Result<Report, SyncError> {
        match self.attempt(items) {
            Ok(report) => Ok(report),
            Err(ApplyError::Failed(error)) => Err(error.into()),
            Err(ApplyError::Foreign(scope)) => self.look_again(&scope, attempts),
            Err(ApplyError::Unknown(reason)) => {
                tracing::warn!(%reason, "looking at the kernel again");
                self.look_again(&Scope::Everything, attempts)
            }
            Err(ApplyError::Refused { refusals, partly }) => {
                if partly {
                    self.look(&Scope::Everything)?;
                }
                if self.learn_lacking() {
                    return Ok(Report::default());
                }
                if self.set_aside(items, &refusals)? {
                    // The rest is still owed.
                    return Ok(Report::default());
                }
                let first = refusals.first();
                let reason = first.map_or("no reason given", |refusal| &refusal.reason);
                self.bisect(items, reason, attempts)
            }
        }
    }

    fn look_again(
        &mut self,
        scope: &Scope<PieceOf<W>>,
        attempts: &mut usize,
    ) -> Result<Report, SyncError> {
        *attempts = attempts.checked_sub(1).ok_or(SyncError::Contended)?;
        self.look(scope)?;
        Ok(Report::default())
    }

    /// One transaction.
    fn attempt(&mut self, items: &[WorkItem<D::Key>]) -> Result<Report, ApplyError<PieceOf<W>>> {
        let mut transaction = Transaction::default();
        let mut report = self.send(items, &mut transaction)?;
        self.record(transaction, &mut report);
        Ok(report)
    }

    /// A transaction was committed.
    fn record(&mut self, transaction: Transaction<D>, report: &mut Report) {
        let nothing = State::default();
        self.committed += 1;
        for Staged {
            id,
            fingerprints,
            note,
            touched,
            counts,
            finished,
        } in transaction.fragments
        {
            report.add(touched);
            self.ledger.wrote(counts);
            if finished {
                self.owed.remove(&id);
                self.ledger.enter(&id, &note);
                self.update_flows(&id, note);
            }
            let before = self.applied.own(&id).unwrap_or(&nothing);
            tell(&mut self.listener, &id, before, &fingerprints);
            if !self.leftovers.is_empty() {
                let taken_over = fingerprints.iter().filter(|(key, _)| !key.is_common());
                taken_over.for_each(|(key, _)| {
                    self.leftovers.remove(key);
                });
            }
            if id == FragmentId::EntryPoints {
                // Rendered as for all that stands before them.
                self.applied.take_container_changes();
            }
            self.applied.set(id, fingerprints);
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
}
