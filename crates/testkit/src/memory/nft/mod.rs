//! `nf_tables` in memory (`net/netfilter/nf_tables_api.c`): tables, chains, rules, sets and elements.
//!
//! Not modelled: objects, flow tables, table owners, loops of jumps, sets without a name, elements
//! with a timeout, maps of verdicts, and which expressions and extensions there are: all are taken,
//! and come back as the kernel tells them. Elements are told by their keys, where the kernel tells
//! them by hashes that begin with something random.

mod batch;
mod chain;
mod commit;
mod dump;
mod element;
mod expressions;
mod request;
mod rule;
mod ruleset;
mod set;
mod table;
mod uapi;
mod write;

pub use ruleset::{Base, Chain, Rule, Ruleset, Table};
pub use set::{Element, Set};

pub(super) use batch::is_batch;
pub(super) use dump::Dump;

use std::collections::{BTreeMap, BTreeSet};

use super::fields::Request;

/// The rules, and numbers that are never given twice.
#[derive(Debug, Default)]
pub(super) struct NfTables {
    ruleset: Ruleset,
    last_table: u64,
    /// The last handle in each table; a transaction that is refused does not take handles back.
    last_handles: BTreeMap<u64, u64>,
    /// Lists of elements may be wrong while a table of hashes grows.
    pub(super) shows_growth: bool,
    /// Table and set of those to which many elements came and that were not listed since.
    growing: BTreeSet<(u64, u64)>,
}

impl NfTables {
    pub(super) fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// The next handle in a table, for chains and rules alike.
    fn next_handle(&mut self, table: u64) -> u64 {
        let last = self.last_handles.entry(table).or_insert(0);
        *last += 1;
        *last
    }
}

/// True for a message to `nf_tables`.
pub(super) fn is_ours(request: &Request<'_>) -> bool {
    request.kind >> 8 == uapi::SUBSYSTEM >> 8
}
