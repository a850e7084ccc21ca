//! Which chains there are.

use std::collections::BTreeMap;

use netlink_batch::Error;
use nfnetlink::Family;
use nfnetlink::nftables;
use viprule_dataplane::netfilter::{BaseChain, Kind, Piece, Table};
use viprule_dataplane::ownership::Chain;

use super::NftWriter;
use super::observe::{ATTEMPTS, reading};
use crate::WriteError;
use crate::generation::Heard;

/// So many interrupted lists in a row that add nothing are believed where the tables hold sets
/// too, which the kernel counts among their chains.
const SAME: usize = 4;

/// Chains of the tables that ours are in, each once.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Those that are ours, and those that hold rules of ours. Where one list tells all they are in
    /// the kernel's order: in any other one it misses its caches, which makes a start 4 % slower.
    pub(super) pieces: Vec<Piece>,
    /// All other ones.
    others: Vec<(Table, Box<str>)>,
}

impl NftWriter {
    /// Lists the chains of a family.
    ///
    /// Where something is committed meanwhile the kernel may leave chains out: it goes on by number,
    /// and chains of other tables count. So an interrupted list is put together with the next ones
    /// until it has as many chains as the tables say.
    pub(super) fn list(&mut self, family: Family) -> Result<Listed, WriteError> {
        let (mut listed, mut same) = (Listed::default(), 0);
        self.committer.watch.heard.begin_reading();
        for _ in 0..ATTEMPTS {
            if listed.is_outdated(&self.committer.watch.heard) {
                (listed, same) = (Listed::default(), 0);
                self.committer.watch.heard.begin_reading();
            }
            let mut now = Listed::default();
            let result = nftables::chains(&mut self.committer.socket, family, |chain| {
                if let Some(kind) = Kind::parse(chain.table) {
                    now.add(Table { family, kind }, chain.name, chain.base.is_some());
                }
            });
            match result {
                Ok(()) => return Ok(now),
                Err(Error::Interrupted) => {}
                Err(error) => return Err(reading(error)),
            }
            let before = listed.len();
            listed.join(now);
            same = if listed.len() == before { same + 1 } else { 0 };
            let counts = self.count(family)?;
            self.committer.watch.settle()?;
            let complete = listed.counts() == counts || same >= SAME;
            if complete && !listed.is_outdated(&self.committer.watch.heard) {
                return Ok(listed);
            }
        }
        Err(reading(Error::Interrupted))
    }

    /// How many chains and other objects the tables have that ours are in, by what they say.
    fn count(&mut self, family: Family) -> Result<BTreeMap<Table, usize>, WriteError> {
        let mut counts = BTreeMap::new();
        let result = nftables::tables(&mut self.committer.socket, family, |table| {
            if let Some(kind) = Kind::parse(table.name)
                && table.uses > 0
            {
                counts.insert(Table { family, kind }, table.uses as usize);
            }
        });
        match result {
            // A table that is left out shows in the comparison.
            Ok(()) | Err(Error::Interrupted) => Ok(counts),
            Err(error) => Err(reading(error)),
        }
    }
}

/// Both, each element once.
fn join<T: Ord>(all: &mut Vec<T>, more: Vec<T>) {
    all.extend(more);
    all.sort_unstable();
    all.dedup();
}

impl Listed {
    fn add(&mut self, table: Table, name: &str, is_base: bool) {
        // A base chain with one of our names is another program's.
        if let Some(ours) = Chain::parse(name).filter(|_| !is_base) {
            self.pieces.push(Piece::Owned(table, ours));
        } else if let Some(base) = BaseChain::parse(name).filter(|_| is_base) {
            self.pieces.push(Piece::Base(table, base));
        } else {
            self.others.push((table, name.into()));
        }
    }

    fn join(&mut self, other: Self) {
        join(&mut self.pieces, other.pieces);
        join(&mut self.others, other.others);
    }

    /// Built-in chains that exist.
    pub(super) fn bases(&self) -> impl Iterator<Item = (Table, BaseChain)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Base(table, base) => Some((*table, *base)),
            Piece::Owned(..) => None,
        })
    }

    /// Tables that exist.
    pub(super) fn tables(&self) -> impl Iterator<Item = Table> {
        self.counts().into_keys()
    }

    fn len(&self) -> usize {
        self.pieces.len() + self.others.len()
    }

    fn counts(&self) -> BTreeMap<Table, usize> {
        let mut counts = BTreeMap::new();
        let ours = self.pieces.iter().map(|piece| match piece {
            Piece::Owned(table, _) | Piece::Base(table, _) => *table,
        });
        for table in ours.chain(self.others.iter().map(|(table, _)| *table)) {
            *counts.entry(table).or_default() += 1;
        }
        counts
    }

    /// True where one of these chains may have gone, or others may have come.
    fn is_outdated(&self, heard: &Heard<Piece>) -> bool {
        let mut tables = self.counts().into_keys();
        tables.any(|table| heard.contents_changed_meanwhile(table))
    }
}
