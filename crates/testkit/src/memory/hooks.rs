//! What happens beside the agent and to its messages.

use netlink_batch::socket::{GENERIC, NETFILTER, ROUTE};
use netlink_batch::{Errno, Message, Messages};

use super::{MemoryKernel, Ruleset};

/// Decides what happens at each step of the agent. All of it does nothing by default.
///
/// Each is called where nothing is locked: it may commit as another program
/// ([`MemoryKernel::program`]), read the state and lose notifications. What other programs do is
/// told to nobody here.
pub trait Hooks: Send {
    /// Before a datagram of the agent is handled; says what becomes of it.
    fn before_send(&mut self, kernel: &MemoryKernel, sent: &Sent<'_>) -> Fate {
        let _ = (kernel, sent);
        Fate::Handled
    }

    /// Between two datagrams of an answer that the agent reads: what changes now interrupts it.
    fn between_datagrams(&mut self, kernel: &MemoryKernel) {
        let _ = kernel;
    }

    /// After a commit of the agent that changed something, with the rules before and after it.
    fn committed(&mut self, kernel: &MemoryKernel, before: &Ruleset, after: &Ruleset) {
        let _ = (kernel, before, after);
    }

    /// After a message of the agent that belongs to no transaction of `nf_tables` and has changed
    /// something: a virtual server, a destination, an IP set or an element, a link or an address.
    fn took_effect(&mut self, kernel: &MemoryKernel) {
        let _ = kernel;
    }
}

/// What becomes of a datagram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fate {
    /// It is handled as the kernel handles it.
    #[default]
    Handled,
    /// The system call fails; nothing was sent.
    NotSent(Errno),
    /// One of its messages is refused, whatever it asks for.
    Refused {
        /// Why.
        errno: Errno,
        /// Which message of the datagram, counted from 0. Message 0 of a transaction is its
        /// beginning and stands for all of it.
        message: usize,
    },
    /// It is handled and all answers are lost (ENOBUFS).
    AnswersLost,
}

/// A datagram that is about to be handled.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// The netlink protocol, as [`netlink_batch::socket::NETFILTER`].
    pub protocol: isize,
    datagram: &'a [u8],
}

impl<'a> Sent<'a> {
    pub(super) fn new(protocol: isize, datagram: &'a [u8]) -> Self {
        Self { protocol, datagram }
    }

    /// Its messages.
    pub fn messages(&self) -> impl Iterator<Item = Message<'a>> + use<'a> {
        Messages::new(self.datagram).map_while(Result::ok)
    }

    /// True where it is a transaction of `nf_tables`, or a message of it is to change a virtual server,
    /// a destination, an IP set or an element, a link or an address.
    pub fn is_change(&self) -> bool {
        let is_change: fn(&Message<'_>) -> bool = match self.protocol {
            NETFILTER if self.is_batch() => return true,
            NETFILTER => super::ipset::is_change,
            GENERIC => super::ipvs::is_change,
            ROUTE => super::route::is_change,
            _ => return false,
        };
        self.messages().any(|message| is_change(&message))
    }

    /// True where it is a transaction of `nf_tables`.
    pub fn is_batch(&self) -> bool {
        super::nft::is_batch(self.datagram)
    }
}
