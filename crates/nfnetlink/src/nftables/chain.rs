//! Chains.

use netlink_batch::message::flags::{CREATE, EXCL};
use netlink_batch::{Attr, AttrWriter, Errno, Error, Message, Socket};

use super::batch::Transaction;
use super::uapi::{chain as attr, op};
use super::{by_kind, pick, require};
use crate::{Family, nfgenmsg};

/// `NF_ACCEPT` as a base chain's policy.
const ACCEPT: u32 = 1;

/// Names one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId<'a> {
    /// The table's family.
    pub family: Family,
    /// The table's name.
    pub table: &'a str,
    /// The chain's name, at most 255 bytes; iptables shows up to 28.
    pub name: &'a str,
}

/// Where in the packet's way a base chain is called (`NF_INET_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum Hook {
    /// Before routing.
    Prerouting = 0,
    /// To this host.
    Input = 1,
    /// Through this host.
    Forward = 2,
    /// From this host.
    Output = 3,
    /// After routing.
    Postrouting = 4,
}

impl Hook {
    /// The hook with this number; `None` for others than the five of IP.
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Prerouting,
            1 => Self::Input,
            2 => Self::Forward,
            3 => Self::Output,
            4 => Self::Postrouting,
            _ => return None,
        })
    }

    /// Its name in `nft`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        }
    }
}

/// What makes a chain a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BaseChain<'a> {
    /// `filter`, `nat` or `route`.
    pub kind: &'a str,
    /// Where it is called; `None` for a hook outside IP.
    pub hook: Option<Hook>,
    /// Chains on one hook are called by rising priority.
    pub priority: i32,
    /// What becomes of a packet that no rule decides on: accepted or, if false, dropped.
    pub accept: bool,
}

impl<'a> BaseChain<'a> {
    /// A base chain that accepts what no rule decides on.
    pub const fn accepting(kind: &'a str, hook: Hook, priority: i32) -> Self {
        Self {
            kind,
            hook: Some(hook),
            priority,
            accept: true,
        }
    }

    /// Appends what makes it one.
    pub(super) fn put(&self, attrs: &mut AttrWriter<'_>) {
        if let Some(hook) = self.hook {
            attrs.nest(attr::HOOK, |place| {
                place.u32_be(attr::HOOK_NUMBER, hook as u32);
                place.u32_be(attr::HOOK_PRIORITY, self.priority.cast_unsigned());
            });
        }
        attrs.u32_be(attr::POLICY, u32::from(self.accept));
        attrs.str(attr::TYPE, self.kind);
    }
}

/// A chain as the kernel reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chain<'a> {
    /// The name of its table.
    pub table: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The kernel's number for it, unique in its table.
    pub handle: u64,
    /// Number of its rules and of the references to it.
    pub uses: u32,
    /// `None` for a chain that is only jumped to.
    pub base: Option<BaseChain<'a>>,
}

impl<'a> Chain<'a> {
    /// Reads a `NFT_MSG_NEWCHAIN` message.
    pub fn read(message: &Message<'a>) -> Result<Self, Error> {
        let (_, attrs) = message.split::<4>()?;
        let found = by_kind::<7>(attrs)?;
        Ok(Self {
            table: require(pick(&found, attr::TABLE), "chain", "table")?.str()?,
            name: require(pick(&found, attr::NAME), "chain", "name")?.str()?,
            handle: require(pick(&found, attr::HANDLE), "chain", "handle")?.u64_be()?,
            uses: pick(&found, attr::USE).map_or(Ok(0), |attr| attr.u32_be())?,
            base: pick(&found, attr::HOOK)
                .map(|hook| base(&found, hook))
                .transpose()?,
        })
    }
}

fn base<'a>(found: &[Option<Attr<'a>>; 7], hook: Attr<'a>) -> Result<BaseChain<'a>, Error> {
    let place = by_kind::<2>(hook.nested())?;
    let number = require(pick(&place, attr::HOOK_NUMBER), "base chain", "hook")?.u32_be()?;
    let priority = require(pick(&place, attr::HOOK_PRIORITY), "base chain", "priority")?;
    Ok(BaseChain {
        kind: pick(found, attr::TYPE).map_or(Ok(""), |attr| attr.str())?,
        hook: Hook::from_number(number),
        priority: priority.u32_be()?.cast_signed(),
        accept: pick(found, attr::POLICY).map_or(Ok(ACCEPT), |attr| attr.u32_be())? == ACCEPT,
    })
}

/// Hands each chain of all tables of the family to `each`.
pub fn chains(
    socket: &mut Socket,
    family: Family,
    mut each: impl FnMut(Chain<'_>),
) -> Result<(), Error> {
    socket.dump(
        op::GET_CHAIN,
        &nfgenmsg(family.number()),
        |_| {},
        |message| {
            each(Chain::read(&message)?);
            Ok(())
        },
    )
}

/// What `read` makes of one chain, `None` where it does not exist.
pub fn find_chain<R>(
    socket: &mut Socket,
    chain: ChainId<'_>,
    mut read: impl FnMut(Chain<'_>) -> R,
) -> Result<Option<R>, Error> {
    let name = |attrs: &mut AttrWriter<'_>| {
        attrs.str(attr::TABLE, chain.table);
        attrs.str(attr::NAME, chain.name);
    };
    let family = nfgenmsg(chain.family.number());
    let mut found = None;
    let result = socket.request(op::GET_CHAIN, 0, &family, name, |message| {
        found = Some(read(Chain::read(&message)?));
        Ok(())
    });
    match result {
        Ok(()) => Ok(found),
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

impl<T> Transaction<T> {
    /// Creates a chain that must not exist yet (EEXIST).
    pub fn new_chain(&mut self, chain: ChainId<'_>) {
        self.put_chain(chain, EXCL);
    }

    /// Creates the chain if it does not exist; its rules stay if it does.
    pub fn ensure_chain(&mut self, chain: ChainId<'_>) {
        self.put_chain(chain, CREATE);
    }

    /// Creates the base chain if it does not exist. If it does, its policy is set.
    pub fn new_base_chain(&mut self, chain: ChainId<'_>, base: BaseChain<'_>) {
        self.change(op::NEW_CHAIN, CREATE, chain.family, |attrs| {
            attrs.str(attr::TABLE, chain.table);
            attrs.str(attr::NAME, chain.name);
            base.put(attrs);
        });
    }

    /// Deletes the chain with its rules; nothing may jump to it then (EBUSY).
    pub fn delete_chain(&mut self, chain: ChainId<'_>) {
        self.change(op::DEL_CHAIN, 0, chain.family, |attrs| {
            attrs.str(attr::TABLE, chain.table);
            attrs.str(attr::NAME, chain.name);
        });
    }

    fn put_chain(&mut self, chain: ChainId<'_>, flags: u16) {
        self.change(op::NEW_CHAIN, flags, chain.family, |attrs| {
            attrs.str(attr::TABLE, chain.table);
            attrs.str(attr::NAME, chain.name);
        });
    }
}
