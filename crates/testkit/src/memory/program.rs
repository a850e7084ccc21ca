//! Other programs.

use netlink_batch::Socket;
use netlink_batch::memory::Entered;
use netlink_batch::socket::NETFILTER;
use nfnetlink::nftables::{ChainId, CommitError, Position, Transaction};
use nfnetlink::xtables::Rule;

use super::{Identity, MemoryKernel};

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
}
