//! Differences, printed kind by kind and chain by chain.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use nfnetlink::Family;
use nfnetlink::xtables::Rule;
use serde::Serialize;
use similar::{ChangeTag, TextDiff};
use viprule_dataplane::netfilter::{Key, Object, Place, place_of};
use viprule_dataplane::{Diff, Write, ipvs};
use viprule_source::escape;

use super::facility::section_name;

/// What differs.
#[derive(Debug, Serialize)]
pub(super) struct Changes {
    mode: &'static str,
    in_sync: bool,
    /// IPVS mode's objects by kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sections: Vec<SectionChange>,
    chains: Vec<ChainChange>,
    /// What an earlier proxy left elsewhere, to be removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    leavings: Vec<String>,
}

/// What differs among the objects that one tool tells of.
#[derive(Debug, Serialize)]
struct SectionChange {
    section: &'static str,
    #[serde(skip)]
    heading: &'static str,
    lines: Vec<Line>,
}

/// What differs in one chain.
#[derive(Debug, Serialize)]
struct ChainChange {
    family: &'static str,
    table: &'static str,
    chain: String,
    lines: Vec<Line>,
}

/// One line of a tool's output.
#[derive(Debug, Serialize)]
struct Line {
    op: Op,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Op {
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

/// The family as flags and JSON name it.
pub(super) const fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}

impl Changes {
    /// What differs in iptables mode.
    pub(super) fn of_chains(diff: &Diff<'_, Key, Object, Object>) -> Self {
        let mut chains: BTreeMap<_, ChainChange> = BTreeMap::new();
        let deletes = diff
            .deletes
            .iter()
            .map(|(key, old)| (*key, Some(*old), None));
        let writes = diff
            .writes
            .iter()
            .map(|write| (write.key, write.old, Some(write.new)));
        let mut all: Vec<_> = deletes.chain(writes).collect();
        all.sort_by_cached_key(|(key, old, new)| standing(key, new.or(*old)));
        for (key, old, new) in all {
            // Table by table, what leads to our chains first, then by name as iptables-save does.
            let base = matches!(key, Key::Jump { .. });
            let place = (key.table(), !base, key.chain_name());
            let chain = chains.entry(place).or_insert_with(|| ChainChange {
                family: family_name(key.table().family),
                table: key.table().kind.name(),
                chain: key.chain_name(),
                lines: Vec::new(),
            });
            chain.lines.extend(lines(key, old, new));
        }
        let chains = chains.into_values().collect();
        Self {
            mode: "iptables",
            in_sync: diff.is_empty(),
            sections: Vec::new(),
            chains,
            leavings: Vec::new(),
        }
    }

    /// What differs in IPVS mode.
    pub(super) fn of_ipvs(diff: &Diff<'_, ipvs::Key, ipvs::Object, ipvs::Object>) -> Self {
        let mut sections: BTreeMap<ipvs::Section, Vec<Line>> = BTreeMap::new();
        let mut chains = Diff {
            writes: Vec::new(),
            deletes: Vec::new(),
        };
        let mut add = |key: &ipvs::Key, op: Op, object: &ipvs::Object| {
            let lines = sections.entry(ipvs::section(key)).or_default();
            lines.extend(ipvs::line(key, object).map(|text| Line { op, text }));
        };
        // As the tools list them.
        for (key, old) in diff.deletes.iter().rev() {
            match (key, old) {
                (ipvs::Key::Netfilter(key), ipvs::Object::Netfilter(old)) => {
                    chains.deletes.push((key, old));
                }
                _ => add(key, Op::Remove, old),
            }
        }
        for Write { key, old, new } in &diff.writes {
            if let (ipvs::Key::Netfilter(key), ipvs::Object::Netfilter(new)) = (key, new) {
                let old = match old {
                    Some(ipvs::Object::Netfilter(old)) => Some(old),
                    _ => None,
                };
                chains.writes.push(Write { key, old, new });
                continue;
            }
            if let Some(old) = old {
                add(key, Op::Remove, old);
            }
            add(key, Op::Add, new);
        }
        let sections = sections.into_iter().filter_map(|(section, lines)| {
            Some(SectionChange {
                section: section_name(section)?,
                heading: section.heading().trim_start_matches("# "),
                lines,
            })
        });
        Self {
            mode: "ipvs",
            in_sync: diff.is_empty(),
            sections: sections.collect(),
            ..Self::of_chains(&chains)
        }
    }

    /// With what an earlier proxy left elsewhere.
    pub(super) fn with_leavings(mut self, leavings: Vec<String>) -> Self {
        self.in_sync &= leavings.is_empty();
        self.leavings = leavings;
        self
    }

    /// As a unified diff.
    pub(super) fn to_text(&self, from: &str, to: &str) -> String {
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
        for ChainChange {
            family,
            table,
            chain,
            lines,
        } in &self.chains
        {
            add(&format!("{family} {table} {chain}"), lines);
        }
        if !self.leavings.is_empty() {
            let _ = writeln!(text, "@@ left by an earlier proxy @@");
        }
        for leaving in &self.leavings {
            let _ = writeln!(text, "-{}", escape::line(leaving));
        }
        text
    }
}

/// Where an object's lines stand within their chain: the chain itself, then rules by their place
/// and text.
fn standing(key: &Key, object: Option<&Object>) -> (u8, String) {
    match (key, object) {
        (Key::Chain { .. }, _) => (0, String::new()),
        (Key::Jump { rank, .. }, _) => (*rank, String::new()),
        (Key::Rule { table, chain, .. }, Some(Object::Rule(rule))) => {
            let end = place_of(*table, *chain, rule) == Place::End;
            (if end { 2 } else { 1 }, rule.to_string())
        }
        (Key::Rule { .. }, _) => (1, String::new()),
    }
}

fn lines(key: &Key, old: Option<&Object>, new: Option<&Object>) -> Vec<Line> {
    let name = key.chain_name();
    let texts = |object: Option<&Object>| -> Vec<String> {
        let declaration = matches!(key, Key::Chain { .. }).then(|| format!(":{name} - [0:0]"));
        let rules = object.map(Object::rules).unwrap_or_default().iter();
        let rules = rules.map(|rule: &Rule| format!("-A {name} {rule}").trim_end().to_owned());
        object.and(declaration).into_iter().chain(rules).collect()
    };
    let (old, new) = (texts(old), texts(new));
    let (old, new): (Vec<&str>, Vec<&str>) = (
        old.iter().map(String::as_str).collect(),
        new.iter().map(String::as_str).collect(),
    );
    TextDiff::from_slices(&old, &new)
        .iter_all_changes()
        .map(|change| {
            let op = match change.tag() {
                ChangeTag::Equal => Op::Keep,
                ChangeTag::Delete => Op::Remove,
                ChangeTag::Insert => Op::Add,
            };
            Line {
                op,
                text: change.value().to_owned(),
            }
        })
        .collect()
}
