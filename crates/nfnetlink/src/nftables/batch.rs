//! Transactions: what is written at once.

use netlink_batch::{AttrWriter, Batch};

use super::commit::Echo;
use super::uapi::{BATCH_BEGIN, BATCH_END, BATCH_GENERATION, BATCH_HEADER};
use crate::{Family, nfgenmsg};

/// Bytes of the message that ends a transaction.
const END_LEN: usize = 20;
/// Where the generation stands in a pinned transaction: behind the headers of the first message
/// and of its only attribute.
const GENERATION_AT: usize = 24;

/// Changes that the kernel applies as a whole or not at all.
///
/// Changes belong to the tag that was set last; a refusal is told by tag. Tables of both families
/// may be mixed. The buffers are kept from one transaction to the next, so that one
/// `Transaction` serves a writer for its life without allocating for small changes.
#[derive(Debug)]
pub struct Transaction<T> {
    pub(super) batch: Batch<T>,
    pub(super) pinned: Option<u32>,
    pub(super) asked: u32,
    pub(super) echoes: Vec<Echo<T>>,
}

/// A place in a transaction to return to with [`Transaction::rollback`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    batch: netlink_batch::Mark,
    asked: u32,
}

impl<T> Default for Transaction<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Transaction<T> {
    /// An empty transaction.
    pub const fn new() -> Self {
        Self {
            batch: Batch::new(),
            pinned: None,
            asked: 0,
            echoes: Vec::new(),
        }
    }

    /// Throws away what the transaction holds and begins a new one.
    ///
    /// With a `generation` the kernel refuses it ([`super::CommitError::GenerationMoved`]) unless
    /// that is still the current one, that is, unless nobody has committed anything since. Without
    /// it the changes are applied to whatever is there.
    pub fn begin(&mut self, generation: Option<u32>) {
        self.reset();
        self.pinned = generation;
        self.open();
    }

    /// Pins the transaction to another generation than it began with: the state was found to be
    /// the same there as far as the transaction depends on it.
    pub fn pin(&mut self, generation: u32) {
        self.open();
        self.pinned = Some(generation);
        self.batch
            .overwrite(GENERATION_AT, &generation.to_be_bytes());
    }

    /// Lets the transaction be applied to whatever is there.
    pub fn unpin(&mut self) {
        self.open();
        self.pinned = None;
        self.batch.overwrite(GENERATION_AT, &[0; 4]);
    }

    /// Sets the tag that the following changes belong to.
    pub fn tag(&mut self, tag: T) {
        self.open();
        self.batch.tag(tag);
    }

    /// Bytes that [`Transaction::commit`] will send.
    pub fn len(&self) -> usize {
        self.batch.len() + END_LEN
    }

    /// True where the transaction holds no change.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Number of changes.
    pub fn count(&self) -> u32 {
        self.batch.count().saturating_sub(1)
    }

    /// True where the transaction would be larger than `capacity` with `more` bytes of changes.
    /// `capacity` is [`netlink_batch::Socket::send_capacity`] or less.
    pub fn would_exceed(&self, capacity: usize, more: usize) -> bool {
        self.len().saturating_add(more) > capacity
    }

    /// Where the transaction stands now.
    pub fn mark(&self) -> Mark {
        Mark {
            batch: self.batch.mark(),
            asked: self.asked,
        }
    }

    /// Takes back every change since `mark`, which must be of this transaction since it began.
    ///
    /// So a writer can add a group of changes that belong together, see that it is over the
    /// capacity, take it back, commit, and add it to the next transaction.
    pub fn rollback(&mut self, mark: Mark) {
        self.batch.rollback(mark.batch);
        self.asked = self.asked.min(mark.asked);
    }

    /// Gives memory beyond `bytes` back, as after a first full write.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.batch.shrink_to(bytes);
        self.echoes.shrink_to(0);
    }

    /// Bytes of memory kept for changes and echoes.
    pub fn capacity(&self) -> usize {
        self.batch.capacity() + self.echoes.capacity() * size_of::<Echo<T>>()
    }

    pub(super) fn change(
        &mut self,
        op: u16,
        flags: u16,
        family: Family,
        fill: impl FnOnce(&mut AttrWriter<'_>),
    ) {
        self.open();
        self.batch
            .message(op, flags, &nfgenmsg(family.number()), fill);
    }

    pub(super) fn close(&mut self) {
        self.batch.untag();
        self.batch.message(BATCH_END, 0, &BATCH_HEADER, |_| {});
    }

    pub(super) fn reset(&mut self) {
        self.batch.clear();
        self.pinned = None;
        self.asked = 0;
    }

    fn open(&mut self) {
        if self.batch.is_empty() {
            // To the kernel 0 is no generation and the same as no attribute.
            let generation = self.pinned.unwrap_or(0);
            self.batch.message(BATCH_BEGIN, 0, &BATCH_HEADER, |attrs| {
                attrs.u32_be(BATCH_GENERATION, generation);
            });
        }
    }
}
