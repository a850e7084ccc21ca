//! From messages to the kernel, and what it said.

use netlink_batch::{Errno, Socket};
use nfnetlink::nftables::{self, CommitError, Transaction};

use super::Concerned;
use super::watch::Watch;
use crate::{ApplyError, Refusal, Tag, WriteError, Written, socket};

/// Largest transaction that we listen during, bytes: the kernel puts each of its messages into words
/// then, and keeps them until all are done.
const LISTENED_TO: usize = 32 << 10;
/// How often a transaction is sent pinned. Beside somebody who commits without a pause no pinned
/// one may ever be in time.
const PINNED_TRIES: usize = 16;
/// What is kept of a transaction's memory when it is over, bytes: room for any usual change.
const IDLE_BUFFER: usize = 64 << 10;

/// Commits transactions, in parts where they are large, and knows what others did up to them.
#[derive(Debug)]
pub(crate) struct Committer<P: Concerned> {
    /// What commits go through, and looks at what there is.
    pub(crate) socket: Socket,
    /// What others do.
    pub(crate) watch: Watch<P>,
    messages: Transaction<Tag>,
    /// The tag of the messages added last.
    last_tag: Option<Tag>,
    /// Parts sent so far.
    written: Written,
    /// Others committed while nobody listened to them for the sake of these parts.
    unheard: bool,
}

impl<P: Concerned> Committer<P> {
    /// Opens the sockets and begins to listen.
    pub(crate) fn open() -> Result<Self, WriteError> {
        let socket = socket::netfilter()?;
        let watch = Watch::start(socket.port())?;
        let mut messages = Transaction::new();
        messages.begin(Some(watch.heard.generation()));
        Ok(Self {
            socket,
            watch,
            messages,
            last_tag: None,
            written: Written::default(),
            unheard: false,
        })
    }

    /// What was sent of the open transaction.
    pub(crate) const fn written(&self) -> Written {
        self.written
    }

    /// True where parts of the open transaction were sent.
    pub(crate) const fn is_partly_sent(&self) -> bool {
        self.written.transactions > 0
    }

    /// True where nothing is to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Forgets the open transaction and begins another one.
    pub(crate) fn discard(&mut self) {
        self.messages.shrink_to(IDLE_BUFFER);
        self.messages.begin(Some(self.watch.heard.generation()));
        self.last_tag = None;
        self.written = Written::default();
        self.unheard = false;
    }

    /// Adds messages that must stay together.
    pub(crate) fn add(&mut self, tag: Tag, add: impl FnOnce(&mut Transaction<Tag>)) {
        self.messages.tag(tag);
        add(&mut self.messages);
        self.last_tag = Some(tag);
    }

    /// The same where they fit beside what was there before. Returns false, and leaves that as it
    /// was, where it has to be sent first. `limit` is the size of a part, bytes.
    pub(crate) fn try_to_add(
        &mut self,
        tag: Tag,
        limit: usize,
        add: impl FnOnce(&mut Transaction<Tag>),
    ) -> bool {
        let (mark, before) = (self.messages.mark(), self.last_tag);
        let is_first = self.messages.is_empty();
        self.add(tag, add);
        let fits = is_first || self.messages.len() <= limit.min(self.socket.send_capacity());
        if !fits {
            self.messages.rollback(mark);
            self.last_tag = before;
        }
        fits
    }

    /// Sends what is added so far as one transaction, and returns the handles that the kernel told.
    /// What others commit meanwhile elsewhere costs no more than another try. `explain` puts what is
    /// refused into words.
    ///
    /// Where they never pause, or were in between while nobody listened, it is sent to be applied to
    /// whatever is there: it makes, flushes and deletes what has names of ours, so nothing else can be
    /// hit. What others did to that just before is heard afterwards, or counts as unknown, and is put
    /// right then. One that `stays_pinned` is the exception: it deletes by its handle what stands
    /// among others' objects. Handles count anew in a table that was made again, so it may be another
    /// program's rule by now.
    pub(crate) fn send(
        &mut self,
        stays_pinned: bool,
        explain: impl FnMut(&mut Socket, &nftables::Refusal<Tag>) -> String,
    ) -> Result<Vec<u64>, ApplyError<P>> {
        for tried in 0.. {
            self.watch.absorb()?;
            if !(self.unheard || self.watch.heard.touched().is_empty()) {
                return Err(self.foreign());
            }
            let may_unpin = tried >= PINNED_TRIES || self.unheard;
            let pinned = stays_pinned || !may_unpin;
            let bytes = self.messages.len();
            match self.try_to_send(pinned)? {
                Ok(handles) => {
                    self.written.transactions += 1;
                    self.written.bytes += bytes;
                    self.messages.begin(Some(self.watch.heard.generation()));
                    return Ok(handles);
                }
                Err(CommitError::GenerationMoved) if pinned => {
                    self.unheard = bytes > LISTENED_TO;
                    if stays_pinned && (self.unheard || tried >= PINNED_TRIES) {
                        break;
                    }
                }
                Err(error) if pinned => return Err(self.refused(error, explain)),
                Err(error) => {
                    let error = of_itself(error);
                    if is_of_others(&error) {
                        self.watch.absorb()?;
                        if !self.watch.heard.touched().is_empty() {
                            return Err(self.foreign());
                        }
                    }
                    return Err(self.refused(error, explain));
                }
            }
        }
        Err(self.refused(CommitError::GenerationMoved, explain))
    }

    /// Returns the handles that the kernel told, or what it says against the transaction.
    fn try_to_send(
        &mut self,
        pinned: bool,
    ) -> Result<Result<Vec<u64>, CommitError<Tag>>, WriteError> {
        let before = self.watch.heard.generation();
        if pinned {
            self.messages.pin(before);
        } else {
            self.messages.unpin();
        }
        let mut listens = None;
        let quiet = self.messages.len() > LISTENED_TO;
        if quiet {
            self.watch.pause()?;
        }
        let (messages, watch) = (&mut self.messages, &mut self.watch);
        // At once, before somebody who waited for our commit to end tells what theirs does.
        let result = messages.commit_then(&mut self.socket, || {
            if quiet {
                listens = Some(watch.listen_again());
            }
        });
        let made = match &result {
            Ok(committed) => committed.generation,
            Err(CommitError::Refused { generation, .. }) => *generation,
            Err(CommitError::TooLarge { .. } | CommitError::NotSent(_)) => Some(before),
            Err(CommitError::GenerationMoved | CommitError::Unknown) => None,
        };
        // Unpinned, others may have been in between, whom nobody heard.
        let made = made.filter(|_| pinned || !quiet);
        let result = result.map(|committed| {
            let echoes: Vec<u64> = committed.echoes.iter().map(|echo| echo.handle).collect();
            if committed.echoes_lost {
                Vec::new()
            } else {
                echoes
            }
        });
        if quiet && listens.is_none() {
            listens = Some(self.watch.listen_again());
        }
        self.watch.committed(made, listens.transpose()?);
        Ok(result)
    }

    /// Others touched what is ours: where parts were sent before, nobody has noted those yet.
    fn foreign(&self) -> ApplyError<P> {
        if self.is_partly_sent() {
            ApplyError::Unknown("others changed the rule set between two parts".to_owned())
        } else {
            ApplyError::Foreign(self.watch.heard.touched().clone())
        }
    }

    fn refused(
        &mut self,
        error: CommitError<Tag>,
        mut explain: impl FnMut(&mut Socket, &nftables::Refusal<Tag>) -> String,
    ) -> ApplyError<P> {
        let partly = self.is_partly_sent();
        let refused = |refusals| ApplyError::Refused { refusals, partly };
        match error {
            CommitError::GenerationMoved | CommitError::Unknown => {
                ApplyError::Unknown(error.to_string())
            }
            CommitError::Refused { refusals, .. } => refused(
                refusals
                    .into_iter()
                    .map(|refusal| Refusal {
                        tag: refusal.tag,
                        reason: explain(&mut self.socket, &refusal),
                    })
                    .collect(),
            ),
            // Only one object alone can be larger than a part.
            CommitError::TooLarge { .. } => refused(vec![Refusal {
                tag: self.last_tag,
                reason: error.to_string(),
            }]),
            CommitError::NotSent(error) => {
                WriteError::netlink("committing to nf_tables", error).into()
            }
        }
    }
}

/// True for what the kernel may say for the sake of what others did just before: something is there
/// already, is there no more, or is in use.
fn is_of_others(error: &CommitError<Tag>) -> bool {
    match error {
        CommitError::Refused { refusals, .. } => {
            refusals.iter().all(|it| found_otherwise(it.errno))
        }
        CommitError::GenerationMoved | CommitError::Unknown => true,
        CommitError::TooLarge { .. } | CommitError::NotSent(_) => false,
    }
}

/// Of refusals those that are about the objects themselves, where there are any: the others may
/// follow from them, or be for the sake of what others did.
fn of_itself(error: CommitError<Tag>) -> CommitError<Tag> {
    match error {
        CommitError::Refused {
            mut refusals,
            generation,
        } if refusals.iter().any(|it| !found_otherwise(it.errno)) => {
            refusals.retain(|it| !found_otherwise(it.errno));
            CommitError::Refused {
                refusals,
                generation,
            }
        }
        error => error,
    }
}

/// True where the kernel says that something is there already, is there no more, or is in use.
pub(crate) fn found_otherwise(errno: Errno) -> bool {
    [Errno::NOENT, Errno::EXIST, Errno::BUSY].contains(&errno)
}
