//! Notices what others do to legacy tables, of which nobody tells.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use viprule_dataplane::netfilter::Piece;
use viprule_dataplane::netfilter::{Key, Kind, Table};
use viprule_dataplane::ownership::Chain;
use viprule_dataplane::{Scope, State};

use super::LegacyWriter;
use crate::{ForeignChanges, WriteError};

/// Time between two looks at everything, in multiples of what a look takes: a thousandth of a
/// processor goes into looking, whatever the size of the tables.
const LOOK_SHARE: u32 = 1000;
/// For how long after a look a refusal is put down to what was written.
const FRESH: Duration = Duration::from_secs(60);
/// How long whoever flushes one table may take to flush the others, and how often that is
/// checked (contract 2.10).
const FLUSHED_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);

/// What was last seen.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Tables that hold our canary as far as we know.
    canaries: BTreeSet<Table>,
    looked: Option<Instant>,
    /// When everything is to be looked at again.
    due: Option<Instant>,
}

impl Watch {
    /// Everything was read.
    pub(super) fn looked<V>(&mut self, started: Instant, seen: &State<Key, V>) {
        let now = Instant::now();
        self.canaries = seen.iter().filter_map(|(key, _)| canary(key)).collect();
        self.looked = Some(now);
        self.due = now.checked_add((now - started) * LOOK_SHARE);
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.looked.is_some_and(|at| at.elapsed() < FRESH)
    }

    pub(super) fn made_canaries(&mut self, tables: Vec<Table>) {
        self.canaries.extend(tables);
    }

    pub(super) fn removed(&mut self, key: &Key) {
        if let Some(table) = canary(key) {
            self.canaries.remove(&table);
        }
    }

    fn is_due(&self) -> bool {
        self.due.is_none_or(|due| due <= Instant::now())
    }
}

fn canary(key: &Key) -> Option<Table> {
    match key {
        Key::Chain {
            table,
            chain: Chain::Canary,
        } => Some(*table),
        _ => None,
    }
}

impl LegacyWriter {
    pub(super) fn look_for_changes(&mut self) -> Result<ForeignChanges<Piece>, WriteError> {
        let mut scope = Scope::nothing();
        if self.watch.is_due() || self.was_flushed()? {
            scope = Scope::Everything;
        }
        let by = Vec::new();
        Ok(ForeignChanges { scope, by })
    }

    /// Looks for the canary in mangle, the smallest table; where it is gone, waits for whoever
    /// flushes tables to come to an end.
    fn was_flushed(&self) -> Result<bool, WriteError> {
        let canaries = self.watch.canaries.iter();
        let (first, others): (Vec<Table>, Vec<Table>) =
            canaries.partition(|table| table.kind == Kind::Mangle);
        for table in first {
            if self.has_canary(table)? {
                continue;
            }
            let family = table.family;
            tracing::warn!(%table, "the chain {} is gone: somebody flushes the tables", Chain::Canary);
            let others = others.iter().filter(|other| other.family == family);
            self.wait_for_flush(&others.copied().collect::<Vec<_>>())?;
            return Ok(true);
        }
        Ok(false)
    }

    fn wait_for_flush(&self, others: &[Table]) -> Result<(), WriteError> {
        let deadline = Instant::now() + FLUSHED_WITHIN;
        for table in others {
            while self.has_canary(*table)? {
                if Instant::now() >= deadline {
                    tracing::warn!(%table, "this table was not flushed");
                    return Ok(());
                }
                thread::sleep(POLL);
            }
        }
        Ok(())
    }

    fn has_canary(&self, table: Table) -> Result<bool, WriteError> {
        let text = self.text_of(table)?.unwrap_or_default();
        let mut chains = text.lines().filter_map(|line| line.strip_prefix(':'));
        Ok(chains.any(|line| line.split(' ').next().and_then(Chain::parse) == Some(Chain::Canary)))
    }
}
