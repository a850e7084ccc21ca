//! From lines to the kernel.

use std::collections::BTreeMap;

use viprule_dataplane::netfilter::{BaseChain, Key, Piece, Table, known_jumps};
use viprule_dataplane::ownership::Layout;

use super::LegacyWriter;
use super::observe::Standing;
use super::payload::Block;
use super::stage::{Lines, Staged};
use crate::netfilter::order::{self, Beside, NewJump};
use crate::{ApplyError, Tag, WriteError, Written};

impl LegacyWriter {
    pub(super) fn send(&mut self, mut staged: Staged) -> Result<Written, ApplyError<Piece>> {
        let mut written = Written::default();
        if staged.is_empty() {
            return Ok(written);
        }
        let jumps = self.jump_lines(std::mem::take(&mut staged.jumps))?;
        let deletes = self.delete_lines(&staged.deletes)?;
        for family in &self.families {
            let blocks = staged.blocks(*family, &jumps, &deletes);
            if blocks.is_empty() {
                continue;
            }
            self.tools
                .restore(*family, &blocks)
                .map_err(|stopped| self.explain(stopped, &blocks, written))?;
            written.transactions += blocks.len();
            written.bytes += blocks.iter().map(Block::size).sum::<usize>();
        }
        self.settle(staged);
        Ok(written)
    }

    /// Takes over what was written.
    fn settle(&mut self, staged: Staged) {
        for (_, key) in &staged.deletes {
            self.rules.remove(key);
            self.watch.removed(key);
        }
        self.rules.extend(staged.texts);
        self.watch.made_canaries(staged.canaries);
    }

    /// Lines for rules in built-in chains. Their places are numbers, so they are counted right
    /// before they are used; where nothing of ours stands, the head needs no number.
    fn jump_lines(&self, new: Vec<NewJump>) -> Result<Lines, WriteError> {
        let mut standing: BTreeMap<Table, Standing> = BTreeMap::new();
        for (_, key, _) in &new {
            if let std::collections::btree_map::Entry::Vacant(entry) = standing.entry(key.table()) {
                entry.insert(self.standing(key.table())?);
            }
        }
        let there = standing.values().flat_map(BTreeMap::values).flatten();
        let there: BTreeMap<Key, Key> = there.flatten().map(|key| (*key, *key)).collect();
        let mut lines = Lines::new();
        for ((tag, key, rule), place) in order::beside(new, &there) {
            let Key::Jump { table, base, .. } = key else {
                continue;
            };
            let chain = standing.entry(table).or_default().entry(base).or_default();
            let find = |key| chain.iter().position(|other| *other == Some(key));
            let at = match place {
                Beside::Head => 0,
                Beside::Before(next) => find(next).unwrap_or_default(),
                Beside::Behind(previous) => find(previous).map_or(0, |at| at + 1),
            };
            chain.insert(at, Some(key));
            let lines = lines.entry(table).or_default();
            let name = base.name();
            match at {
                0 => lines.push(tag, format_args!("-I {name} {rule}")),
                at => lines.push(tag, format_args!("-I {name} {} {rule}", at + 1)),
            }
        }
        Ok(lines)
    }

    /// Lines for removals: rules by their text, which can't hit anybody else's, then chains. All
    /// of those are emptied before the first one goes, as they refer to each other.
    fn delete_lines(&mut self, deletes: &[(Tag, Key)]) -> Result<Lines, WriteError> {
        let dying = order::dying(deletes);
        let alone = |key: &Key| match key {
            Key::Chain { .. } => false,
            Key::Rule { table, chain, .. } => !dying.contains(&(*table, *chain)),
            Key::Jump { .. } => true,
        };
        let mut lines = Lines::new();
        for (tag, key) in deletes.iter().filter(|(_, key)| alone(key)) {
            if let Some(text) = self.text_to_delete(key)? {
                let lines = lines.entry(key.table()).or_default();
                lines.push(*tag, format_args!("-D {} {text}", key.chain_name()));
            }
        }
        let chains = || {
            deletes
                .iter()
                .filter(|(_, key)| matches!(key, Key::Chain { .. }))
        };
        for (tag, key) in chains() {
            let lines = lines.entry(key.table()).or_default();
            lines.push(*tag, format_args!(":{} - [0:0]", key.chain_name()));
        }
        for (tag, key) in chains() {
            let lines = lines.entry(key.table()).or_default();
            lines.push(*tag, format_args!("-X {}", key.chain_name()));
        }
        Ok(lines)
    }

    /// A rule's text; `None` where it isn't there any more.
    fn text_to_delete(&mut self, key: &Key) -> Result<Option<String>, WriteError> {
        if let Key::Jump {
            table, base, rank, ..
        } = *key
        {
            return Ok(jump_text(self.layout, table, base, rank));
        }
        if !self.rules.contains_key(key) {
            self.learn_texts(key.table())?;
        }
        Ok(self.rules.get(key).map(ToString::to_string))
    }
}

fn jump_text(layout: Layout, table: Table, base: BaseChain, rank: u8) -> Option<String> {
    let mut all = known_jumps(layout, table.family);
    let found = all.find(|jump| (jump.table, jump.base, jump.rank) == (table, base, rank));
    found.map(|jump| jump.rule.to_string())
}

#[cfg(test)]
mod tests {
    use nfnetlink::Family;

    use super::*;

    #[test]
    fn jumps_of_either_mode_have_a_text_to_delete_them_by() {
        for layout in [Layout::Iptables, Layout::Ipvs] {
            for jump in Family::ALL
                .into_iter()
                .flat_map(|family| known_jumps(layout, family))
            {
                let text = jump_text(layout, jump.table, jump.base, jump.rank);
                assert_eq!(text, Some(jump.rule.to_string()));
            }
        }
    }
}
