//! `nf_tables`: atomic transactions, reading, and notifications (`linux/netfilter/nf_tables.h`).
//!
//! A [`Transaction`] holds any number of changes to tables of both families and is applied as a
//! whole or not at all. It can be pinned to the generation that the state was read at, so that it
//! is refused if anybody else has changed anything since.
//!
//! Reading functions hand out borrowed objects and allocate nothing per object. They return
//! [`netlink_batch::Error::Interrupted`] where a commit came in between: read again.

mod batch;
mod chain;
mod commit;
mod event;
mod generation;
mod hint;
mod rule;
mod subject;
mod table;
mod uapi;

pub use batch::{Mark, Transaction};
pub use chain::{BaseChain, Chain, ChainId, Hook, chains, find_chain};
pub use commit::{CommitError, Committed, Echo, Refusal, wait_for_commit};
pub use event::{Change, Event, GROUP, Object};
pub use generation::{Generation, generation};
pub use hint::hint;
pub use rule::{Position, RawRule, rules};
pub use subject::{Expression, Operation, Subject};
pub use table::{Table, has_family, tables};

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
