//! Rules.

use netlink_batch::message::flags::{APPEND, CREATE, ECHO, REPLACE};
use netlink_batch::{AttrWriter, Attrs, Error, Message, Socket};

use super::batch::Transaction;
use super::chain::ChainId;
use super::uapi::{op, rule as attr};
use super::{by_kind, pick, require};
use crate::nfgenmsg;

/// Where in its chain a new rule goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Position {
    /// Before all others.
    Head,
    /// After all others.
    End,
    /// Before the rule with this handle.
    Before(u64),
    /// After the rule with this handle.
    After(u64),
    /// In place of the rule with this handle, which the new rule takes over.
    Replace(u64),
}

/// A rule as the kernel reports it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RawRule<'a> {
    /// The name of its table.
    pub table: &'a str,
    /// The name of its chain.
    pub chain: &'a str,
    /// The kernel's number for it, unique in its table.
    pub handle: u64,
    /// Handle of the rule before it; `None` for the first one of its chain.
    pub previous: Option<u64>,
    /// All its attributes (`NFTA_RULE_*`), as [`crate::xtables::Rule::decode`] takes them.
    pub attrs: Attrs<'a>,
    /// Its expressions (`NFTA_RULE_EXPRESSIONS`).
    pub expressions: Attrs<'a>,
    /// What its writer keeps with it (`NFTA_RULE_USERDATA`).
    pub userdata: Option<&'a [u8]>,
}

impl<'a> RawRule<'a> {
    /// Reads a `NFT_MSG_NEWRULE` message.
    pub fn read(message: &Message<'a>) -> Result<Self, Error> {
        let (_, attrs) = message.split::<4>()?;
        let found = by_kind::<7>(attrs.clone())?;
        let previous = pick(&found, attr::POSITION)
            .map(|attr| attr.u64_be())
            .transpose()?;
        Ok(Self {
            table: require(pick(&found, attr::TABLE), "rule", "table")?.str()?,
            chain: require(pick(&found, attr::CHAIN), "rule", "chain")?.str()?,
            handle: require(pick(&found, attr::HANDLE), "rule", "handle")?.u64_be()?,
            previous,
            attrs,
            expressions: pick(&found, attr::EXPRESSIONS)
                .map_or_else(|| Attrs::new(&[]), |attr| attr.nested()),
            userdata: pick(&found, attr::USERDATA).map(|attr| attr.payload),
        })
    }
}

/// Hands each rule of the chain to `each`, in order. A chain that does not exist has no rules.
///
/// Chains are asked for one at a time because the kernel's answer for a whole table takes time
/// that grows with the square of its rules.
pub fn rules(
    socket: &mut Socket,
    chain: ChainId<'_>,
    mut each: impl FnMut(RawRule<'_>),
) -> Result<(), Error> {
    let place = |attrs: &mut AttrWriter<'_>| {
        attrs.str(attr::TABLE, chain.table);
        attrs.str(attr::CHAIN, chain.name);
    };
    socket.dump(
        op::GET_RULE,
        &nfgenmsg(chain.family.number()),
        place,
        |message| {
            each(RawRule::read(&message)?);
            Ok(())
        },
    )
}

impl<T> Transaction<T> {
    /// Adds a rule; `fill` writes its expressions and whatever else belongs to it
    /// ([`crate::xtables::Rule::encode`]).
    ///
    /// With `echo` the commit tells the rule's handle. Handles count up by one per chain and rule
    /// of a table in the order of the transaction, so that one echo tells those of all others.
    pub fn new_rule(
        &mut self,
        chain: ChainId<'_>,
        position: Position,
        echo: bool,
        fill: impl FnOnce(&mut AttrWriter<'_>),
    ) {
        let flags = match position {
            Position::Head | Position::Before(_) => CREATE,
            Position::End | Position::After(_) => CREATE | APPEND,
            Position::Replace(_) => CREATE | REPLACE,
        };
        let flags = if echo { flags | ECHO } else { flags };
        self.asked += u32::from(echo);
        self.change(op::NEW_RULE, flags, chain.family, |attrs| {
            attrs.str(attr::TABLE, chain.table);
            attrs.str(attr::CHAIN, chain.name);
            match position {
                Position::Before(handle) | Position::After(handle) => {
                    attrs.u64_be(attr::POSITION, handle);
                }
                Position::Replace(handle) => attrs.u64_be(attr::HANDLE, handle),
                Position::Head | Position::End => {}
            }
            fill(attrs);
        });
    }

    /// Deletes all rules of the chain.
    pub fn flush_chain(&mut self, chain: ChainId<'_>) {
        self.change(op::DEL_RULE, 0, chain.family, |attrs| {
            attrs.str(attr::TABLE, chain.table);
            attrs.str(attr::CHAIN, chain.name);
        });
    }

    /// Deletes one rule.
    pub fn delete_rule(&mut self, chain: ChainId<'_>, handle: u64) {
        self.change(op::DEL_RULE, 0, chain.family, |attrs| {
            attrs.str(attr::TABLE, chain.table);
            attrs.str(attr::CHAIN, chain.name);
            attrs.u64_be(attr::HANDLE, handle);
        });
    }
}
