//! From a diff to messages.

use std::collections::BTreeSet;

use nfnetlink::ipset::SetNames;
use nfnetlink::nftables::{Position, Transaction};
use nfnetlink::xtables::Rule;
use viprule_dataplane::netfilter::{BaseChain, Key, Object, Piece, Place, Table, place_of};
use viprule_dataplane::ownership::Chain;
use viprule_dataplane::{Diff, Write};

use super::{NftWriter, chains};
use crate::{ApplyError, Tag};

/// More new rules than this are looked up afterwards rather than told one by one.
pub(super) const ECHOES: usize = 256;

/// What a transaction holds besides its messages.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// Rules to add to built-in chains: they come behind all other writes.
    pub(super) jumps: Vec<(Tag, Key, Rule)>,
    /// To be removed behind all writes.
    pub(super) deletes: Vec<(Tag, Key)>,
    /// Keys of rules whose handles the kernel will tell, in the order of the transaction.
    pub(super) echoes: Vec<Key>,
    /// Keys of rules deleted by the messages so far.
    pub(super) gone: Vec<Key>,
    /// Tables and built-in chains made by the messages so far.
    pub(super) tables: BTreeSet<Table>,
    pub(super) bases: BTreeSet<(Table, BaseChain)>,
    /// Sets that the rules match on.
    pub(super) sets: SetNames,
    /// The messages so far delete a rule of a built-in chain, by its handle.
    pub(super) in_shared: bool,
}

impl NftWriter {
    pub(super) fn discard(&mut self) {
        self.committer.discard();
        self.staged = Staged::default();
    }

    pub(super) fn stage_diff<A>(
        &mut self,
        tag: Tag,
        diff: &Diff<'_, Key, A, Object>,
    ) -> Result<(), ApplyError<Piece>> {
        for write in &diff.writes {
            self.stage_write(tag, write)?;
        }
        self.staged
            .deletes
            .extend(diff.deletes.iter().map(|(key, _)| (tag, **key)));
        Ok(())
    }

    fn stage_write<A>(
        &mut self,
        tag: Tag,
        write: &Write<'_, Key, A, Object>,
    ) -> Result<(), ApplyError<Piece>> {
        let key = *write.key;
        match (key, write.new) {
            (Key::Chain { table, chain }, Object::Rules(rules)) if write.old.is_some() => {
                for rule in rules {
                    self.learn_sets(tag, rule)?;
                }
                // One piece: between flush and refill packets would find the chain empty.
                self.fit(tag, |transaction, staged| {
                    let name = chain.to_string();
                    let id = chains::id(table, &name);
                    transaction.flush_chain(id);
                    for rule in rules {
                        transaction.new_rule(id, Position::End, false, |attrs| {
                            rule.encode_with(attrs, staged.encoding());
                        });
                    }
                })
            }
            (Key::Chain { table, chain }, object) => {
                self.stage_table(tag, table)?;
                self.stage_new_chain(tag, table, chain, object.rules())
            }
            (Key::Rule { table, chain, .. }, Object::Rule(rule)) => {
                let position = match place_of(table, chain, rule) {
                    Place::Head => Position::Head,
                    Place::End => Position::End,
                };
                self.add_rule(tag, key, &chain.to_string(), position, rule)
            }
            (Key::Jump { .. }, Object::Rule(rule)) => {
                self.staged.jumps.push((tag, key, rule.clone()));
                Ok(())
            }
            (Key::Rule { .. } | Key::Jump { .. }, _) => Ok(()),
        }
    }

    fn stage_table(&mut self, tag: Tag, table: Table) -> Result<(), ApplyError<Piece>> {
        if self.known.tables.contains(&table) || self.staged.tables.contains(&table) {
            return Ok(());
        }
        self.fit(tag, |transaction, staged| {
            transaction.new_table(table.family, table.kind.name());
            staged.tables.insert(table);
        })
    }

    /// Nothing leads to a new chain yet, so its rules may come in several parts.
    fn stage_new_chain(
        &mut self,
        tag: Tag,
        table: Table,
        chain: Chain,
        rules: &[Rule],
    ) -> Result<(), ApplyError<Piece>> {
        let name = chain.to_string();
        let id = chains::id(table, &name);
        self.fit(tag, |transaction, _| {
            if chain.is_ours_alone() {
                transaction.new_chain(id);
            } else {
                transaction.ensure_chain(id);
            }
        })?;
        for rule in rules {
            self.learn_sets(tag, rule)?;
            self.fit(tag, |transaction, staged| {
                transaction.new_rule(id, Position::End, false, |attrs| {
                    rule.encode_with(attrs, staged.encoding());
                });
            })?;
        }
        Ok(())
    }

    /// Adds a rule that has a key of its own.
    pub(super) fn add_rule(
        &mut self,
        tag: Tag,
        key: Key,
        chain: &str,
        position: Position,
        rule: &Rule,
    ) -> Result<(), ApplyError<Piece>> {
        self.learn_sets(tag, rule)?;
        self.fit(tag, |transaction, staged| {
            let echo = staged.echoes.len() < ECHOES || matches!(key, Key::Jump { .. });
            let id = chains::id(key.table(), chain);
            transaction.new_rule(id, position, echo, |attrs| {
                rule.encode_with(attrs, staged.encoding());
            });
            if echo {
                staged.echoes.push(key);
            }
        })
    }

    /// Adds messages that must stay together, and sends what was there before if they would not
    /// fit.
    pub(super) fn fit(
        &mut self,
        tag: Tag,
        add: impl Fn(&mut Transaction<Tag>, &mut Staged),
    ) -> Result<(), ApplyError<Piece>> {
        let (limit, echoes) = (self.part_limit(), self.staged.echoes.len());
        let staged = &mut self.staged;
        if !self.committer.try_to_add(tag, limit, |it| add(it, staged)) {
            staged.echoes.truncate(echoes);
            self.send()?;
            let staged = &mut self.staged;
            self.committer.add(tag, |it| add(it, staged));
        }
        Ok(())
    }
}
