//! Chains and rules, and what the kernel takes.

use std::collections::BTreeMap;

use nfnetlink::xtables::{Rule, Target};
use viprule_dataplane::netfilter::{BaseChain, Jump, Key, Table, jumps};
use viprule_dataplane::ownership::Layout;
use viprule_writer::Tag;

/// A rule in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) handle: u64,
    pub(super) rule: Rule,
}

/// One step of a transaction.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) tag: Tag,
    pub(super) key: Key,
    pub(super) act: Act,
}

#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Makes a chain; where it may be there already, that's all right.
    NewChain { may_exist: bool },
    /// Removes a chain's rules.
    Flush,
    /// Adds a rule before all others.
    Head(Rule),
    /// Adds a rule behind all others.
    End(Rule),
    /// Adds a rule of ours to a built-in chain, in the order that ours have among each other.
    Jump(Rule),
    /// Deletes a rule.
    DeleteRule { handle: u64 },
    /// Deletes a chain and its rules.
    DeleteChain,
}

impl Operation {
    pub(super) fn rule(&self) -> Option<&Rule> {
        match &self.act {
            Act::Head(rule) | Act::End(rule) | Act::Jump(rule) => Some(rule),
            _ => None,
        }
    }

    pub(super) fn deletes(&self) -> bool {
        matches!(self.act, Act::DeleteRule { .. } | Act::DeleteChain)
    }
}

/// The built-in chain of this name.
pub(super) fn base(name: &str) -> Option<BaseChain> {
    BaseChain::parse(name)
}

/// All chains by table and name. Built-in ones are there when somebody wants them.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    chains: BTreeMap<(Table, String), Vec<Slot>>,
    last_handle: u64,
}

impl Tables {
    pub(super) fn chains(&self) -> impl Iterator<Item = (Table, &str, &[Slot])> {
        let chains = self.chains.iter();
        chains.map(|((table, name), rules)| (*table, name.as_str(), rules.as_slice()))
    }

    pub(super) fn has(&self, table: Table, chain: &str) -> bool {
        base(chain).is_some() || self.chains.contains_key(&(table, chain.to_owned()))
    }

    pub(super) fn rules(&self, table: Table, chain: &str) -> impl Iterator<Item = &Rule> {
        self.slots(table, chain).iter().map(|slot| &slot.rule)
    }

    pub(super) fn slots(&self, table: Table, chain: &str) -> &[Slot] {
        let slots = self.chains.get(&(table, chain.to_owned()));
        slots.map_or(&[], Vec::as_slice)
    }

    pub(super) fn remove_table(&mut self, table: Table) {
        self.chains.retain(|(other, _), _| *other != table);
    }

    /// Keeps some rules of a chain and adds one; the chain is made where it is missing.
    pub(super) fn edit(
        &mut self,
        table: Table,
        chain: &str,
        keep: impl Fn(&Rule) -> bool,
        add: Option<(usize, Rule)>,
    ) {
        self.last_handle += 1;
        let handle = self.last_handle;
        let slots = self.chains.entry((table, chain.to_owned())).or_default();
        slots.retain(|slot| keep(&slot.rule));
        if let Some((at, rule)) = add {
            slots.insert(at, Slot { handle, rule });
        }
    }

    /// One step. The error is the kernel's name for what is wrong.
    pub(super) fn apply(&mut self, operation: &Operation) -> Result<(), &'static str> {
        let (table, name) = (operation.key.table(), operation.key.chain_name());
        if let Some(Target::Jump(to) | Target::Goto(to)) = operation.rule().map(|it| &it.target)
            && !self.has(table, to)
        {
            return Err("ENOENT");
        }
        if operation.deletes() && matches!(operation.act, Act::DeleteChain) {
            return self.delete_chain(table, name);
        }
        let is_base = base(&name).is_some();
        self.last_handle += 1;
        let handle = self.last_handle;
        let chain = self.chains.entry((table, name));
        let exists = matches!(chain, std::collections::btree_map::Entry::Occupied(_)) || is_base;
        match (&operation.act, exists) {
            (Act::NewChain { may_exist: false }, true) => return Err("EEXIST"),
            (Act::NewChain { .. }, _) => drop(chain.or_default()),
            (_, false) => return Err("ENOENT"),
            (Act::Flush, true) => chain.or_default().clear(),
            (Act::Head(rule), true) => {
                let rule = rule.clone();
                chain.or_default().insert(0, Slot { handle, rule });
            }
            (Act::End(rule), true) => {
                let rule = rule.clone();
                chain.or_default().push(Slot { handle, rule });
            }
            (Act::Jump(rule), true) => {
                let slots = chain.or_default();
                let at = place_of_jump(&operation.key, slots);
                let rule = rule.clone();
                slots.insert(at, Slot { handle, rule });
            }
            (Act::DeleteRule { handle }, true) => {
                let slots = chain.or_default();
                let at = slots.iter().position(|slot| slot.handle == *handle);
                slots.remove(at.ok_or("ENOENT")?);
            }
            (Act::DeleteChain, true) => {}
        }
        Ok(())
    }

    fn delete_chain(&mut self, table: Table, name: String) -> Result<(), &'static str> {
        let here = self.chains.iter().filter(|((other, _), _)| *other == table);
        let leads_here = |rule: &Rule| match &rule.target {
            Target::Jump(to) | Target::Goto(to) => *to == name,
            _ => false,
        };
        let mut others = here.filter(|((_, other), _)| *other != name);
        if others.any(|(_, slots)| slots.iter().any(|slot| leads_here(&slot.rule))) {
            return Err("EBUSY");
        }
        self.chains.remove(&(table, name)).map(drop).ok_or("ENOENT")
    }
}

/// Right before the next of our rules, else right behind the previous one, else first.
fn place_of_jump(key: &Key, slots: &[Slot]) -> usize {
    let Key::Jump {
        table, base, rank, ..
    } = key
    else {
        return 0;
    };
    let rank_of = |rule: &Rule| {
        let mut ours = jumps(Layout::Iptables, table.family)
            .filter(|jump: &Jump| jump.table == *table && jump.base == *base && jump.rule == *rule);
        ours.next().map(|jump| jump.rank)
    };
    let ranks: Vec<_> = slots.iter().map(|slot| rank_of(&slot.rule)).collect();
    let next = ranks
        .iter()
        .position(|other| other.is_some_and(|other| other > *rank));
    let previous = ranks
        .iter()
        .rposition(|other| other.is_some_and(|other| other <= *rank));
    next.or(previous.map(|at| at + 1)).unwrap_or(0)
}
