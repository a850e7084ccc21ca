//! `nf_tables`: atomic transactions, reading, and notifications (`linux/netfilter/nf_tables.h`).
//!
//! A [`Transaction`] holds any number of changes to tables of both families and is applied as a
//! whole or not at all. It can be pinned to the generation that the state was read at, so that it
//! is refused if anybody else has changed anything since.
//!
//! Reading functions hand out borrowed objects and allocate nothing per object. They return
//! [`netlink_batch::Error::Interrupted`] where a commit came in between: read again.
//!
//! ```no_run
//! use nfnetlink::Family::Ipv4;
//! use nfnetlink::netlink_batch::{Socket, socket};
//! use nfnetlink::nftables::{ChainId, CommitError, Position, Transaction, generation, rules};
//! use nfnetlink::xtables::Rule;
//!
//! let mut socket = Socket::open(socket::NETFILTER)?;
//! let chain = ChainId { family: Ipv4, table: "filter", name: "OFFICE" };
//!
//! // Applied only if nobody commits anything in between.
//! let mut transaction = Transaction::new();
//! transaction.begin(Some(generation(&mut socket)?));
//! transaction.new_table(Ipv4, "filter");
//! transaction.ensure_chain(chain);
//! transaction.flush_chain(chain);
//! for text in ["-s 192.0.2.0/24 -j RETURN", "-j NOWHERE"] {
//!     let rule = Rule::parse(Ipv4, text)?;
//!     transaction.tag(text);
//!     transaction.new_rule(chain, Position::End, false, |attrs| rule.encode(attrs));
//! }
//! match transaction.commit(&mut socket) {
//!     Ok(committed) => println!("generation {:?}", committed.generation),
//!     // The kernel has no chain NOWHERE, so nothing of it was applied.
//!     Err(CommitError::Refused { refusals, .. }) => {
//!         assert_eq!(refusals[0].tag, Some("-j NOWHERE"));
//!         println!("{}", refusals[0]);
//!     }
//!     Err(error) => return Err(error.into()),
//! }
//!
//! rules(&mut socket, chain, |raw| match Rule::decode(Ipv4, raw.attrs) {
//!     Ok(rule) => println!("{}: {rule}", raw.handle),
//!     Err(error) => println!("{}: {error}", raw.handle),
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod chain;
mod commit;
mod event;
mod generation;
mod hint;
pub mod native;
mod rule;
mod subject;
mod table;
mod uapi;

pub use batch::{Mark, Transaction};
pub use chain::{BaseChain, Chain, ChainId, Hook, chains, find_chain};
pub use commit::{CommitError, Committed, Echo, Refusal, wait_for_commit};
pub use event::{Change, Event, GROUP, Object, table_of};
pub use generation::{Generation, generation};
pub use hint::hint;
pub use rule::{Position, RawRule, rules};
pub use subject::{Expression, Operation, Subject};
pub use table::{Table, find_table, has_family, tables};

use netlink_batch::{Attr, Error};

/// Returns the attribute or says that the kernel left it out.
fn require<T>(value: Option<T>, object: &'static str, attribute: &'static str) -> Result<T, Error> {
    value.ok_or(Error::Missing { object, attribute })
}

/// Attributes of a list by type, at index type - 1; the last one counts.
fn by_kind<const N: usize>(
    attrs: netlink_batch::Attrs<'_>,
) -> Result<[Option<Attr<'_>>; N], Error> {
    let mut found = [None; N];
    for attr in attrs {
        let attr = attr?;
        if let Some(slot) = usize::from(attr.kind)
            .checked_sub(1)
            .and_then(|at| found.get_mut(at))
        {
            *slot = Some(attr);
        }
    }
    Ok(found)
}

/// The attribute of this type.
fn pick<'a, const N: usize>(found: &[Option<Attr<'a>>; N], kind: u16) -> Option<Attr<'a>> {
    found
        .get(usize::from(kind).checked_sub(1)?)
        .copied()
        .flatten()
}

#[cfg(test)]
mod tests;
