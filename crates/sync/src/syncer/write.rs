//! One transaction after the other.

use viprule_dataplane::{Dataplane, Scope};
use viprule_writer::{ApplyError, PartOf};

use super::Syncer;
use super::work::WorkItem;
use crate::error::ATTEMPTS;
use crate::transaction::Transaction;
use crate::{Report, SyncError, WriterFor};

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
            // Not before the cleaner knows all Services: what it does not know it would end.
            if self.leftovers.is_empty() && !self.found_udp.is_empty() {
                let found = std::mem::take(&mut self.found_udp);
                if let Some(cleaner) = &self.cleaner {
                    cleaner.removed(found);
                }
            }
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
        scope: &Scope<PartOf<W>>,
        attempts: &mut usize,
    ) -> Result<Report, SyncError> {
        *attempts = attempts.checked_sub(1).ok_or(SyncError::Contended)?;
        self.look(scope)?;
        Ok(Report::default())
    }

    /// One transaction.
    fn attempt(&mut self, items: &[WorkItem<D::Key>]) -> Result<Report, ApplyError<PartOf<W>>> {
        let mut transaction = Transaction::default();
        let mut report = self.send(items, &mut transaction)?;
        self.record(transaction, &mut report);
        Ok(report)
    }
}
