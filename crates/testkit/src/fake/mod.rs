//! A kernel in memory, for tests of what decides when to write.
//!
//! [`Kernel`] is a [`Writer`](viprule_writer::Writer) with the rules of `nf_tables`: chains hold
//! rules in order, a transaction is applied as a whole or not at all, a rule can't lead to a chain
//! that isn't there (ENOENT), a chain that a rule leads to can't go (EBUSY) nor be made twice
//! (EEXIST). It can be told to fail in every way that a real one fails.

mod faults;
mod foreign;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

pub use faults::{Blame, Request};

use viprule_dataplane::netfilter::{Key, Object, Observation, Piece, Table};
use viprule_dataplane::ownership::{Chain, Layout};
use viprule_dataplane::{Scope, State};
use viprule_writer::{Tag, Written};

use faults::Faults;
use tables::{Operation, Tables};

/// A kernel without any chain of ours.
#[derive(Debug)]
pub struct Kernel {
    tables: Tables,
    faults: Faults,
    /// What others touched of ours and was not read since.
    touched: Scope<Piece>,
    by: Vec<String>,
    staged: Staged,
    /// Largest part, operations; `None` for transactions of any size.
    part_limit: Option<usize>,
    transactions: usize,
    /// Keys of what the transactions since the last [`Kernel::forget`] wrote and deleted.
    requested: Vec<Key>,
}

/// What a transaction holds so far.
#[derive(Debug, Default)]
struct Staged {
    operations: Vec<Operation>,
    /// Rules for built-in chains: they come behind all other writes.
    jumps: Vec<Operation>,
    /// Behind all writes, in this order.
    deletes: Vec<(Tag, Key)>,
    written: Written,
}

impl Kernel {
    /// Nothing there yet.
    pub fn new() -> Self {
        Self {
            tables: Tables::default(),
            faults: Faults::default(),
            touched: Scope::nothing(),
            by: Vec::new(),
            staged: Staged::default(),
            part_limit: None,
            transactions: 0,
            requested: Vec::new(),
        }
    }

    /// What is there of ours, read as a writer reads it.
    pub fn state(&self) -> State<Key, Object> {
        self.observed(&Scope::Everything)
    }

    /// The rules of a chain as `iptables-save` prints them behind `-A CHAIN `, in order; none where
    /// there is no such chain.
    pub fn rules(&self, table: Table, chain: &str) -> Vec<String> {
        let rules = self.tables.rules(table, chain);
        rules
            .map(|rule| rule.to_string().trim().to_owned())
            .collect()
    }

    /// True where the chain exists.
    pub fn has(&self, table: Table, chain: &str) -> bool {
        self.tables.has(table, chain)
    }

    /// Throws away what is staged.
    pub fn discard(&mut self) {
        self.staged = Staged::default();
    }

    /// Transactions that were applied.
    pub fn transactions(&self) -> usize {
        self.transactions
    }

    /// Keys of what was written and deleted since the last [`Self::forget`], in order.
    pub fn requested(&self) -> &[Key] {
        &self.requested
    }

    /// Forgets transactions and requests so far.
    pub fn forget(&mut self) {
        self.transactions = 0;
        self.requested.clear();
    }

    /// Sends transactions in parts of about this many operations.
    pub fn send_in_parts(&mut self, operations: usize) {
        self.part_limit = Some(operations);
    }

    fn observed<V: From<(Key, Object)>>(&self, scope: &Scope<Piece>) -> State<Key, V> {
        let mut observation = Observation::new(Layout::Iptables);
        for (table, name, rules) in self.tables.chains() {
            let rules = || rules.iter().map(|slot| slot.rule.clone());
            if let Some(base) = tables::base(name) {
                if scope.contains(&Piece::Base(table, base)) {
                    for rule in rules() {
                        let _foreign_ones_have_no_key = observation.base_rule(table, base, &rule);
                    }
                }
            } else if let Some(chain) = Chain::parse(name)
                && scope.contains(&Piece::Owned(table, chain))
            {
                observation.chain(table, chain, rules().collect());
            }
        }
        observation.finish()
    }
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}
