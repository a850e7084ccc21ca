//! Elements of sets, added and removed many at once.

use std::collections::VecDeque;
use std::ops::Range;

use netlink_batch::{AttrWriter, Attrs, Batch, Errno, Error as Netlink, Refusal, Socket};

use super::{
    DATA, ELEMENTS, Entry, Error, Kind, LINE, NAME, NET_ORDER, PROTOCOL, SUBSYSTEM, VERSION,
    check_name,
};
use crate::nfgenmsg;

const ADD: u16 = SUBSYSTEM | 9;
const DELETE: u16 = SUBSYSTEM | 0xa;

/// Bytes of elements in one message. The kernel sends a refused message back as a whole, which has
/// to fit into one datagram; a nest of attributes ends at 64 KiB anyway.
const MESSAGE: usize = 32 << 10;
/// Bytes sent at once where the socket takes so many: enough to make system calls not matter, and
/// few enough for all answers to fit into a receive buffer of usual size.
const PART: usize = 1 << 20;
/// Bytes of an attribute's header.
const HEADER: usize = 4;

/// Elements to add to sets and to remove from them.
///
/// Several hundred elements go in one message. Adding what is there and removing what is not there
/// both succeed. Each element should be named once: what is refused makes the elements behind it
/// be sent again, after others.
#[derive(Debug)]
pub struct Changes<T> {
    items: Vec<(Entry, T)>,
    runs: Vec<Run>,
}

/// Neighbours that change the same set in the same way.
#[derive(Debug)]
struct Run {
    set: String,
    command: u16,
    from: usize,
}

/// An element that was not added or removed.
#[derive(Debug, thiserror::Error)]
#[error("{entry}: {error}")]
#[non_exhaustive]
pub struct Refused<T> {
    /// The set.
    pub set: String,
    /// The element.
    pub entry: Entry,
    /// What it was given in with.
    pub tag: T,
    /// Why.
    #[source]
    pub error: Error,
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Changes<T> {
    /// No changes.
    pub const fn new() -> Self {
        Self {
            items: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Adds an element to a set.
    pub fn add(&mut self, set: &str, entry: Entry, tag: T) {
        self.push(set, ADD, entry, tag);
    }

    /// Removes an element from a set.
    pub fn remove(&mut self, set: &str, entry: Entry, tag: T) {
        self.push(set, DELETE, entry, tag);
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True where nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn push(&mut self, set: &str, command: u16, entry: Entry, tag: T) {
        let same = |run: &Run| run.command == command && run.set == set;
        if !self.runs.last().is_some_and(same) {
            self.runs.push(Run {
                set: set.to_owned(),
                command,
                from: self.items.len(),
            });
        }
        self.items.push((entry, tag));
    }
}

impl<T: Clone> Changes<T> {
    /// Makes all changes and returns what the kernel refused. All others are made then.
    ///
    /// Changes are made in the order in which they were given in, but for elements behind a
    /// refused one. An error means that it is not known which of the changes were made: list the
    /// sets again.
    pub fn send(&self, socket: &mut Socket) -> Result<Vec<Refused<T>>, Error> {
        let mut refused = Vec::new();
        let mut waiting = self.pieces()?;
        let mut batch = Batch::<()>::new();
        let mut sent = Vec::new();
        let mut part = PART.min(socket.send_capacity().saturating_sub(2 * MESSAGE));
        while !waiting.is_empty() {
            batch.clear();
            sent.clear();
            while (batch.is_empty() || batch.len() < part)
                && let Some(piece) = waiting.pop_front()
            {
                let (now, later) = self.split(piece);
                if let Some(later) = later {
                    waiting.push_front(later);
                }
                self.message(&mut batch, &now);
                sent.push(now);
            }
            let answers = socket.send(&batch, |_, _| {}).map_err(Error::unsupported)?;
            if answers.lost {
                if part == 0 {
                    return Err(Netlink::Resync.into());
                }
                // Too many refusals for the receive buffer. Everything can be sent twice, and the
                // answer to one message has room.
                part = 0;
                for piece in sent.drain(..).rev() {
                    waiting.push_front(piece);
                }
                continue;
            }
            for refusal in &answers.refusals {
                let index = refusal.index.and_then(|index| usize::try_from(index).ok());
                let Some(piece) = index.and_then(|index| sent.get(index)) else {
                    return Err(Netlink::Resync.into());
                };
                waiting.extend(self.refuse(piece, refusal, &mut refused)?);
            }
        }
        Ok(refused)
    }

    /// All changes, a piece for each run.
    fn pieces(&self) -> Result<VecDeque<Piece>, Error> {
        let ends = self.runs.iter().skip(1).map(|run| run.from);
        let ends = ends.chain([self.items.len()]);
        let mut pieces = VecDeque::with_capacity(self.runs.len());
        for ((index, run), end) in self.runs.iter().enumerate().zip(ends) {
            check_name(&run.set)?;
            pieces.push_back(Piece {
                run: index,
                items: run.from..end,
            });
        }
        Ok(pieces)
    }

    /// Divides a piece into what one message holds and the rest.
    fn split(&self, piece: Piece) -> (Piece, Option<Piece>) {
        let mut len = 0;
        let mut fits = 0;
        for (entry, _) in &self.items[piece.items.clone()] {
            len += HEADER + entry.wire_len();
            if len > MESSAGE {
                break;
            }
            fits += 1;
        }
        let middle = piece.items.start + fits.max(1);
        if middle >= piece.items.end {
            return (piece, None);
        }
        let later = Piece {
            run: piece.run,
            items: middle..piece.items.end,
        };
        let now = Piece {
            run: piece.run,
            items: piece.items.start..middle,
        };
        (now, Some(later))
    }

    fn message(&self, batch: &mut Batch<()>, piece: &Piece) {
        let run = &self.runs[piece.run];
        let entries = self.items[piece.items.clone()].iter();
        // Without NLM_F_EXCL what is as it should be already is no error.
        batch.message(run.command, 0, &nfgenmsg(2), |attrs| {
            put(attrs, &run.set, entries.map(|(entry, _)| entry));
        });
    }

    /// Notes what was refused of a message and returns what the kernel did not look at.
    fn refuse(
        &self,
        piece: &Piece,
        refusal: &Refusal<()>,
        refused: &mut Vec<Refused<T>>,
    ) -> Result<Option<Piece>, Error> {
        let run = &self.runs[piece.run];
        let mut note = |items: Range<usize>| {
            for (entry, tag) in &self.items[items] {
                let bitmap = entry.kind() == Kind::BitmapPort;
                refused.push(Refused {
                    set: run.set.clone(),
                    entry: *entry,
                    tag: tag.clone(),
                    error: Error::of_element(&run.set, bitmap, refusal.errno),
                });
            }
        };
        let Some(line) = line(&refusal.judged)? else {
            // The message as a whole: there is no such set, or its elements have another shape.
            note(piece.items.clone());
            return Ok(None);
        };
        let at = piece.items.start + (line - 1);
        if !piece.items.contains(&at) {
            return Err(Netlink::Resync.into());
        }
        if run.command == ADD && is_full(&self.items[at].0, refusal.errno) {
            // So it is for those behind it.
            note(at..piece.items.end);
            return Ok(None);
        }
        note(at..at + 1);
        let rest = Piece {
            run: piece.run,
            items: at + 1..piece.items.end,
        };
        Ok((!rest.items.is_empty()).then_some(rest))
    }
}

/// Neighbouring changes of one run.
#[derive(Debug, Clone)]
struct Piece {
    run: usize,
    items: Range<usize>,
}

fn is_full(entry: &Entry, errno: Errno) -> bool {
    let bitmap = entry.kind() == Kind::BitmapPort;
    matches!(Error::of_element("", bitmap, errno), Error::Full { .. })
}

/// A message's attributes.
pub(super) fn put<'e>(
    attrs: &mut AttrWriter<'_>,
    set: &str,
    entries: impl Iterator<Item = &'e Entry>,
) {
    attrs.u8(PROTOCOL, VERSION);
    attrs.str(NAME, set);
    // The kernel writes the refused element's line over it.
    attrs.u32_be(LINE | NET_ORDER, 1);
    attrs.nest(ELEMENTS, |list| {
        for (line, entry) in (1..).zip(entries) {
            list.nest(DATA, |data| entry.put(data, line));
        }
    });
}

/// The line of the refused element, counted from 1, from the payload that the kernel sent back.
pub(super) fn line(judged: &[u8]) -> Result<Option<usize>, Error> {
    let Some((_, attrs)) = judged.split_first_chunk::<4>() else {
        return Ok(None);
    };
    for attr in Attrs::new(attrs) {
        let attr = attr.map_err(Netlink::from)?;
        if attr.kind == LINE {
            let line = attr.u32_be().map_err(Netlink::from)?;
            return Ok(usize::try_from(line).ok().filter(|line| *line > 0));
        }
    }
    Ok(None)
}
