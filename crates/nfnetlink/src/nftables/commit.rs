//! Committing a transaction and what comes of it.

use std::fmt;

use netlink_batch::{Answers, Errno, Error, Message, Socket};

use super::batch::Transaction;
use super::chain::Chain;
use super::generation::{Generation, generation, next};
use super::hint::hint;
use super::rule::RawRule;
use super::subject::Subject;
use super::table::Table;
use super::uapi::op;
use crate::Family;

/// Refusals that are described in full; the first one is what matters, the rest mostly follows
/// from it.
const DESCRIBED: usize = 64;

/// The handle of an object whose echo was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Echo<T> {
    /// The tag it was added under.
    pub tag: Option<T>,
    /// The kernel's number for it, unique in its table.
    pub handle: u64,
}

/// A transaction that was applied.
#[derive(Debug)]
#[non_exhaustive]
pub struct Committed<'t, T> {
    /// The echoes asked for, in the order of the transaction.
    pub echoes: &'t [Echo<T>],
    /// True where the kernel had no room for all echoes: read the missing handles.
    pub echoes_lost: bool,
    /// The generation this commit made. `None` where it can't be told for sure, which needs a
    /// pinned transaction or an echo.
    pub generation: Option<u32>,
}

/// One refused change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal<T> {
    /// The tag it was added under; `None` where no change is to blame.
    pub tag: Option<T>,
    /// Why, as a number.
    pub errno: Errno,
    /// Why, in the kernel's words, where it has any.
    pub text: Option<Box<str>>,
    /// What was refused; `None` beyond the first 64 refusals.
    pub subject: Option<Subject>,
}

impl<T> fmt::Display for Refusal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subject) = &self.subject {
            write!(f, "{subject}: ")?;
        }
        write!(f, "{}", self.errno)?;
        if let Some(text) = &self.text {
            write!(f, " ({text})")?;
        }
        if let Some(hint) = self
            .subject
            .as_ref()
            .and_then(|subject| hint(subject, self.errno))
        {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

/// A transaction that was not applied, or of which it is not known.
#[derive(Debug, thiserror::Error)]
pub enum CommitError<T> {
    /// Somebody else committed since the generation that the transaction is pinned to (ERESTART).
    /// Nothing was changed. Find out what it was, or read the state again and compare.
    #[error("somebody else changed nf_tables meanwhile; read the state again")]
    GenerationMoved,
    /// The kernel refused changes, and therefore all of them. Nothing was changed.
    #[error("the kernel refused the transaction: {}", First(refusals))]
    Refused {
        /// The refused changes in order. Later ones may only follow from earlier ones.
        refusals: Vec<Refusal<T>>,
        /// The generation to pin the next transaction to if the state was read at the generation
        /// of this one. `None` for a transaction without generation, or if it has moved.
        generation: Option<u32>,
    },
    /// The transaction is larger than the socket can send at once (EMSGSIZE). Nothing was sent.
    #[error("a transaction of {bytes} bytes is over the limit of {capacity}; commit smaller parts")]
    TooLarge {
        /// Bytes that were to be sent.
        bytes: usize,
        /// Bytes that can be sent at once.
        capacity: usize,
    },
    /// The kernel's answer was lost: the transaction was applied or refused as a whole. Read the
    /// state again.
    #[error("the kernel's answer was lost; read the state again to see what was applied")]
    Unknown,
    /// The transaction could not be sent, or we may not commit at all. Nothing was changed.
    #[error("nothing was changed")]
    NotSent(#[from] Error),
}

struct First<'a, T>(&'a [Refusal<T>]);

impl<T> fmt::Display for First<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(first) = self.0.first() {
            write!(f, "{first}")?;
        }
        match self.0.len() {
            0 | 1 => Ok(()),
            n => write!(f, " (and {} more)", n - 1),
        }
    }
}

impl<T: Clone> Transaction<T> {
    /// Sends the transaction, once, and reads what came of it.
    ///
    /// The transaction is empty afterwards, with its memory kept: nothing can be sent a second time
    /// by mistake. Only after [`CommitError::GenerationMoved`] it holds what it held, as nothing of
    /// it was looked at: [`Transaction::pin`] it anew and commit again. `socket` is a
    /// [`netlink_batch::socket::NETFILTER`] socket that has joined no group. An empty transaction
    /// is not sent.
    pub fn commit(&mut self, socket: &mut Socket) -> Result<Committed<'_, T>, CommitError<T>> {
        self.commit_then(socket, || ())
    }

    /// The same, and calls `sent` as soon as the kernel is done with the transaction, before its
    /// answers are read. It is not called where nothing was sent.
    pub fn commit_then(
        &mut self,
        socket: &mut Socket,
        sent: impl FnOnce(),
    ) -> Result<Committed<'_, T>, CommitError<T>> {
        self.echoes.clear();
        let before = self.mark();
        let result = if self.is_empty() {
            Ok(self.pinned)
        } else {
            self.exchange(socket, sent)
        };
        let asked = self.asked as usize;
        if matches!(result, Err(CommitError::GenerationMoved)) {
            self.rollback(before);
        } else {
            self.reset();
        }
        result.map(|generation| Committed {
            echoes: &self.echoes,
            echoes_lost: self.echoes.len() < asked,
            generation,
        })
    }

    fn exchange(
        &mut self,
        socket: &mut Socket,
        sent: impl FnOnce(),
    ) -> Result<Option<u32>, CommitError<T>> {
        self.close();
        let Self {
            batch,
            echoes,
            pinned,
            ..
        } = self;
        let mut made = None;
        let answers = socket
            .send_then(batch, sent, |tag, message| match message.kind {
                op::NEW_GEN => made = Generation::read(&message).ok().map(|made| made.id),
                _ => {
                    if let Some(handle) = handle(&message) {
                        echoes.push(Echo {
                            tag: tag.cloned(),
                            handle,
                        });
                    }
                }
            })
            .map_err(|error| match error {
                Error::TooLarge { bytes, capacity } => CommitError::TooLarge { bytes, capacity },
                error => CommitError::NotSent(error),
            })?;
        if !answers.refusals.is_empty() {
            return Err(self.refused(socket, answers));
        }
        // The first refusal always has room, so that an echo in its place tells of success.
        if answers.lost && answers.replies == 0 && answers.acknowledged == 0 {
            return Err(CommitError::Unknown);
        }
        // A commit that changes nothing makes no generation; one on top of ours changes nothing
        // about which one ours made.
        Ok(made.or_else(|| {
            let before = (*pinned)?;
            let now = generation(socket).ok()?;
            Some(if now == before { before } else { next(before) })
        }))
    }

    fn refused(&self, socket: &mut Socket, answers: Answers<T>) -> CommitError<T> {
        let whole = |refusal: &netlink_batch::Refusal<T>| refusal.index.is_none_or(|at| at == 0);
        if answers
            .refusals
            .iter()
            .any(|refusal| refusal.errno == Errno::RESTART)
        {
            return CommitError::GenerationMoved;
        }
        if answers
            .refusals
            .iter()
            .any(|refusal| whole(refusal) && refusal.errno == Errno::PERM)
        {
            return Error::Permission {
                doing: "committing to nf_tables",
            }
            .into();
        }
        let validation = answers.refusals.iter().any(may_be_validation);
        let refusals = self.describe(answers.refusals);
        let generation = match self.pinned {
            Some(pinned) if validation => self.settle(socket).then(|| next(pinned)),
            None if validation => {
                self.settle(socket);
                None
            }
            pinned => pinned,
        };
        CommitError::Refused {
            refusals,
            generation,
        }
    }

    fn describe(&self, refusals: Vec<netlink_batch::Refusal<T>>) -> Vec<Refusal<T>> {
        let mut described: Vec<_> = refusals
            .into_iter()
            .map(|refusal| {
                // The kernel reports a lack of memory on the first message whatever caused it.
                let tag = refusal.tag.filter(|_| refusal.errno != Errno::NOMEM);
                let found = (refusal.index, refusal.offset);
                let (errno, text) = (refusal.errno, refusal.text);
                (
                    found,
                    Refusal {
                        tag,
                        errno,
                        text,
                        subject: None,
                    },
                )
            })
            .collect();
        described.sort_by_key(|((index, _), _)| *index);
        let mut todo = described.iter_mut().take(DESCRIBED).peekable();
        for (at, message) in (0u32..).zip(self.batch.messages()) {
            while let Some(((_, offset), refusal)) =
                todo.next_if(|((index, _), _)| index.is_none_or(|index| index <= at))
            {
                refusal.subject = Some(Subject::of(&message, *offset));
            }
            if todo.peek().is_none() {
                break;
            }
        }
        described.into_iter().map(|(_, refusal)| refusal).collect()
    }

    /// Commits a table and its deletion. After a failed validation the kernel (6.1 and 6.12;
    /// 6.18.44 no longer) validates all tables after every message until some transaction
    /// succeeds; this is the cheapest one that does.
    fn settle(&self, socket: &mut Socket) -> bool {
        let family = self.batch.messages().nth(1).and_then(|message| {
            message
                .payload
                .first()
                .copied()
                .and_then(Family::from_number)
        });
        let family = family.unwrap_or(Family::Ipv4);
        let name = format!("settle-{}", socket.port());
        let mut small = Transaction::<()>::new();
        small.begin(self.pinned);
        small.create_table(family, &name);
        small.delete_table(family, &name);
        small.close();
        socket
            .send(&small.batch, |_, _| ())
            .is_ok_and(|answers| answers.refusals.is_empty() && !answers.lost)
    }
}

/// Waits until a commit in progress is done, whoever makes it: all that it has to tell to listeners
/// has been told then. It changes nothing.
pub fn wait_for_commit(socket: &mut Socket) -> Result<(), Error> {
    // Without any change it makes no generation, and has its turn after all before it.
    let mut nothing = Transaction::<()>::new();
    nothing.begin(None);
    nothing.close();
    socket.send(&nothing.batch, |_, _| ()).map(drop)
}

/// True where the errno may come from the validation of the whole table. It names no attribute.
fn may_be_validation<T>(refusal: &netlink_batch::Refusal<T>) -> bool {
    refusal.offset.is_none()
        && matches!(
            refusal.errno,
            Errno::INVAL | Errno::MLINK | Errno::LOOP | Errno::OPNOTSUPP
        )
}

fn handle(message: &Message<'_>) -> Option<u64> {
    match message.kind {
        op::NEW_RULE => RawRule::read(message).ok().map(|rule| rule.handle),
        op::NEW_CHAIN => Chain::read(message).ok().map(|chain| chain.handle),
        op::NEW_TABLE => Table::read(message).ok().map(|table| table.handle),
        _ => None,
    }
}
