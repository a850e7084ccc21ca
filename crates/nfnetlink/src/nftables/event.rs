//! Notifications of what anybody changed.

use netlink_batch::{Error, Message};

use super::generation::Generation;
use super::uapi::{chain, element, op, rule, set, table};
use super::{by_kind, pick, require};
use crate::Family;

/// `NFNLGRP_NFTABLES`: the group to join with [`netlink_batch::Socket::join`].
pub const GROUP: u32 = 7;

/// Whether an object came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It was created or changed.
    New,
    /// It was deleted.
    Deleted,
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Object<'a> {
    /// A table.
    Table {
        /// Its name.
        table: &'a str,
    },
    /// A chain.
    Chain {
        /// The name of its table.
        table: &'a str,
        /// Its name.
        chain: &'a str,
    },
    /// A rule.
    Rule {
        /// The name of its table.
        table: &'a str,
        /// The name of its chain.
        chain: &'a str,
        /// The kernel's number for it.
        handle: u64,
    },
    /// A set or map, without its elements.
    Set {
        /// The name of its table.
        table: &'a str,
        /// Its name.
        set: &'a str,
    },
    /// Elements of a set or map.
    Elements {
        /// The name of its table.
        table: &'a str,
        /// The name of the set.
        set: &'a str,
    },
    /// Objects, flow tables and traces: their message type.
    Other(u16),
    /// A commit is complete: the last notification of each.
    Generation(Generation<'a>),
}

/// One notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Port of the socket that committed. It equals [`netlink_batch::Socket::port`] for our own
    /// commits; thread ids and names tell less, as they change and repeat.
    pub port: u32,
    /// The family of the table; `None` for generations and for tables of families other than IP.
    pub family: Option<Family>,
    /// Whether the object came or went.
    pub change: Change,
    /// What was changed.
    pub object: Object<'a>,
}

impl<'a> Event<'a> {
    /// Reads a message received from [`GROUP`]; `None` for a message of another subsystem.
    pub fn read(message: &Message<'a>) -> Result<Option<Self>, Error> {
        if message.kind >> 8 != op::NEW_TABLE >> 8 {
            return Ok(None);
        }
        let (header, attrs) = message.split::<4>()?;
        let (change, object) = match message.kind {
            op::NEW_TABLE | op::DEL_TABLE => {
                let found = by_kind::<4>(attrs)?;
                let table = require(pick(&found, table::NAME), "table", "name")?.str()?;
                (message.kind == op::NEW_TABLE, Object::Table { table })
            }
            op::NEW_CHAIN | op::DEL_CHAIN => {
                let found = by_kind::<7>(attrs)?;
                let table = require(pick(&found, chain::TABLE), "chain", "table")?.str()?;
                let chain = require(pick(&found, chain::NAME), "chain", "name")?.str()?;
                (
                    message.kind == op::NEW_CHAIN,
                    Object::Chain { table, chain },
                )
            }
            op::NEW_RULE | op::DEL_RULE => {
                let found = by_kind::<7>(attrs)?;
                let table = require(pick(&found, rule::TABLE), "rule", "table")?.str()?;
                let chain = require(pick(&found, rule::CHAIN), "rule", "chain")?.str()?;
                let handle = require(pick(&found, rule::HANDLE), "rule", "handle")?.u64_be()?;
                (
                    message.kind == op::NEW_RULE,
                    Object::Rule {
                        table,
                        chain,
                        handle,
                    },
                )
            }
            op::NEW_SET | op::DEL_SET => {
                let found = by_kind::<2>(attrs)?;
                let table = require(pick(&found, set::TABLE), "set", "table")?.str()?;
                let set = require(pick(&found, set::NAME), "set", "name")?.str()?;
                (message.kind == op::NEW_SET, Object::Set { table, set })
            }
            op::NEW_ELEMENT | op::DEL_ELEMENT => {
                let found = by_kind::<2>(attrs)?;
                let table = require(pick(&found, element::TABLE), "element", "table")?.str()?;
                let set = require(pick(&found, element::SET), "element", "set")?.str()?;
                let change = message.kind == op::NEW_ELEMENT;
                (change, Object::Elements { table, set })
            }
            op::NEW_GEN => (true, Object::Generation(Generation::read(message)?)),
            other => (true, Object::Other(other)),
        };
        Ok(Some(Self {
            port: message.port,
            family: Family::from_number(header[0]),
            change: if change { Change::New } else { Change::Deleted },
            object,
        }))
    }
}

/// The table that a message is about, whatever object of it; `None` for generations and for messages
/// of other subsystems.
///
/// So notifications of what is [`Object::Other`] tell whose they are.
pub fn table_of<'a>(message: &Message<'a>) -> Option<&'a str> {
    if message.kind >> 8 != op::NEW_TABLE >> 8 || matches!(message.kind, op::NEW_GEN | op::GET_GEN)
    {
        return None;
    }
    let (_, mut attrs) = message.split::<4>().ok()?;
    // It is attribute 1 of every object.
    attrs
        .find_map(|attr| attr.ok().filter(|attr| attr.kind == table::NAME))?
        .str()
        .ok()
}
