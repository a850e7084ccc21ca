//! Many messages in one buffer, each with a sequence number and a tag.

use crate::attr::{AttrWriter, Attrs};
use crate::message::{self, Message, Messages};

/// Messages to be sent at once.
///
/// Every message has a sequence number and belongs to the tag that was set last, so that the
/// kernel's answers can be told by tag. A tag covers a run of messages and is stored once.
#[derive(Debug)]
pub struct Batch<T> {
    buf: Vec<u8>,
    first_seq: u32,
    count: u32,
    runs: Vec<Run<T>>,
    oversized: Option<u32>,
}

#[derive(Debug)]
struct Run<T> {
    from: u32,
    tag: Option<T>,
}

/// A place in a batch to return to with [`Batch::rollback`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    bytes: usize,
    count: u32,
    runs: usize,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Batch<T> {
    /// An empty batch; its first message gets sequence number 1.
    pub const fn new() -> Self {
        Self {
            buf: Vec::new(),
            first_seq: 1,
            count: 0,
            runs: Vec::new(),
            oversized: None,
        }
    }

    /// Sets the tag that the following messages belong to.
    pub fn tag(&mut self, tag: T) {
        self.runs.push(Run {
            from: self.count,
            tag: Some(tag),
        });
    }

    /// Says that the following messages belong to no tag.
    pub fn untag(&mut self) {
        self.runs.push(Run {
            from: self.count,
            tag: None,
        });
    }

    /// Appends a message and returns what `fill` returns.
    ///
    /// `fixed` is the family's own header (`nfgenmsg`, `genlmsghdr`), its length a multiple of 4.
    /// [`message::flags::REQUEST`] is added to `flags`.
    pub fn message<R>(
        &mut self,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        fill: impl FnOnce(&mut AttrWriter<'_>) -> R,
    ) -> R {
        let index = self.count;
        let seq = self.first_seq.wrapping_add(index);
        let start = self.buf.len();
        self.count += 1;
        let flags = flags | message::flags::REQUEST;
        let result = message::write(&mut self.buf, kind, flags, seq, fixed, fill);
        let attrs = &self.buf[start + message::HEADER_LEN + fixed.len()..];
        if attrs.len() > usize::from(u16::MAX) && Attrs::new(attrs).any(|attr| attr.is_err()) {
            self.oversized.get_or_insert(index);
        }
        result
    }

    /// Writes over bytes of the batch that are there already; does nothing where they are not.
    pub fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.buf.get_mut(at..at.saturating_add(bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }

    /// The first message with an attribute of 64 KiB or more, which netlink can't express. A batch
    /// with such a message is not sent.
    pub fn oversized(&self) -> Option<u32> {
        self.oversized
    }

    /// Bytes in the batch.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// True where the batch has no message.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Number of messages.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The messages as they will be sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buf
    }

    /// The messages, read back.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        Messages::new(&self.buf).map_while(Result::ok)
    }

    /// The tag of the message at `index`, counted from 0.
    pub fn tag_at(&self, index: u32) -> Option<&T> {
        let after = self.runs.partition_point(|run| run.from <= index);
        self.runs.get(after.checked_sub(1)?)?.tag.as_ref()
    }

    /// The number, counted from 0, of the message with this sequence number.
    pub fn index_of(&self, seq: u32) -> Option<u32> {
        let index = seq.wrapping_sub(self.first_seq);
        (index < self.count).then_some(index)
    }

    /// Where the batch stands now.
    pub fn mark(&self) -> Mark {
        Mark {
            bytes: self.buf.len(),
            count: self.count,
            runs: self.runs.len(),
        }
    }

    /// Takes back every message and tag since `mark`, which must be of this batch since it was
    /// cleared last.
    pub fn rollback(&mut self, mark: Mark) {
        self.buf.truncate(mark.bytes);
        self.count = self.count.min(mark.count);
        self.runs.truncate(mark.runs);
        self.oversized = self.oversized.filter(|index| *index < self.count);
    }

    /// Empties the batch and keeps its memory. Sequence numbers go on, so that a late answer to
    /// an earlier message is not taken for one to a later message.
    pub fn clear(&mut self) {
        self.first_seq = self.first_seq.wrapping_add(self.count);
        self.count = 0;
        self.buf.clear();
        self.runs.clear();
        self.oversized = None;
    }

    /// Bytes of memory kept for messages and tags.
    pub fn capacity(&self) -> usize {
        self.buf.capacity() + self.runs.capacity() * size_of::<Run<T>>()
    }

    /// Gives memory beyond `bytes` back, as after an unusually large batch.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.buf.shrink_to(bytes);
        self.runs.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(batch: &mut Batch<&'static str>) {
        batch.message(0x0a00, 0, &[2, 0, 0, 0], |attrs| attrs.str(1, "nat"));
    }

    #[test]
    fn tags_cover_runs() {
        let mut batch = Batch::new();
        add(&mut batch);
        batch.tag("a");
        add(&mut batch);
        add(&mut batch);
        batch.tag("unused");
        batch.tag("b");
        add(&mut batch);
        batch.untag();
        add(&mut batch);
        let tags: Vec<_> = (0..6).map(|index| batch.tag_at(index).copied()).collect();
        assert_eq!(tags, [None, Some("a"), Some("a"), Some("b"), None, None]);
        assert_eq!((batch.count(), batch.len()), (5, 5 * 28));
    }

    #[test]
    fn sequence_numbers_go_on_after_clear() {
        let mut batch = Batch::new();
        add(&mut batch);
        add(&mut batch);
        assert_eq!(batch.index_of(2), Some(1));
        batch.clear();
        assert!(batch.is_empty());
        add(&mut batch);
        assert_eq!(
            (batch.index_of(2), batch.index_of(3), batch.index_of(4)),
            (None, Some(0), None)
        );
        assert_eq!(batch.messages().map(|m| m.seq).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut batch = Batch {
            first_seq: u32::MAX,
            ..Batch::new()
        };
        add(&mut batch);
        add(&mut batch);
        assert_eq!(
            (batch.index_of(u32::MAX), batch.index_of(0)),
            (Some(0), Some(1))
        );
        assert_eq!(
            batch.messages().map(|m| m.seq).collect::<Vec<_>>(),
            [u32::MAX, 0]
        );
    }

    #[test]
    fn rollback_restores_bytes_and_tags() {
        let mut batch = Batch::new();
        batch.tag("a");
        add(&mut batch);
        let mark = batch.mark();
        let before = batch.as_bytes().to_vec();
        batch.tag("b");
        add(&mut batch);
        batch.rollback(mark);
        assert_eq!(batch.as_bytes(), before);
        add(&mut batch);
        assert_eq!(batch.tag_at(1), Some(&"a"));
    }

    #[test]
    fn an_attribute_of_64_kib_is_noticed() {
        let mut batch = Batch::<()>::new();
        let large = vec![0; 65532];
        batch.message(0x0a06, 0, &[2, 0, 0, 0], |attrs| {
            attrs.nest(4, |list| list.bytes(1, &large[..65000]));
            attrs.bytes(7, &large[..65000]);
        });
        assert_eq!(batch.oversized(), None);
        let mark = batch.mark();
        batch.message(0x0a06, 0, &[2, 0, 0, 0], |attrs| {
            attrs.nest(4, |list| {
                list.bytes(1, &large[..65000]);
                list.bytes(1, &[0; 1000]);
            });
        });
        assert_eq!(batch.oversized(), Some(1));
        batch.rollback(mark);
        assert_eq!(batch.oversized(), None);
        batch.message(0x0a06, 0, &[2, 0, 0, 0], |attrs| {
            attrs.bytes(7, &large);
        });
        assert_eq!(batch.oversized(), Some(1));
        batch.clear();
        assert_eq!(batch.oversized(), None);
    }

    #[test]
    fn bytes_can_be_written_over() {
        let mut batch = Batch::new();
        add(&mut batch);
        batch.overwrite(24, b"raw");
        assert_eq!(&batch.as_bytes()[24..], b"raw\0");
        let before = batch.as_bytes().to_vec();
        batch.overwrite(26, b"beyond");
        batch.overwrite(usize::MAX, b"x");
        assert_eq!(batch.as_bytes(), before);
    }

    #[test]
    fn a_cleared_batch_keeps_its_memory() {
        let mut batch = Batch::new();
        for _ in 0..100 {
            batch.tag("a");
            add(&mut batch);
        }
        let (bytes, runs) = (batch.buf.capacity(), batch.runs.capacity());
        batch.clear();
        assert_eq!((batch.buf.capacity(), batch.runs.capacity()), (bytes, runs));
        batch.shrink_to(0);
        assert_eq!(batch.buf.capacity(), 0);
    }
}
