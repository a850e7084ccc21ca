//! From what is there to a state.

use std::collections::HashMap;

use nfnetlink::Family;
use nfnetlink::xtables::Rule;

use super::jumps::{Jump, known_jumps};
use super::key::{BaseChain, Key, Kind, Object, Table};
use super::place::{Place, place_of};
use crate::ownership::{Chain, Layout};
use crate::state::{Fingerprint, State};

/// Collects observed chains and rules into a state, leaving out what is foreign.
///
/// `V` is [`Object`], or [`Fingerprint`] where contents need not be kept.
#[derive(Debug)]
pub struct Observation<V> {
    layout: Layout,
    objects: Vec<(Key, V)>,
    copies: HashMap<Key, u16>,
    jumps: Vec<Jump>,
}

impl<V: From<(Key, Object)>> Observation<V> {
    /// Nothing observed yet. What only the other mode makes counts as left over.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            objects: Vec::new(),
            copies: HashMap::new(),
            jumps: Family::ALL
                .into_iter()
                .flat_map(|family| known_jumps(layout, family))
                .collect(),
        }
    }

    /// Takes all rules of one of our chains, in order. Returns the keys of those rules that have
    /// one: `None` where the chain is written as a whole.
    pub fn chain(&mut self, table: Table, chain: Chain, rules: Vec<Rule>) -> Option<Vec<Key>> {
        let key = Key::Chain { table, chain };
        if !chain.is_shared(self.layout) {
            self.keep(key, Object::Rules(rules));
            return None;
        }
        self.keep(key, Object::Shared);
        let last_of_head = rules
            .iter()
            .rposition(|rule| place_of(table, chain, rule) == Place::Head);
        let keep_order = table.kind == Kind::Nat && chain == Chain::Services;
        let mut keys = Vec::with_capacity(rules.len());
        for (position, rule) in rules.into_iter().enumerate() {
            let fingerprint = Fingerprint::of(&rule);
            // A rule that must be last is worthless before others: to be deleted and made anew.
            let misplaced = keep_order
                && last_of_head.is_some_and(|last| position < last)
                && place_of(table, chain, &rule) == Place::End;
            let rule_key = |copy| Key::Rule {
                table,
                chain,
                rule: fingerprint,
                copy,
            };
            // Each has a key of its own: whoever removes what has a key removes one rule.
            let first = if misplaced { Key::MISPLACED } else { 0 };
            let key = rule_key(first + self.count(rule_key(first)));
            self.keep(key, Object::Rule(rule));
            keys.push(key);
        }
        Some(keys)
    }

    /// Takes one rule of a built-in chain. Returns its key where it is one of ours.
    pub fn base_rule(&mut self, table: Table, base: BaseChain, rule: &Rule) -> Option<Key> {
        let ours = |jump: &&Jump| jump.table == table && jump.base == base && jump.rule == *rule;
        let rank = self.jumps.iter().find(ours)?.rank;
        let copy = self.count(Key::Jump {
            table,
            base,
            rank,
            copy: 0,
        });
        let key = Key::Jump {
            table,
            base,
            rank,
            copy,
        };
        self.keep(key, Object::Rule(rule.clone()));
        Some(key)
    }

    fn keep(&mut self, key: Key, object: Object) {
        self.objects.push((key, V::from((key, object))));
    }

    /// The state of everything taken.
    pub fn finish(self) -> State<Key, V> {
        self.objects.into_iter().collect()
    }

    /// How often a key has been seen before. The last number stands for all copies from there on, of
    /// which one goes with each look.
    fn count(&mut self, key: Key) -> u16 {
        let seen = self.copies.entry(key).or_insert(0);
        let copy = *seen;
        *seen = seen.saturating_add(1).min(Key::MISPLACED - 1);
        copy
    }
}
