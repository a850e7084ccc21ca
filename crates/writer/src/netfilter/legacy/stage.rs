//! From diffs to lines.

use std::collections::BTreeMap;

use nfnetlink::Family;
use viprule_dataplane::netfilter::{Key, Kind, Object, Place, Table, place_of};
use viprule_dataplane::{Diff, Write};

use super::payload::{Block, Text};
use crate::Tag;
use crate::netfilter::order::NewJump;

/// Lines by table.
pub(super) type Lines = BTreeMap<Table, Text>;

/// What is to be written. Lines that depend on what is there then are made by the commit.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// Declarations of chains, before all rules (contract 2.4).
    chains: Lines,
    /// Rules of our chains.
    rules: Lines,
    /// Rules to add to built-in chains.
    pub(super) jumps: Vec<NewJump>,
    /// To be removed behind all writes.
    pub(super) deletes: Vec<(Tag, Key)>,
    /// Texts of new rules that have keys of their own.
    pub(super) texts: Vec<(Key, Box<str>)>,
    /// Chains written as a whole that others look for.
    pub(super) canaries: Vec<Table>,
}

impl Staged {
    pub(super) fn is_empty(&self) -> bool {
        self.chains.is_empty()
            && self.rules.is_empty()
            && self.jumps.is_empty()
            && self.deletes.is_empty()
    }

    pub(super) fn add<A>(&mut self, tag: Tag, diff: &Diff<'_, Key, A, Object>) {
        for write in &diff.writes {
            self.write(tag, write);
        }
        let deletes = diff.deletes.iter().map(|(key, _)| (tag, **key));
        self.deletes.extend(deletes);
    }

    fn write<A>(&mut self, tag: Tag, write: &Write<'_, Key, A, Object>) {
        match (*write.key, write.new) {
            (Key::Chain { table, chain }, Object::Rules(rules)) => {
                // Creates the chain, or empties it: the table changes as a whole, no packet meets
                // it between.
                self.chains
                    .entry(table)
                    .or_default()
                    .push(tag, format_args!(":{chain} - [0:0]"));
                let lines = self.rules.entry(table).or_default();
                for rule in rules {
                    lines.push(tag, format_args!("-A {chain} {rule}"));
                }
                if chain == viprule_dataplane::ownership::Chain::Canary {
                    self.canaries.push(table);
                }
            }
            (Key::Chain { table, chain }, _) => {
                // A declaration would empty it, if somebody else has made it meanwhile.
                let lines = self.chains.entry(table).or_default();
                lines.push(tag, format_args!("-N {chain}"));
            }
            (key @ Key::Rule { table, chain, .. }, Object::Rule(rule)) => {
                let command = match place_of(table, chain, rule) {
                    Place::Head => "-I",
                    Place::End => "-A",
                };
                let text = rule.to_string();
                let lines = self.rules.entry(table).or_default();
                lines.push(tag, format_args!("{command} {chain} {text}"));
                self.texts.push((key, text.into()));
            }
            (key @ Key::Jump { .. }, Object::Rule(rule)) => {
                self.jumps.push((tag, key, rule.clone()));
            }
            (Key::Rule { .. } | Key::Jump { .. }, _) => {}
        }
    }

    /// A family's payload.
    ///
    /// Tables are replaced one after the other, so traffic has to be right between them:
    ///
    /// * What filter gets comes before what nat gets or loses. Refusals in filter match Service
    ///   addresses, so they don't touch packets that nat still translates; once nat no longer
    ///   does, the refusal is there already. Likewise source ranges: the drop is there before nat
    ///   begins to leave packets to it.
    /// * What filter loses comes after nat: a refusal goes when nat translates already.
    /// * Within a table the order is only for references between chains: chains, rules, rules in
    ///   built-in chains, then removals.
    ///
    /// mangle holds nothing but the canary.
    pub(super) fn blocks<'a>(
        &'a self,
        family: Family,
        jumps: &'a Lines,
        deletes: &'a Lines,
    ) -> Vec<Block<'a>> {
        let [mangle, filter, nat] = Kind::ALL.map(|kind| Table { family, kind });
        let gains = |table| [&self.chains, &self.rules, jumps].map(|lines| lines.get(&table));
        let losses = |table| deletes.get(&table);
        let all = |table| gains(table).into_iter().chain([losses(table)]);
        let translated = Block::new(nat, all(nat));
        let filtered = if translated.is_some() {
            [
                Block::new(filter, gains(filter)),
                Block::new(filter, [losses(filter)]),
            ]
        } else {
            [Block::new(filter, all(filter)), None]
        };
        let [before, after] = filtered;
        let blocks = [Block::new(mangle, all(mangle)), before, translated, after];
        blocks.into_iter().flatten().collect()
    }
}
