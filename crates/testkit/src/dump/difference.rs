//! Where two rulesets differ, one line each.

use super::{Chain, Dump};
use std::collections::BTreeSet;
use std::fmt;

/// One difference between two rulesets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A chain is only in the first.
    MissingChain {
        /// Its table.
        table: String,
        /// Its name.
        chain: String,
    },
    /// A chain is only in the second.
    ExtraChain {
        /// Its table.
        table: String,
        /// Its name.
        chain: String,
    },
    /// The same chain has another policy or other rules.
    Changed {
        /// Its table.
        table: String,
        /// Its name.
        chain: String,
        /// As it is in the first.
        from: Chain,
        /// As it is in the second.
        to: Chain,
    },
}

pub(super) fn differences(from: &Dump, to: &Dump) -> Vec<Difference> {
    let keys = |dump: &Dump| -> BTreeSet<(String, String)> {
        let tables = dump.tables.iter();
        tables
            .flat_map(|(name, table)| table.chains.keys().map(move |c| (name.clone(), c.clone())))
            .collect()
    };
    let find = |dump: &Dump, table: &str, chain: &str| -> Option<Chain> {
        dump.tables.get(table)?.chains.get(chain).cloned()
    };
    let all: BTreeSet<_> = keys(from).union(&keys(to)).cloned().collect();
    let compare = |(table, chain): (String, String)| match (
        find(from, &table, &chain),
        find(to, &table, &chain),
    ) {
        (Some(from), Some(to)) if from != to => Some(Difference::Changed {
            table,
            chain,
            from,
            to,
        }),
        (Some(_), None) => Some(Difference::MissingChain { table, chain }),
        (None, Some(_)) => Some(Difference::ExtraChain { table, chain }),
        _ => None,
    };
    all.into_iter().filter_map(compare).collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingChain { table, chain } => write!(f, "{table}: - chain {chain}"),
            Self::ExtraChain { table, chain } => write!(f, "{table}: + chain {chain}"),
            Self::Changed {
                table,
                chain,
                from,
                to,
            } => {
                write!(f, "{table}: chain {chain}")?;
                if from.policy != to.policy {
                    write!(f, "\n- policy {:?}\n+ policy {:?}", from.policy, to.policy)?;
                }
                if from.rules == to.rules {
                    return Ok(());
                }
                // Common head and tail are left out; the middle tells enough.
                let head = common(from.rules.iter(), to.rules.iter());
                let (from, to) = (&from.rules[head..], &to.rules[head..]);
                let tail = common(from.iter().rev(), to.iter().rev());
                write!(f, ", from rule {}", head + 1)?;
                for rule in &from[..from.len() - tail] {
                    write!(f, "\n- {rule}")?;
                }
                for rule in &to[..to.len() - tail] {
                    write!(f, "\n+ {rule}")?;
                }
                Ok(())
            }
        }
    }
}

fn common<'a>(
    left: impl Iterator<Item = &'a String>,
    right: impl Iterator<Item = &'a String>,
) -> usize {
    left.zip(right)
        .take_while(|(left, right)| left == right)
        .count()
}
