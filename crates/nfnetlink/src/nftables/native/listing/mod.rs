//! Whole tables: as data, from the kernel, and to it.

mod print;

pub(super) use self::print::{PRIORITIES, SET_FLAGS, TABLE_FLAGS};

use netlink_batch::{Error, Socket};

use super::set::Layout;
use super::{Base, ListedElement, Rule, Set, TableFlags, TableId, elements, sets, userdata};
use crate::nftables::uapi::{chain as chain_attr, op, table as attr};
use crate::nftables::{Chain, Position, Table, Transaction, by_kind, pick, rules};
use crate::{Family, nfgenmsg};

/// A table with all that is in it, but for named objects and flow tables, which this crate has no
/// types for.
///
/// It is read from the kernel by [`Listing::read`] and from text by [`Listing::parse`], and its
/// `Display` is what `nft list table` prints (nft 1.0.6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listing {
    /// The table's family.
    pub family: Family,
    /// Its name.
    pub name: Box<str>,
    /// What becomes of it.
    pub flags: TableFlags,
    /// What nft prints behind `comment`; at most 128 bytes.
    pub comment: Option<Box<str>>,
    /// Its sets and maps with their elements, in the order in which they were made.
    pub sets: Vec<SetListing>,
    /// Its chains with their rules, in the order in which they were made.
    pub chains: Vec<ChainListing>,
}

/// A set with its elements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetListing {
    /// The set.
    pub set: Set,
    /// Its elements, in the order in which they are printed.
    pub elements: Vec<ListedElement>,
}

/// A chain with its rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainListing {
    /// Its name.
    pub name: Box<str>,
    /// What makes it a base chain; `None` for one that is only jumped to.
    pub base: Option<Base>,
    /// What nft prints behind `comment`; at most 128 bytes.
    pub comment: Option<Box<str>>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

impl Listing {
    /// A table without anything.
    pub fn new(family: Family, name: impl Into<Box<str>>) -> Self {
        Self {
            family,
            name: name.into(),
            flags: TableFlags::default(),
            comment: None,
            sets: Vec::new(),
            chains: Vec::new(),
        }
    }

    /// Names it.
    pub const fn id(&self) -> TableId<'_> {
        TableId {
            family: self.family,
            name: &self.name,
        }
    }

    /// Reads a table; `None` where it does not exist.
    ///
    /// A base chain of a kind or hook that has no type here is listed without its base.
    /// [`Error::Interrupted`] says that somebody changed it meanwhile: read again
    /// ([`netlink_batch::retry_stale`]). Between the lists of which it is made changes are not
    /// noticed; the generation tells of them.
    pub fn read(socket: &mut Socket, table: TableId<'_>) -> Result<Option<Self>, Error> {
        let header = nfgenmsg(table.family.number());
        let mut found = None;
        socket.dump(
            op::GET_TABLE,
            &header,
            |_| {},
            |message| {
                let one = Table::read(&message)?;
                if one.name == table.name {
                    let (_, attrs) = message.split::<4>()?;
                    let userdata = pick(&by_kind::<6>(attrs)?, attr::USERDATA);
                    let mut listing = Self::new(table.family, table.name);
                    listing.flags = TableFlags::of_bits(one.flags);
                    listing.comment = userdata.and_then(|attr| {
                        userdata::find_comment(attr.payload, userdata::TABLE_COMMENT)
                    });
                    found = Some(listing);
                }
                Ok(())
            },
        )?;
        let Some(mut listing) = found else {
            return Ok(None);
        };
        sets(socket, table, |listed| {
            listing.sets.push(SetListing {
                set: listed.set,
                elements: Vec::new(),
            });
        })?;
        for SetListing { set, elements: all } in &mut listing.sets {
            elements(socket, table, set, |listed| all.push(listed))?;
        }
        listing.sort();
        listing.read_chains(socket)?;
        Ok(Some(listing))
    }

    fn read_chains(&mut self, socket: &mut Socket) -> Result<(), Error> {
        let header = nfgenmsg(self.family.number());
        let (name, chains) = (&self.name, &mut self.chains);
        socket.dump(
            op::GET_CHAIN,
            &header,
            |_| {},
            |message| {
                let chain = Chain::read(&message)?;
                if chain.table != &**name {
                    return Ok(());
                }
                let (_, attrs) = message.split::<4>()?;
                let userdata = pick(&by_kind::<12>(attrs)?, chain_attr::USERDATA);
                chains.push(ChainListing {
                    name: chain.name.into(),
                    base: chain.base.and_then(Base::of),
                    comment: userdata.and_then(|attr| {
                        userdata::find_comment(attr.payload, userdata::CHAIN_COMMENT)
                    }),
                    rules: Vec::new(),
                });
                Ok(())
            },
        )?;
        let table = TableId {
            family: self.family,
            name,
        };
        for ChainListing {
            name, rules: all, ..
        } in chains
        {
            let mut broken = None;
            rules(socket, table.chain(name), |raw| {
                match Rule::read(table.family, &raw) {
                    Ok(rule) => all.push(rule),
                    Err(error) => broken = Some(error),
                }
            })?;
            if let Some(error) = broken {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Puts elements into nft's order: by their keys as numbers, whose first byte weighs least where
    /// they have more than one field or are in host byte order. Ranges of several fields stay as
    /// they are, as nft has no order of them.
    pub fn sort(&mut self) {
        for SetListing { set, elements } in &mut self.sets {
            if set.layout() == Layout::Ranges {
                continue;
            }
            if set.is_big_endian(self.family) {
                elements.sort_by(|one, other| one.element.key.cmp(&other.element.key));
            } else {
                elements.sort_by(|one, other| {
                    let (one, other) = (&one.element.key, &other.element.key);
                    let (one, other) = (one.as_bytes().iter(), other.as_bytes().iter());
                    one.rev().cmp(other.rev())
                });
            }
        }
    }

    /// Appends all that makes the table: what is there already stays, but for rules, which are added
    /// at the end of their chains.
    pub fn write<T>(&self, transaction: &mut Transaction<T>) {
        let table = self.id();
        transaction.new_table_with(table, self.flags, self.comment.as_deref());
        for chain in &self.chains {
            let (id, comment) = (table.chain(&chain.name), chain.comment.as_deref());
            transaction.new_chain_with(id, chain.base, comment);
        }
        for listed in &self.sets {
            transaction.ensure_set(table, &listed.set);
            let elements = listed.elements.iter().map(|listed| &listed.element);
            transaction.add_elements(table, &listed.set, elements);
        }
        for chain in &self.chains {
            for rule in &chain.rules {
                transaction.new_rule(table.chain(&chain.name), Position::End, false, |attrs| {
                    rule.encode(self.family, attrs);
                });
            }
        }
    }
}
