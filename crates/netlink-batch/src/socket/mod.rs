//! A blocking netlink socket.

mod answers;
mod buffers;
mod filter;
mod inner;
mod request;

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use answers::{Answers, Refusal};

use crate::errno::Errno;
use crate::error::Error;
use crate::message::{Message, Messages, kind};
use inner::Inner;

/// `NETLINK_NETFILTER`.
pub const NETFILTER: isize = netlink_sys::protocols::NETLINK_NETFILTER;
/// `NETLINK_ROUTE`.
pub const ROUTE: isize = netlink_sys::protocols::NETLINK_ROUTE;
/// `NETLINK_GENERIC`.
pub const GENERIC: isize = netlink_sys::protocols::NETLINK_GENERIC;

/// Room for one received datagram. The kernel fills dumps up to 32 KiB and sends no `nf_tables`
/// object larger than 64 KiB.
const DATAGRAM: usize = 64 * 1024;
/// Datagrams handed out by one [`Socket::receive`] at most, so that a flood can't hold it.
const DATAGRAMS_PER_RECEIVE: usize = 64;

/// A netlink socket in the network namespace of the thread that opened it.
///
/// Use one socket for requests and another one for notifications: what is notified between a
/// request and its answer would be dropped.
#[derive(Debug)]
pub struct Socket {
    inner: Inner,
    port: u32,
    send_capacity: usize,
    datagram: Vec<u8>,
    request: Vec<u8>,
    next_seq: u32,
}

/// What one read of the socket gave.
enum Read {
    /// A datagram stands in the buffer.
    Datagram,
    /// A datagram that the kernel didn't send, or that was cut off.
    Lost,
    /// Nothing is there now.
    Empty,
}

impl Socket {
    /// Opens a socket of this netlink protocol ([`NETFILTER`], [`ROUTE`], [`GENERIC`]).
    ///
    /// The buffers are made as large as is allowed, see [`Socket::allow_send`].
    pub fn open(protocol: isize) -> Result<Self, Error> {
        let (inner, port) = Inner::open(protocol)?;
        let mut socket = Self {
            inner,
            port,
            send_capacity: 0,
            datagram: Vec::with_capacity(DATAGRAM),
            request: Vec::new(),
            next_seq: 1,
        };
        socket.allow_send(buffers::SEND)?;
        socket.allow_receive(buffers::RECEIVE)?;
        Ok(socket)
    }

    /// The socket's port: the kernel puts it into [`Message::port`] of what this socket caused.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Joins a multicast group (`NFNLGRP_*`, `RTNLGRP_*`).
    pub fn join(&self, group: u32) -> Result<(), Error> {
        self.inner.join(group)
    }

    /// Leaves a multicast group.
    pub fn leave(&self, group: u32) -> Result<(), Error> {
        self.inner.leave(group)
    }

    /// Waits at most `timeout` (`None`: without limit) for notifications, hands each one to
    /// `each` and returns how many there were. A signal ends the wait early with 0.
    ///
    /// [`Error::Resync`] says that notifications were lost; those that arrived before and after
    /// the gap can still be received.
    pub fn receive(
        &mut self,
        timeout: Option<Duration>,
        mut each: impl FnMut(Message<'_>),
    ) -> Result<usize, Error> {
        let mut count = 0;
        if !self.wait(timeout)? {
            return Ok(count);
        }
        for _ in 0..DATAGRAMS_PER_RECEIVE {
            match self.read() {
                Ok(Read::Datagram) => {}
                Ok(Read::Lost) => return Err(Error::Resync),
                Ok(Read::Empty) => break,
                Err(source) => return Err(Error::io("receiving notifications", source)),
            }
            for message in Messages::new(&self.datagram) {
                let message = message?;
                if !matches!(message.kind, kind::NOOP | kind::DONE | kind::ERROR) {
                    each(message);
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// Waits until there is something to read; false after `timeout` or a signal.
    fn wait(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        if !self.inner.answers_later() {
            return Ok(true);
        }
        let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
            PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = [PollFd::new(self.inner.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(errno) => Err(Error::io("waiting for the kernel", errno.into())),
        }
    }

    /// Reads one datagram without waiting.
    fn read(&mut self) -> std::io::Result<Read> {
        self.inner.read(&mut self.datagram)
    }

    /// Throws away whatever an earlier exchange left behind.
    fn drain(&mut self) {
        loop {
            match self.read() {
                Ok(Read::Datagram | Read::Lost) => {}
                Err(error) if Errno::of(&error) == Errno::NOBUFS => {}
                Ok(Read::Empty) | Err(_) => return,
            }
        }
    }

    fn transmit(&self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > self.send_capacity {
            return Err(self.too_large(bytes.len()));
        }
        // Never retried here: a batch that might have been taken must not be sent twice.
        match self.inner.send(bytes) {
            Ok(()) => Ok(()),
            Err(source) => Err(match Errno::of(&source) {
                Errno::MSGSIZE => self.too_large(bytes.len()),
                // Nothing was read, so this is no loss but a lack of memory for the copy.
                Errno::NOBUFS => Error::Io {
                    doing: "sending to the kernel",
                    source,
                },
                _ => Error::io("sending to the kernel", source),
            }),
        }
    }

    fn too_large(&self, bytes: usize) -> Error {
        Error::TooLarge {
            bytes,
            capacity: self.send_capacity,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}
