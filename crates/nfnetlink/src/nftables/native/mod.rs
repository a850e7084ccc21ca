//! Native `nf_tables` objects as data: sets, maps, their elements, and rules without registers.
//!
//! A [`Rule`] is a list of [`Statement`]s as nft prints them. It is encoded with the registers that
//! nft chooses, and what the kernel tells is read as statements only if they make the very same
//! expressions again. Everything else stays as it came, so that no rule of another program is taken
//! for one of ours.
//!
//! A [`Set`] has what nft keeps with it for itself (`typeof`, comments), byte for byte, so that nft
//! prints keys by their types. [`Transaction::add_elements`](super::Transaction::add_elements) writes
//! any number of [`Element`]s in as few messages as hold them, and allocates nothing for each.
//! Changing an element takes some 10 µs in a set of any size, because nothing else is looked at.
//!
//! A [`Listing`] is a whole table: read from the kernel, read from and printed as the text of
//! `nft list table`, written into a transaction.
//!
//! All of them are plain data that compares, sorts and hashes; none holds a socket or a message.
//!
//! ```no_run
//! use nfnetlink::Family::Ipv4;
//! use nfnetlink::netlink_batch::{Socket, socket};
//! use nfnetlink::nftables::native::{DataType, Element, Listing, Rule, Set, TableId};
//! use nfnetlink::nftables::{Position, Transaction};
//!
//! let mut socket = Socket::open(socket::NETFILTER)?;
//! let table = TableId { family: Ipv4, name: "office" };
//! let set = Set::of_types("printers", [DataType::Ipv4Addr]);
//! let printer = Element::new("192.0.2.7".parse::<std::net::Ipv4Addr>()?);
//! let rule = Rule::parse(Ipv4, "ip daddr @printers tcp dport 631 accept")?;
//!
//! let mut transaction = Transaction::<()>::new();
//! transaction.new_table(Ipv4, "office");
//! transaction.new_set(table, &set);
//! transaction.add_elements(table, &set, [&printer]);
//! transaction.new_chain(table.chain("print"));
//! transaction.new_rule(table.chain("print"), Position::End, false, |attrs| {
//!     rule.encode(Ipv4, attrs);
//! });
//! transaction.commit(&mut socket)?;
//!
//! // As nft prints it.
//! if let Some(listing) = Listing::read(&mut socket, table)? {
//!     assert_eq!(listing.chains[0].rules, [rule]);
//!     print!("{listing}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What nft can't print
//!
//! The kernel takes more than nft has words for, and every nft ends with a failed assertion on some
//! of it: a key that has the result of another lookup in it, a value of a map that came from one.
//! Do not write those; whoever lists the rules of the machine would see nothing at all. Names of
//! chains and sets that are words of nft's language (`masquerade`, `size`, `counter`) can't be read
//! back by nft either; a hyphen in them helps. `jhash` in the `typeof` of a set ends nft 1.0.6.

mod datatype;
mod element;
mod elements;
mod expression;
mod listing;
mod names;
mod parse;
mod print;
mod register;
mod rule;
mod set;
mod table;
mod term;
mod userdata;
mod value;

pub use datatype::DataType;
pub use element::{Element, ElementData, ListedElement};
pub use elements::{elements, elements_of, find_elements};
pub use expression::{
    Counters, DynsetExpression, DynsetOperation, Expression, Limit, Log, NatExpression, NatFlags,
    NatKind, PortExpression, Relation, Verdict,
};
pub use listing::{ChainListing, Listing, SetListing};
pub use parse::ParseError;
pub use register::Register;
pub use rule::{NatTo, Operand, Ports, Reject, Rule, Statement};
pub use set::{ListedSet, MapType, Set, SetFlags, SetType, find_set, sets};
pub use table::{Base, ChainKind, TableFlags, TableId};
pub use term::{CtKey, Hash, MetaKey, Numgen, Term, Transport};
pub use value::Value;

#[cfg(test)]
mod tests;
