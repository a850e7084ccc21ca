//! What came of a commit.

use std::collections::BTreeSet;

use viprule_dataplane::Scope;
use viprule_dataplane::ipvs::Piece;

use super::pipeline::Failure;
use super::stage::Tagged;
use crate::{ApplyError, Refusal, Tag, WriteError, Written};

/// Collects what the steps of a commit say.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    refusals: Vec<Refusal>,
    refused: BTreeSet<Tag>,
    /// Something that we take to be there is not.
    stale: bool,
    /// Something that we don't know was in a place of ours, and what belongs to it may be, too.
    unknown: bool,
    pub(super) written: Written,
}

impl Outcome {
    /// Notes a refusal. One for each tag is enough: whoever has the tag is told one reason.
    pub(super) fn refuse(&mut self, tag: Tag, reason: impl FnOnce() -> String) {
        if self.refused.insert(tag) {
            self.refusals.push(Refusal {
                tag: Some(tag),
                reason: reason(),
            });
        }
    }

    /// Takes away what belongs to tags of which something was refused: what those had before
    /// stays.
    pub(super) fn spare<T>(&self, objects: &mut Vec<Tagged<T>>) {
        if !self.refused.is_empty() {
            objects.retain(|it| !self.refused.contains(&it.tag));
        }
    }

    /// Why something of this tag was refused.
    pub(super) fn reason(&self, tag: Tag) -> Option<&str> {
        let refusal = self.refusals.iter().find(|it| it.tag == Some(tag));
        refusal.map(|it| it.reason.as_str())
    }

    /// True where all was taken so far.
    pub(super) fn is_clean(&self) -> bool {
        self.refusals.is_empty() && !self.stale
    }

    /// Notes that somebody else removed what we take to be there.
    pub(super) const fn note_stale(&mut self) {
        self.stale = true;
    }

    /// Notes that something was there that no look told of. All else goes on: it is in use as it
    /// should be, but nobody knows what is still in it.
    pub(super) const fn note_unknown(&mut self) {
        self.unknown = true;
    }

    /// Takes over the bytes that a step sent.
    pub(super) fn sent(
        &mut self,
        doing: &str,
        part: &'static str,
        result: Result<usize, Failure>,
    ) -> Result<(), ApplyError<Piece>> {
        match result {
            Ok(bytes) => {
                self.written.bytes += bytes;
                self.written.transactions += usize::from(bytes > 0);
                Ok(())
            }
            Err(Failure::Lost) => Err(ApplyError::Unknown(format!("{doing}: answers were lost"))),
            Err(Failure::Netlink(error)) => Err(WriteError::of(doing, error, part).into()),
        }
    }

    /// Takes over what the netfilter writer did.
    pub(super) const fn add(&mut self, written: Written) {
        self.written.bytes += written.bytes;
        self.written.transactions += written.transactions;
    }

    pub(super) fn finish(self) -> Result<Written, ApplyError<Piece>> {
        if !self.refusals.is_empty() {
            return Err(ApplyError::Refused {
                refusals: self.refusals,
                // Each object took effect as it was written.
                partly: true,
            });
        }
        if self.stale || self.unknown {
            return Err(ApplyError::Foreign(Scope::Everything));
        }
        Ok(self.written)
    }
}
