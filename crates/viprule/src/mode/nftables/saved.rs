//! What `nft list table` and `nft list ruleset` printed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use nfnetlink::Family;
use nfnetlink::nftables::native::Listing;
use viprule_dataplane::nftables::{Desired, Key, TABLE, observed};

use super::{NftablesMode, settings};
use crate::config::Resolved;
use crate::mode::Saved;

/// Reads any number of files. One that has nothing but a table of ours tells of its family alone;
/// any other one is a listing of all tables, and tells of each family.
pub(super) fn read(paths: &[PathBuf], resolved: &Resolved) -> anyhow::Result<Saved<NftablesMode>> {
    let wanted = &resolved.common.families;
    let (mut state, mut read) = (Desired::default(), BTreeSet::new());
    let mut told = BTreeSet::new();
    for path in paths {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let tables = tables(&text).with_context(|| path.display().to_string())?;
        match tables[..] {
            [
                Table {
                    ours: Some(only), ..
                },
            ] => drop(told.insert(only)),
            _ => told.extend(wanted.iter().copied()),
        }
        for Table { ours, text } in tables {
            let Some(family) = ours else {
                continue;
            };
            anyhow::ensure!(
                read.insert(family),
                "--against: the table {family} {TABLE} is there twice; give one listing of it"
            );
            let listing = Listing::parse(&text).with_context(|| path.display().to_string())?;
            state = state.merged(observed(&listing));
        }
    }
    let mut settings = settings(resolved, None);
    settings.common.families = told.iter().copied().collect();
    let shows = move |key: &Key| told.contains(&key.family());
    Ok(Saved {
        state: state.filter(&shows),
        settings,
        shows: Box::new(shows),
    })
}

/// A table as it stands in a listing.
struct Table {
    /// Its family, where it is ours.
    ours: Option<Family>,
    /// Its text, behind as many empty lines as there are lines before it.
    text: String,
}

/// The tables of a listing. What is in those of others is not read: it may be more than there are
/// types for.
fn tables(text: &str) -> anyhow::Result<Vec<Table>> {
    let (mut tables, mut open) = (Vec::new(), None::<Table>);
    for (index, line) in text.lines().enumerate() {
        if let Some(table) = &mut open {
            if table.ours.is_some() {
                table.text.push_str(line);
                table.text.push('\n');
            }
            if line == "}" {
                tables.extend(open.take());
            }
        } else if let Some(table) = Table::begin(line, index) {
            open = Some(table);
        } else {
            // nft warns of tables that other programs own.
            let passed = line.trim().is_empty() || line.starts_with('#');
            anyhow::ensure!(
                passed,
                "line {}: expected a table as `nft list ruleset` prints it",
                index + 1
            );
        }
    }
    anyhow::ensure!(open.is_none(), "the text ends within a table");
    Ok(tables)
}

impl Table {
    /// A table that this line begins; `None` where it begins none.
    fn begin(line: &str, index: usize) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (Some("table"), Some(family), Some(name), Some("{")) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return None;
        };
        let mut ours = Family::ALL.into_iter().filter(|_| name == TABLE);
        let ours = ours.find(|it| it.to_string() == family);
        let before = "\n".repeat(ours.map_or(0, |_| index));
        Some(Self {
            ours,
            text: format!("{before}{line}\n"),
        })
    }
}
