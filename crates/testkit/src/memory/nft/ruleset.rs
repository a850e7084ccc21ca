//! What `nf_tables` holds. Copies share what they have in common, so that one is taken before each
//! transaction, to go back to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::set::Set;
use crate::memory::ipset::References;

/// All tables of a network namespace at one time.
#[derive(Debug, Clone)]
pub struct Ruleset {
    pub(super) generation: u32,
    /// By handle, which is the order in which they were made.
    pub(super) tables: BTreeMap<u64, Arc<Table>>,
}

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    pub(super) family: u8,
    pub(super) name: Arc<str>,
    pub(super) handle: u64,
    pub(super) uses: u32,
    /// It goes with the transaction that is being handled.
    pub(super) dead: bool,
    /// By handle, which is the order in which they were made.
    pub(super) chains: BTreeMap<u64, Arc<Chain>>,
    /// Handles of the chains that stay.
    pub(super) names: BTreeMap<Arc<str>, u64>,
    /// By handle, which is the order in which they were made.
    pub(super) sets: BTreeMap<u64, Arc<Set>>,
    /// Handles of the sets that stay.
    pub(super) set_names: BTreeMap<Arc<str>, u64>,
}

/// A chain.
#[derive(Debug, Clone)]
pub struct Chain {
    pub(super) name: Arc<str>,
    pub(super) handle: u64,
    pub(super) base: Option<Base>,
    /// Rules in it and jumps to it.
    pub(super) uses: u32,
    /// It goes with the transaction that is being handled.
    pub(super) dead: bool,
    pub(super) slots: Vec<Slot>,
}

/// What makes a chain a base chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// `filter`, `nat` or `route`.
    pub kind: Arc<str>,
    /// `NF_INET_*`.
    pub hook: u32,
    /// Chains on one hook are called by rising priority.
    pub priority: i32,
    /// True where packets that no rule decides on are accepted.
    pub accept: bool,
}

/// A rule's place in a chain.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) rule: Arc<Rule>,
    /// It goes with the transaction that is being handled.
    pub(super) dead: bool,
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    pub(super) handle: u64,
    /// The list in `NFTA_RULE_EXPRESSIONS`, as the kernel tells it.
    pub(super) expressions: Vec<u8>,
    pub(super) userdata: Option<Vec<u8>>,
    /// Handles of the chains that it leads to.
    pub(super) jumps: Vec<u64>,
    /// Handles of the sets that it looks into or changes, one for each expression that does.
    pub(super) lookups: Vec<u64>,
    /// Numbers of the IP sets that it matches on.
    pub(super) sets: Vec<u16>,
}

impl Default for Ruleset {
    fn default() -> Self {
        Self {
            generation: 1,
            tables: BTreeMap::new(),
        }
    }
}

impl Ruleset {
    /// The number that every commit raises by one.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// All tables, in the order in which they were made.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        let tables = self.tables.values().map(AsRef::as_ref);
        tables.filter(|table: &&Table| !table.dead)
    }

    /// The table of this family (`NFPROTO_*`) and name.
    pub fn table(&self, family: u8, name: &str) -> Option<&Table> {
        self.tables()
            .find(|table| table.family == family && &*table.name == name)
    }

    /// How many times rules match on each IP set.
    pub(in crate::memory) fn references(&self) -> References {
        let mut references = References::new();
        let chains = self.tables().flat_map(Table::chains);
        for set in chains.flat_map(Chain::rules).flat_map(|rule| &rule.sets) {
            *references.entry(*set).or_default() += 1;
        }
        references
    }

    pub(super) fn table_mut(&mut self, handle: u64) -> Option<&mut Table> {
        self.tables.get_mut(&handle).map(Arc::make_mut)
    }

    pub(super) fn chain_mut(&mut self, table: u64, chain: u64) -> Option<&mut Chain> {
        let table = self.table_mut(table)?;
        table.chains.get_mut(&chain).map(Arc::make_mut)
    }

    pub(super) fn set_mut(&mut self, table: u64, set: u64) -> Option<&mut Set> {
        let table = self.table_mut(table)?;
        table.sets.get_mut(&set).map(Arc::make_mut)
    }
}

impl Table {
    /// `NFPROTO_*`.
    pub fn family(&self) -> u8 {
        self.family
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All chains, in the order in which they were made.
    pub fn chains(&self) -> impl Iterator<Item = &Chain> {
        let chains = self.chains.values().map(AsRef::as_ref);
        chains.filter(|chain: &&Chain| !chain.dead)
    }

    /// The names of the chains that a chain's rules lead to, in the rules' order.
    pub fn led_to<'t>(&'t self, chain: &'t Chain) -> impl Iterator<Item = &'t str> {
        let jumps = chain.rules().flat_map(|rule| &rule.jumps);
        jumps.filter_map(|handle| Some(self.chains.get(handle)?.name()))
    }

    /// All sets and maps, in the order in which they were made.
    pub fn sets(&self) -> impl Iterator<Item = &Set> {
        let sets = self.sets.values().map(AsRef::as_ref);
        sets.filter(|set: &&Set| !set.dead)
    }

    /// The set or map of this name.
    pub fn set(&self, name: &str) -> Option<&Set> {
        let handle = self.set_names.get(name)?;
        self.sets.get(handle).map(AsRef::as_ref)
    }

    /// The chain of this name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        let handle = self.names.get(name)?;
        self.chains.get(handle).map(AsRef::as_ref)
    }
}

impl Chain {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `None` for a chain that is only jumped to.
    pub fn base(&self) -> Option<&Base> {
        self.base.as_ref()
    }

    /// Its rules, in order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        let slots = self.slots.iter().filter(|slot| !slot.dead);
        slots.map(|slot| &*slot.rule)
    }
}

impl Rule {
    /// The kernel's number for it, unique in its table.
    pub fn handle(&self) -> u64 {
        self.handle
    }
}
