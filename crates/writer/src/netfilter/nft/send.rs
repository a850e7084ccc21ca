//! What comes last in a transaction, and what is known when it is sent.

use std::collections::BTreeSet;

use nfnetlink::nftables::Position;
use nfnetlink::xtables::Rule;
use viprule_dataplane::ObjectKey;
use viprule_dataplane::netfilter::{BaseChain, Key, Piece, Table};
use viprule_dataplane::ownership::Chain;

use super::{NftWriter, base_chains, chains};
use crate::netfilter::order::{self, Beside};
use crate::{ApplyError, Tag};

/// Size of a part while nothing leads to our chains yet, bytes: keeps memory small, and the
/// kernel's commit lock free for others every now and then.
const UNLINKED_PART: usize = 4 << 20;
/// Size of a part otherwise, bytes: the kernel validates everything reachable with each part.
const LINKED_PART: usize = 16 << 20;

impl NftWriter {
    /// The largest part to send.
    pub(super) fn part_limit(&self) -> usize {
        let wanted = if self.known.linked() {
            LINKED_PART
        } else {
            UNLINKED_PART
        };
        wanted.min(self.largest_part)
    }

    /// Adds what comes last and sends it all.
    pub(super) fn finish(&mut self) -> Result<(), ApplyError<Piece>> {
        self.stage_jumps()?;
        self.stage_deletes()?;
        self.send()
    }

    /// Sends what is staged so far as one transaction.
    pub(super) fn send(&mut self) -> Result<(), ApplyError<Piece>> {
        if self.committer.is_empty() {
            return Ok(());
        }
        let in_shared = self.staged.in_shared;
        let handles = self.committer.send(in_shared, base_chains::reason)?;
        self.settle(handles);
        self.check_sets()
    }

    /// Takes over what the part that was just sent has made and removed.
    fn settle(&mut self, handles: Vec<u64>) {
        let staged = &mut self.staged;
        staged.in_shared = false;
        self.known.tables.append(&mut staged.tables);
        self.known.bases.append(&mut staged.bases);
        for key in staged.gone.drain(..) {
            self.known.forget(&key);
        }
        for (key, handle) in staged.echoes.drain(..).zip(handles) {
            self.known.remember(key, handle);
        }
    }

    fn stage_jumps(&mut self) -> Result<(), ApplyError<Piece>> {
        let jumps = std::mem::take(&mut self.staged.jumps);
        for ((tag, key, rule), place) in order::beside(jumps, &self.known.jumps) {
            let position = match place {
                Beside::Head => Position::Head,
                Beside::Before(next) => Position::Before(next),
                Beside::Behind(previous) => Position::After(previous),
            };
            self.stage_jump(tag, key, position, &rule)?;
        }
        Ok(())
    }

    fn stage_jump(
        &mut self,
        tag: Tag,
        key: Key,
        position: Position,
        rule: &Rule,
    ) -> Result<(), ApplyError<Piece>> {
        let Key::Jump { table, base, .. } = key else {
            return Ok(());
        };
        self.stage_base(tag, table, base)?;
        self.add_rule(tag, key, base.name(), position, rule)
    }

    fn stage_base(
        &mut self,
        tag: Tag,
        table: Table,
        base: BaseChain,
    ) -> Result<(), ApplyError<Piece>> {
        let place = (table, base);
        if self.known.bases.contains(&place) || self.staged.bases.contains(&place) {
            return Ok(());
        }
        self.fit(tag, |transaction, staged| {
            let hook = chains::hook(table, base);
            transaction.new_base_chain(chains::id(table, base.name()), hook);
            staged.bases.insert(place);
        })
    }

    fn stage_deletes(&mut self) -> Result<(), ApplyError<Piece>> {
        let deletes = std::mem::take(&mut self.staged.deletes);
        let chains = order::dying(&deletes);
        self.look_up_unknown(&deletes, &chains)?;
        for (tag, key) in deletes {
            match key {
                Key::Chain { table, chain } => {
                    let name = chain.to_string();
                    self.fit(tag, |transaction, _| {
                        transaction.flush_chain(chains::id(table, &name));
                        transaction.delete_chain(chains::id(table, &name));
                    })?;
                }
                // Goes with its chain.
                Key::Rule { table, chain, .. } if chains.contains(&(table, chain)) => {
                    self.staged.gone.push(key);
                }
                Key::Rule { .. } | Key::Jump { .. } => {
                    let Some(handle) = self.known.handle(&key) else {
                        continue;
                    };
                    let name = key.chain_name();
                    self.fit(tag, |transaction, staged| {
                        transaction.delete_rule(chains::id(key.table(), &name), handle);
                        staged.in_shared |= matches!(key, Key::Jump { .. });
                        staged.gone.push(key);
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Learns the handles of what is to be deleted by handle, where they aren't known.
    fn look_up_unknown(
        &mut self,
        deletes: &[(Tag, Key)],
        chains: &BTreeSet<(Table, Chain)>,
    ) -> Result<(), ApplyError<Piece>> {
        let goes_with_chain = |key: &Key| matches!(key, Key::Rule { table, chain, .. } if chains.contains(&(*table, *chain)));
        let unknown: BTreeSet<Piece> = deletes
            .iter()
            .map(|(_, key)| key)
            .filter(|key| !matches!(key, Key::Chain { .. }))
            .filter(|key| self.known.handle(key).is_none() && !goes_with_chain(key))
            .map(ObjectKey::piece)
            .collect();
        for piece in unknown {
            self.look_up_handles(piece)?;
        }
        Ok(())
    }
}
