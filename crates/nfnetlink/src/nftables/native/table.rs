//! Tables and chains as data, and writing them.

use netlink_batch::AttrWriter;
use netlink_batch::message::flags::CREATE;

use super::userdata;
use crate::Family;
use crate::nftables::uapi::{chain, op, table as attr};
use crate::nftables::{BaseChain, ChainId, Hook, Transaction};

/// Names one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId<'a> {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub name: &'a str,
}

impl<'a> TableId<'a> {
    /// A chain of the table.
    pub const fn chain(self, name: &'a str) -> ChainId<'a> {
        ChainId {
            family: self.family,
            table: self.name,
            name,
        }
    }
}

/// What becomes of a table (`NFT_TABLE_F_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableFlags(pub(super) u32);

impl TableFlags {
    /// Its base chains are called nowhere.
    pub const DORMANT: Self = Self(1);
    /// Only the socket that made it may change it (Linux 5.12). It is gone with the socket.
    pub const OWNER: Self = Self(2);
    /// With [`TableFlags::OWNER`] it stays when the socket is closed, without an owner then (Linux
    /// 6.9).
    pub const PERSIST: Self = Self(4);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True where all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags that the kernel tells of a table.
    pub const fn of_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// What a base chain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainKind {
    /// `filter`.
    Filter,
    /// `nat`: sees the first packet of each connection.
    Nat,
    /// `route`: packets of this host are routed anew where it changed them.
    Route,
}

impl ChainKind {
    const ALL: [Self; 3] = [Self::Filter, Self::Nat, Self::Route];

    /// The name that the kernel and nft have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Route => "route",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// What makes a chain a base chain, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Base {
    /// What it is for.
    pub kind: ChainKind,
    /// Where it is called.
    pub hook: Hook,
    /// Chains on one hook are called by rising priority.
    pub priority: i32,
    /// What becomes of a packet that no rule decides on: accepted or, if false, dropped.
    pub accept: bool,
}

impl Base {
    /// A base chain that accepts what no rule decides on.
    pub const fn accepting(kind: ChainKind, hook: Hook, priority: i32) -> Self {
        Self {
            kind,
            hook,
            priority,
            accept: true,
        }
    }

    /// The base chain that the kernel tells of; `None` for one outside of these kinds and hooks.
    pub fn of(base: BaseChain<'_>) -> Option<Self> {
        Some(Self {
            kind: ChainKind::from_name(base.kind)?,
            hook: base.hook?,
            priority: base.priority,
            accept: base.accept,
        })
    }

    /// What [`Transaction::new_base_chain`] takes.
    pub const fn to_chain(self) -> BaseChain<'static> {
        BaseChain {
            kind: self.kind.name(),
            hook: Some(self.hook),
            priority: self.priority,
            accept: self.accept,
        }
    }
}

impl<T> Transaction<T> {
    /// Creates a table if it does not exist, with flags and a comment.
    ///
    /// If it exists its flags become these; a table with an owner can only be changed by it (EPERM),
    /// and taken by anybody when it has none any more. Its comment stays what it was.
    pub fn new_table_with(&mut self, table: TableId<'_>, flags: TableFlags, comment: Option<&str>) {
        self.change(op::NEW_TABLE, CREATE, table.family, |attrs| {
            attrs.str(attr::NAME, table.name);
            attrs.u32_be(attr::FLAGS, flags.0);
            put_comment(attrs, attr::USERDATA, userdata::TABLE_COMMENT, comment);
        });
    }

    /// Creates a chain if it does not exist, with a comment; a base chain where `base` says so.
    pub fn new_chain_with(&mut self, name: ChainId<'_>, base: Option<Base>, comment: Option<&str>) {
        self.change(op::NEW_CHAIN, CREATE, name.family, |attrs| {
            attrs.str(chain::TABLE, name.table);
            attrs.str(chain::NAME, name.name);
            if let Some(base) = base {
                base.to_chain().put(attrs);
            }
            put_comment(attrs, chain::USERDATA, userdata::CHAIN_COMMENT, comment);
        });
    }
}

fn put_comment(attrs: &mut AttrWriter<'_>, kind: u16, part: u8, comment: Option<&str>) {
    if let Some(comment) = comment {
        attrs.bytes(kind, &userdata::comment(part, comment));
    }
}
