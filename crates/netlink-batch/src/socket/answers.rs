//! Sending a batch and sorting what the kernel says about it.

use std::fmt;

use super::{Read, Socket};
use crate::batch::Batch;
use crate::errno::Errno;
use crate::error::{Error, Explained};
use crate::message::{Message, Messages, kind};
use crate::verdict::Verdict;

/// What the kernel said about a batch that was sent.
#[derive(Debug)]
#[must_use = "the kernel reports refused messages here"]
#[non_exhaustive]
pub struct Answers<T> {
    /// Messages that were refused, in the kernel's order.
    pub refusals: Vec<Refusal<T>>,
    /// Messages that were acknowledged; only those that ask for it with `NLM_F_ACK` can be.
    pub acknowledged: u32,
    /// Other messages that came back, such as echoes.
    pub replies: u32,
    /// True where answers were lost. Without a refusal among those that arrived, it is not known
    /// then whether all messages were accepted.
    pub lost: bool,
}

/// One refused message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal<T> {
    /// The message's tag.
    pub tag: Option<T>,
    /// The message's number in the batch, counted from 0; `None` where the kernel names none.
    pub index: Option<u32>,
    /// Why, as a number.
    pub errno: Errno,
    /// Why, in the kernel's words, where it has any.
    pub text: Option<Box<str>>,
    /// Offset of the bad attribute in the message, bytes from its header on.
    pub offset: Option<u32>,
    /// The message's payload, where the kernel sent it back, see [`Verdict::judged`]; else empty.
    pub judged: Box<[u8]>,
}

impl<T> Refusal<T> {
    /// A refusal of which the kernel said nothing but a number, such as tests need of what decides
    /// on refusals.
    pub fn new(tag: Option<T>, index: Option<u32>, errno: Errno) -> Self {
        Self {
            tag,
            index,
            errno,
            text: None,
            offset: None,
            judged: Box::default(),
        }
    }
}

impl<T> fmt::Display for Refusal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let explained = Explained {
            text: self.text.as_deref(),
            offset: self.offset,
        };
        match self.index {
            Some(index) => write!(f, "message {index}: {}{explained}", self.errno),
            None => write!(f, "{}{explained}", self.errno),
        }
    }
}

impl Socket {
    /// Sends the batch in one system call and reads all answers.
    ///
    /// Replies other than verdicts (echoes, results) go to `reply` with the tag of the message
    /// that asked for them. An error means that nothing was sent. After success every message has
    /// been judged: what is not among the refusals was accepted, if no answer was lost.
    pub fn send<T: Clone>(
        &mut self,
        batch: &Batch<T>,
        reply: impl FnMut(Option<&T>, Message<'_>),
    ) -> Result<Answers<T>, Error> {
        self.send_then(batch, || (), reply)
    }

    /// The same, and calls `sent` as soon as the kernel is done with the batch, before its answers
    /// are read. It is not called where nothing was sent.
    pub fn send_then<T: Clone>(
        &mut self,
        batch: &Batch<T>,
        sent: impl FnOnce(),
        reply: impl FnMut(Option<&T>, Message<'_>),
    ) -> Result<Answers<T>, Error> {
        let mut answers = Answers {
            refusals: Vec::new(),
            acknowledged: 0,
            replies: 0,
            lost: false,
        };
        if let Some(index) = batch.oversized() {
            return Err(Error::Oversized { index });
        }
        if !batch.is_empty() {
            self.drain();
            self.transmit(batch.as_bytes())?;
            sent();
            self.collect(batch, &mut answers, reply);
        }
        Ok(answers)
    }

    fn collect<T: Clone>(
        &mut self,
        batch: &Batch<T>,
        answers: &mut Answers<T>,
        mut reply: impl FnMut(Option<&T>, Message<'_>),
    ) {
        loop {
            match self.read() {
                Ok(Read::Datagram) => {}
                Ok(Read::Empty) => return,
                Ok(Read::Lost) => {
                    answers.lost = true;
                    continue;
                }
                Err(error) => {
                    answers.lost = true;
                    // ENOBUFS is told once; what had room in the buffer follows.
                    if Errno::of(&error) == Errno::NOBUFS {
                        continue;
                    }
                    return;
                }
            }
            for message in Messages::new(&self.datagram) {
                let Ok(message) = message else {
                    answers.lost = true;
                    break;
                };
                match message.kind {
                    kind::NOOP | kind::DONE => {}
                    kind::OVERRUN => answers.lost = true,
                    kind::ERROR => match Verdict::read(&message) {
                        Some(verdict) => answers.judge(batch, &verdict),
                        None => answers.lost = true,
                    },
                    _ => {
                        if let Some(index) = batch.index_of(message.seq) {
                            answers.replies += 1;
                            reply(batch.tag_at(index), message);
                        }
                    }
                }
            }
        }
    }
}

impl<T: Clone> Answers<T> {
    fn judge(&mut self, batch: &Batch<T>, verdict: &Verdict<'_>) {
        let Some(errno) = verdict.errno else {
            self.acknowledged += 1;
            return;
        };
        let index = batch.index_of(verdict.seq);
        self.refusals.push(Refusal {
            tag: index.and_then(|index| batch.tag_at(index)).cloned(),
            index,
            errno,
            text: verdict.text.map(Into::into),
            offset: verdict.offset,
            judged: verdict.judged.into(),
        });
    }
}
