//! What the kernel refuses, or lacks.

use viprule_dataplane::{Content as _, Dataplane, Diff, NodeEffect, State, diff};
use viprule_writer::{ApplyError, Refusal, Tag, WriteError};

use super::Syncer;
use super::work::WorkItem;
use crate::ledger::Note;
use crate::listener::tell;
use crate::{FragmentId, Report, SyncError, WriterFor};

impl<D: Dataplane, W: WriterFor<D>> Syncer<D, W> {
    /// Puts out of the way what the kernel says that it refused. Returns false where it did not
    /// say.
    pub(super) fn set_aside(
        &mut self,
        items: &[WorkItem<D::Key>],
        refusals: &[Refusal],
    ) -> Result<bool, SyncError> {
        let mut told_apart = false;
        for Refusal { tag, reason } in refusals {
            let at = tag.and_then(|Tag(tag)| usize::try_from(tag).ok());
            if let Some(item) = at.and_then(|at| items.get(at)) {
                told_apart |= self.set_one_aside(item, reason)?;
            }
        }
        Ok(told_apart)
    }

    /// Returns false where it was set aside before.
    fn set_one_aside(&mut self, item: &WorkItem<D::Key>, reason: &str) -> Result<bool, SyncError> {
        match item {
            WorkItem::Fragment(id @ FragmentId::Service(service), _) => {
                self.owed.remove(id);
                if self.tracker().service(service).is_none() {
                    // What is left of it is removed object by object.
                    self.ledger.enter(id, &Note::Service(None));
                    self.departed.insert(service.clone());
                    let left = self.applied.disown(id);
                    tell(&mut self.listener, id, &left, &State::default());
                    return Ok(!left.is_empty());
                }
                if let Some(cleaner) = &self.cleaner {
                    cleaner.withdraw(service);
                }
                let reason = reason.to_owned();
                let before = self.quarantined.insert(service.clone(), reason.clone());
                self.keep(service.clone());
                if before.is_none() {
                    tracing::error!(%service, reason, "quarantined: the kernel refuses its rules; what it had before stays");
                }
                Ok(before.is_none())
            }
            WorkItem::Fragment(id, _) => Err(SyncError::Refused {
                share: id.clone(),
                reason: reason.to_owned(),
            }),
            WorkItem::Orphan(key) => {
                let before = self.stuck.insert((**key).clone(), reason.to_owned());
                if before.is_none() {
                    tracing::warn!(object = %key, reason, "the kernel won't let it go");
                }
                Ok(before.is_none())
            }
        }
    }

    /// Finds what the kernel refused by halves.
    pub(super) fn bisect(
        &mut self,
        items: &[WorkItem<D::Key>],
        reason: &str,
        attempts: &mut usize,
    ) -> Result<Report, SyncError> {
        match items {
            [] => Ok(Report::default()),
            [only] => self.set_one_aside(only, reason).map(|_| Report::default()),
            _ => {
                let (first, second) = items.split_at(items.len() / 2);
                let mut report = self.write(first, attempts)?;
                report.join(self.write(second, attempts)?);
                Ok(report)
            }
        }
    }

    /// Empties what can't be removed. Returns true where that changed something.
    pub(super) fn flush_stuck(&mut self) -> Result<bool, SyncError> {
        let orphans = self.applied.orphans().iter();
        let stuck = orphans.filter(|(key, _)| self.stuck.contains_key(key));
        let held: State<_, _> = stuck.map(|(key, print)| (key.clone(), *print)).collect();
        let flushed = held.iter().filter_map(|(key, _)| {
            let object = self.dataplane.flushed(key)?;
            Some((key.clone(), object))
        });
        let flushed: State<_, _> = flushed.collect();
        let writes = diff(&held, &flushed).writes;
        if writes.is_empty() {
            return Ok(false);
        }
        let deletes = Vec::new();
        let staged = self.writer.stage(Tag(0), &Diff { writes, deletes });
        match staged.and_then(|()| self.writer.commit()) {
            Ok(_) => {
                for (key, object) in flushed {
                    self.applied.rewrite(key, object.fingerprint());
                }
                Ok(true)
            }
            Err(ApplyError::Failed(error)) => Err(error.into()),
            // It stays as it is.
            Err(_) => Ok(false),
        }
    }

    pub(super) fn refusal_lines(&self) -> Vec<String> {
        let services = self.quarantined.iter();
        let services = services.map(|(id, reason)| format!("service {id}: {reason}"));
        let stuck = self.stuck.iter();
        let stuck = stuck.map(|(key, reason)| format!("{key}: {reason}"));
        services.chain(stuck).collect()
    }

    /// Lets what the kernel refused be tried again by the next sync.
    pub fn release_refused(&mut self) {
        let released = std::mem::take(&mut self.quarantined);
        self.owed
            .extend(released.into_keys().map(FragmentId::Service));
        self.stuck.clear();
    }

    /// Asks the kernel again for what it lacked. What it has by now is used by the next sync: the
    /// answer is true then.
    pub fn ask_again(&mut self) -> Result<bool, WriteError> {
        let mut found = false;
        for feature in self.lacking.clone() {
            if self.writer.has(&feature)? {
                tracing::info!("this kernel has {feature} now");
                self.lacking.remove(&feature);
                found = true;
            }
        }
        if found {
            self.take_lacking();
        }
        Ok(found)
    }

    /// The kernel refused something: learns what it lacks. Returns true where that is news, and
    /// something else is to be written because of it.
    pub(super) fn learn_lacking(&mut self) -> bool {
        let known = self.lacking.len();
        for feature in self.writer.take_lacking() {
            if self.lacking.insert(feature) {
                tracing::warn!(
                    "this kernel has no {feature}, or can't load it: Services do without"
                );
            }
        }
        self.lacking.len() > known && self.take_lacking() > NodeEffect::Nothing
    }

    fn take_lacking(&mut self) -> NodeEffect {
        let facts = self.tracker.facts();
        let effect = self.dataplane.set_lacking(&self.lacking, facts);
        self.owe_for(effect);
        effect
    }
}
