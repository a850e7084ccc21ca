//! One request and its replies.

use std::time::{Duration, Instant};

use super::{Read, Socket};
use crate::attr::AttrWriter;
use crate::error::Error;
use crate::message::{self, Message, Messages, flags, kind};
use crate::verdict::Verdict;

/// Netlink answers before the send returns; this only bounds the wait for a broken kernel.
const PATIENCE: Duration = Duration::from_secs(10);

impl Socket {
    /// Sends one request and hands its replies to `each` until the kernel acknowledges it.
    ///
    /// `NLM_F_REQUEST` and `NLM_F_ACK` are added to `flags`. The first error of `each` is
    /// returned once the kernel is done.
    pub fn request(
        &mut self,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        fill: impl FnOnce(&mut AttrWriter<'_>),
        each: impl FnMut(Message<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.exchange(kind, flags | flags::ACK, fixed, fill, each)
    }

    /// Asks for all objects of a kind and hands each message to `each`.
    ///
    /// [`Error::Interrupted`] says at the end that the objects changed meanwhile: what was handed
    /// out must be thrown away and read again, see [`crate::retry_stale`].
    pub fn dump(
        &mut self,
        kind: u16,
        fixed: &[u8],
        fill: impl FnOnce(&mut AttrWriter<'_>),
        each: impl FnMut(Message<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.exchange(kind, flags::DUMP, fixed, fill, each)
    }

    fn exchange(
        &mut self,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        fill: impl FnOnce(&mut AttrWriter<'_>),
        mut each: impl FnMut(Message<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let seq = self.next_seq;
        self.next_seq = self.next_seq.wrapping_add(1);
        self.request.clear();
        message::write(
            &mut self.request,
            kind,
            flags | flags::REQUEST,
            seq,
            fixed,
            fill,
        );
        self.drain();
        self.transmit(&self.request)?;

        let sent = Instant::now();
        let mut progress = Progress {
            interrupted: false,
            failed: None,
        };
        loop {
            match self
                .read()
                .map_err(|source| Error::io("reading from the kernel", source))?
            {
                Read::Datagram => {}
                Read::Lost => return Err(Error::Resync),
                Read::Empty => {
                    let left = PATIENCE.saturating_sub(sent.elapsed());
                    if left.is_zero() || !self.inner.answers_later() {
                        return Err(Error::NoAnswer {
                            seconds: PATIENCE.as_secs(),
                        });
                    }
                    self.wait(Some(left))?;
                    continue;
                }
            }
            for message in Messages::new(&self.datagram) {
                let message = message?;
                if message.seq == seq && progress.take(&message, &mut each) {
                    return progress.finish(&message);
                }
            }
        }
    }
}

struct Progress {
    interrupted: bool,
    failed: Option<Error>,
}

impl Progress {
    /// Notes one message; true where it is the last one.
    fn take(
        &mut self,
        message: &Message<'_>,
        each: &mut impl FnMut(Message<'_>) -> Result<(), Error>,
    ) -> bool {
        self.interrupted |= message.flags & flags::DUMP_INTR != 0;
        match message.kind {
            kind::DONE | kind::ERROR => return true,
            kind::NOOP => {}
            kind::OVERRUN => self.failed = self.failed.take().or(Some(Error::Resync)),
            _ if self.failed.is_none() => self.failed = each(*message).err(),
            _ => {}
        }
        false
    }

    fn finish(self, last: &Message<'_>) -> Result<(), Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Some(Verdict {
            errno: Some(errno),
            text,
            offset,
            ..
        }) = Verdict::read(last)
        {
            return Err(match errno {
                crate::Errno::PERM => Error::Permission {
                    doing: "asking the kernel",
                },
                _ => Error::Refused {
                    errno,
                    text: text.map(Into::into),
                    offset,
                },
            });
        }
        if self.interrupted {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }
}
