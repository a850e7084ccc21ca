//! A state's chains, in the order in which the kernel has their rules.

use std::collections::{BTreeMap, BTreeSet};

use nfnetlink::xtables::{Rule, Target};
use viprule_dataplane::netfilter::{Key, Object, Place, Table, place_of};

use crate::walker::WalkError;

/// In which order rules come that a state doesn't put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unordered {
    /// In the order of their keys.
    Forward,
    /// The other way round. A state that means the same in both orders depends on none.
    Backward,
}

/// Rules by chain.
#[derive(Debug)]
pub(in crate::walker) struct Ruleset<'a> {
    chains: BTreeMap<(Table, String), Vec<&'a Rule>>,
}

impl<'a> Ruleset<'a> {
    /// Sorts a state's rules into chains and checks every jump, reachable or not, as the kernel
    /// does when it loads rules.
    pub(in crate::walker) fn new(
        state: impl Iterator<Item = (&'a Key, &'a Object)> + Clone,
        unordered: Unordered,
    ) -> Result<Self, WalkError> {
        let mut chains: BTreeMap<(Table, String), Vec<(u8, &'a Rule)>> = BTreeMap::new();
        // Chains come first in key order, so a rule whose chain is missing finds none.
        for (key, object) in state.clone() {
            let name = (key.table(), key.chain_name());
            if matches!(key, Key::Rule { .. }) && !chains.contains_key(&name) {
                let (table, to) = name;
                return Err(WalkError::MissingChain {
                    table: table.to_string(),
                    from: "(itself)".to_owned(),
                    to,
                });
            }
            let rules = object.rules().iter().map(|rule| (place(key, rule), rule));
            chains.entry(name).or_default().extend(rules);
        }
        for (key, object) in state {
            let shared = matches!(object, Object::Shared);
            if !shared {
                continue;
            }
            let rules = chains.entry((key.table(), key.chain_name())).or_default();
            if unordered == Unordered::Backward {
                rules.reverse();
            }
            rules.sort_by_key(|(place, _)| *place);
        }
        let chains = chains
            .into_iter()
            .map(|(name, rules)| (name, rules.into_iter().map(|(_, rule)| rule).collect()))
            .collect();
        let ruleset = Self { chains };
        ruleset.check()?;
        Ok(ruleset)
    }

    /// The rules of a chain; none for a built-in chain without rules of ours.
    pub(super) fn rules(&self, table: Table, chain: &str) -> &[&'a Rule] {
        self.chains
            .get(&(table, chain.to_owned()))
            .map_or(&[], Vec::as_slice)
    }

    fn check(&self) -> Result<(), WalkError> {
        let mut done = BTreeSet::new();
        for (table, chain) in self.chains.keys() {
            self.check_from(*table, chain, &mut Vec::new(), &mut done)?;
        }
        Ok(())
    }

    fn check_from<'b>(
        &'b self,
        table: Table,
        chain: &'b str,
        path: &mut Vec<&'b str>,
        done: &mut BTreeSet<(Table, &'b str)>,
    ) -> Result<(), WalkError> {
        if path.contains(&chain) {
            return Err(WalkError::Loop {
                table: table.to_string(),
                chain: chain.to_owned(),
            });
        }
        if done.contains(&(table, chain)) {
            return Ok(());
        }
        path.push(chain);
        for rule in self.rules(table, chain) {
            let (Target::Jump(to) | Target::Goto(to)) = &rule.target else {
                continue;
            };
            if !self.chains.contains_key(&(table, to.clone())) {
                return Err(WalkError::MissingChain {
                    table: table.to_string(),
                    from: chain.to_owned(),
                    to: to.clone(),
                });
            }
            self.check_from(table, to, path, done)?;
        }
        path.pop();
        done.insert((table, chain));
        Ok(())
    }
}

/// Where a rule of a shared chain stands: smaller first.
fn place(key: &Key, rule: &Rule) -> u8 {
    match key {
        // These stand before rules that they must stay behind.
        Key::Rule { copy, .. } if *copy >= Key::MISPLACED => 0,
        Key::Rule { table, chain, .. } => match place_of(*table, *chain, rule) {
            Place::Head => 1,
            Place::End => 2,
        },
        Key::Chain { .. } | Key::Jump { .. } => 0,
    }
}
