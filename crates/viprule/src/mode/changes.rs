//! Differences, printed kind by kind and chain by chain.

use std::fmt::Write as _;

use serde::Serialize;
use similar::{ChangeTag, TextDiff};
use viprule_dataplane::Diff;
use viprule_source::escape;

/// What differs.
#[derive(Debug, Serialize)]
pub(crate) struct Changes {
    mode: &'static str,
    in_sync: bool,
    /// Objects that are in no set and no chain, by kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sections: Vec<SectionChange>,
    /// Sets of nftables mode.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sets: Vec<SetChange>,
    pub(super) chains: Vec<ChainChange>,
    /// What an earlier proxy left elsewhere, to be removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    leftovers: Vec<String>,
}

/// What differs among the objects that one tool tells of.
#[derive(Debug, Serialize)]
pub(super) struct SectionChange {
    pub(super) section: &'static str,
    #[serde(skip)]
    pub(super) heading: &'static str,
    pub(super) lines: Vec<Line>,
}

/// What differs in one set.
#[derive(Debug, Serialize)]
pub(super) struct SetChange {
    pub(super) family: &'static str,
    pub(super) table: &'static str,
    pub(super) set: String,
    pub(super) lines: Vec<Line>,
}

/// What differs in one chain.
#[derive(Debug, Serialize)]
pub(super) struct ChainChange {
    pub(super) family: &'static str,
    pub(super) table: &'static str,
    pub(super) chain: String,
    /// Which of the two iptables, where it is not the node's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) backend: Option<String>,
    pub(super) lines: Vec<Line>,
}

/// One line of a tool's output.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) op: Op,
    pub(super) text: String,
}

impl Line {
    /// Lines as they were and as they shall be.
    pub(super) fn changes(old: &[String], new: &[String]) -> Vec<Self> {
        let [old, new] = [old, new].map(|it| it.iter().map(String::as_str).collect::<Vec<_>>());
        let diff = TextDiff::from_slices(&old, &new);
        let changes = diff.iter_all_changes().map(|change| Self {
            op: match change.tag() {
                ChangeTag::Equal => Op::Keep,
                ChangeTag::Delete => Op::Remove,
                ChangeTag::Insert => Op::Add,
            },
            text: change.value().to_owned(),
        });
        changes.collect()
    }
}

/// What happens to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Op {
    Keep,
    Remove,
    Add,
}

impl Op {
    const fn sign(self) -> char {
        match self {
            Self::Keep => ' ',
            Self::Remove => '-',
            Self::Add => '+',
        }
    }
}

/// An object as it is and as it shall be.
pub(super) type Each<'d, K, O> = (&'d K, Option<&'d O>, Option<&'d O>);

/// Everything that a diff tells, first what goes.
pub(super) fn each<'d, K, O>(diff: &Diff<'d, K, O, O>) -> Vec<Each<'d, K, O>> {
    let deletes = diff.deletes.iter();
    let deletes = deletes.map(|(key, old)| (*key, Some(*old), None));
    let writes = diff.writes.iter();
    let writes = writes.map(|write| (write.key, write.old, Some(write.new)));
    deletes.chain(writes).collect()
}

impl Changes {
    /// Nothing differs in a mode, or in `all`.
    pub(crate) const fn none(mode: &'static str) -> Self {
        Self {
            mode,
            in_sync: true,
            sections: Vec::new(),
            sets: Vec::new(),
            chains: Vec::new(),
            leftovers: Vec::new(),
        }
    }

    /// What a diff of a mode says, without the lines.
    pub(super) fn of<K, A, B>(mode: &'static str, diff: &Diff<'_, K, A, B>) -> Self {
        Self {
            in_sync: diff.is_empty(),
            ..Self::none(mode)
        }
    }

    /// True where nothing differs.
    pub(crate) const fn in_sync(&self) -> bool {
        self.in_sync
    }

    /// Adds what an earlier proxy left elsewhere.
    pub(crate) fn add_leftovers(&mut self, leftovers: Vec<String>) {
        self.in_sync &= leftovers.is_empty();
        self.leftovers.extend(leftovers);
    }

    /// Its chains are in this iptables, which is not the node's own.
    pub(super) fn over(&mut self, backend: &str) {
        for chain in &mut self.chains {
            chain.backend = Some(backend.to_owned());
        }
    }

    /// Adds what differs in other places.
    pub(crate) fn join(&mut self, other: Self) {
        self.in_sync &= other.in_sync;
        self.sections.extend(other.sections);
        self.sets.extend(other.sets);
        self.chains.extend(other.chains);
        self.leftovers.extend(other.leftovers);
    }

    /// As a unified diff.
    pub(crate) fn to_text(&self, from: &str, to: &str) -> String {
        let mut text = String::new();
        if self.in_sync {
            return text;
        }
        let _ = writeln!(text, "--- {}\n+++ {}", escape::line(from), escape::line(to));
        let mut add = |heading: &str, lines: &[Line]| {
            let _ = writeln!(text, "@@ {} @@", escape::line(heading));
            for Line { op, text: line } in lines {
                let _ = writeln!(text, "{}{}", op.sign(), escape::line(line));
            }
        };
        for SectionChange { heading, lines, .. } in &self.sections {
            add(heading, lines);
        }
        for SetChange {
            family,
            table,
            set,
            lines,
        } in &self.sets
        {
            add(&format!("{family} {table} set {set}"), lines);
        }
        for ChainChange {
            family,
            table,
            chain,
            backend,
            lines,
        } in &self.chains
        {
            let over = backend.iter().map(|backend| format!(" over {backend}"));
            let over: String = over.collect();
            add(&format!("{family} {table} {chain}{over}"), lines);
        }
        if !self.leftovers.is_empty() {
            let _ = writeln!(text, "@@ left by an earlier proxy @@");
        }
        for leftover in &self.leftovers {
            let _ = writeln!(text, "-{}", escape::line(leftover));
        }
        text
    }
}
