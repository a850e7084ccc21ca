//! Other programs.

use std::net::IpAddr;

use netlink_batch::memory::Entered;
use netlink_batch::socket::{NETFILTER, ROUTE};
use netlink_batch::{Batch, Error, Socket};
use nfnetlink::nftables::{ChainId, CommitError, Position, Transaction};
use nfnetlink::xtables::Rule;

use super::{Identity, MemoryKernel, route};

/// A program beside the agent, which the kernel tells by name and process.
#[derive(Debug, Clone)]
pub struct Program {
    kernel: MemoryKernel,
    identity: Identity,
}

impl Program {
    pub(super) fn new(kernel: MemoryKernel, name: &str, pid: u32) -> Self {
        let identity = Identity {
            name: name.into(),
            pid,
            ours: false,
        };
        Self { kernel, identity }
    }

    /// Makes the calling thread's sockets this program's.
    pub fn enter(&self) -> Entered {
        self.kernel.enter_as(self.identity.clone())
    }

    /// Commits a transaction to whatever is there.
    pub fn commit(&self, fill: impl FnOnce(&mut Transaction<()>)) -> Result<(), CommitError<()>> {
        let _entered = self.enter();
        let mut socket = Socket::open(NETFILTER)?;
        let mut transaction = Transaction::new();
        transaction.begin(None);
        fill(&mut transaction);
        transaction.commit(&mut socket).map(|_| ())
    }

    /// Takes all rules out of a chain.
    pub fn flush(&self, chain: ChainId<'_>) -> Result<(), CommitError<()>> {
        self.commit(|transaction| transaction.flush_chain(chain))
    }

    /// Deletes a chain with its rules; EBUSY while something leads to it.
    pub fn delete(&self, chain: ChainId<'_>) -> Result<(), CommitError<()>> {
        self.commit(|transaction| transaction.delete_chain(chain))
    }

    /// Adds a rule to a chain that is there.
    pub fn add(
        &self,
        chain: ChainId<'_>,
        position: Position,
        rule: &Rule,
    ) -> Result<(), CommitError<()>> {
        self.commit(|transaction| {
            transaction.new_rule(chain, position, false, |attrs| rule.encode(attrs));
        })
    }

    /// Deletes the rule at this place of a chain, counted from 0. False where there is none.
    pub fn delete_rule_at(
        &self,
        chain: ChainId<'_>,
        place: usize,
    ) -> Result<bool, CommitError<()>> {
        let ruleset = self.kernel.ruleset();
        let table = ruleset.table(chain.family.number(), chain.table);
        let rules = table.and_then(|table| table.chain(chain.name));
        let Some(rule) = rules.and_then(|chain| chain.rules().nth(place)) else {
            return Ok(false);
        };
        let handle = rule.handle();
        self.commit(|transaction| transaction.delete_rule(chain, handle))?;
        Ok(true)
    }

    /// Makes the chain, with its table, if it is not there, and a rule in it that does nothing.
    pub fn append_to(&self, chain: ChainId<'_>) -> Result<(), CommitError<()>> {
        self.commit(|transaction| {
            transaction.new_table(chain.family, chain.table);
            transaction.ensure_chain(chain);
            transaction.new_rule(chain, Position::End, false, |attrs| {
                Rule::new(chain.family).encode(attrs);
            });
        })
    }

    /// Makes the chain, with its table, if it is not there, and leaves one rule in it, a new one,
    /// that does nothing.
    pub fn renew(&self, chain: ChainId<'_>) -> Result<(), CommitError<()>> {
        self.commit(|transaction| {
            transaction.new_table(chain.family, chain.table);
            transaction.ensure_chain(chain);
            transaction.flush_chain(chain);
            transaction.new_rule(chain, Position::End, false, |attrs| {
                Rule::new(chain.family).encode(attrs);
            });
        })
    }

    /// Takes an address from the link of this name. False where it is not there.
    pub fn delete_address(&self, link: &str, address: IpAddr) -> Result<bool, Error> {
        let Some(index) = self.kernel.state().links.index_of(link) else {
            return Ok(false);
        };
        self.tell_links(|batch| route::delete_address(batch, index, address))
    }

    /// Deletes the link of this name with its addresses. False where there is none.
    pub fn delete_link(&self, link: &str) -> Result<bool, Error> {
        let Some(index) = self.kernel.state().links.index_of(link) else {
            return Ok(false);
        };
        self.tell_links(|batch| route::delete_link(batch, index))
    }

    /// False where the kernel refuses.
    fn tell_links(&self, fill: impl FnOnce(&mut Batch<()>)) -> Result<bool, Error> {
        let _entered = self.enter();
        let mut socket = Socket::open(ROUTE)?;
        let mut batch = Batch::new();
        fill(&mut batch);
        let answers = socket.send(&batch, |_, _| {})?;
        Ok(answers.refusals.is_empty())
    }
}
