//! States as `iptables-save` text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use nfnetlink::Family;
use nfnetlink::xtables::{ParseError, Rule};

use super::Desired;
use super::key::{BaseChain, Key, Kind, Object, Table};
use super::observe::Observation;
use super::place::{Place, place_of};
use crate::ownership::{Chain, Layout};
use crate::state::State;

/// A line of a saved dump that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A rule outside of a table.
    #[error("line {line}: a rule before the first *TABLE line")]
    NoTable {
        /// 1-based.
        line: usize,
    },
    /// A rule that isn't understood.
    #[error("line {line}: {error}")]
    Rule {
        /// 1-based.
        line: usize,
        /// What is wrong.
        error: ParseError,
    },
}

/// Reads what `iptables-save` (or `ip6tables-save`) printed, as the state of a mode. Foreign chains
/// are passed over.
pub fn parse_save<V: From<(Key, Object)>>(
    layout: Layout,
    family: Family,
    text: &str,
) -> Result<State<Key, V>, SaveError> {
    let mut observation = Observation::new(layout);
    let mut table = None;
    let mut chains: BTreeMap<(Table, Chain), Vec<Rule>> = BTreeMap::new();
    for (line, text) in text
        .lines()
        .enumerate()
        .map(|(index, text)| (index + 1, text.trim()))
    {
        if let Some(name) = text.strip_prefix('*') {
            table = Some(Kind::parse(name).map(|kind| Table { family, kind }));
        } else if let Some(declaration) = text.strip_prefix(':') {
            let name = declaration.split_whitespace().next().unwrap_or_default();
            if let (Some(Some(table)), Some(chain)) = (table, Chain::parse(name)) {
                chains.entry((table, chain)).or_default();
            }
        } else if let Some(rule) = rule_text(text) {
            let Some(table) = table.ok_or(SaveError::NoTable { line })? else {
                continue;
            };
            let (name, body) = rule.split_once(' ').unwrap_or((rule, ""));
            let (chain, base) = (Chain::parse(name), BaseChain::parse(name));
            if chain.is_none() && base.is_none() {
                continue;
            }
            let rule = match Rule::parse(family, body) {
                Ok(rule) => rule,
                // Foreign rules in built-in chains may use anything.
                Err(_) if base.is_some() => continue,
                Err(error) => return Err(SaveError::Rule { line, error }),
            };
            if let Some(chain) = chain {
                chains.entry((table, chain)).or_default().push(rule);
            } else if let Some(base) = base {
                observation.base_rule(table, base, &rule);
            }
        }
    }
    for ((table, chain), rules) in chains {
        observation.chain(table, chain, rules);
    }
    Ok(observation.finish())
}

/// What stands behind `-A `, with or without counters before it.
fn rule_text(line: &str) -> Option<&str> {
    let line = match line.strip_prefix('[') {
        Some(counted) => counted.split_once("] ").map_or("", |(_, rule)| rule),
        None => line,
    };
    line.strip_prefix("-A ")
}

/// Prints one family of a state as `iptables-save` would, each table's chains by name.
pub fn print_save(family: Family, state: &Desired) -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        print_table(&mut text, Table { family, kind }, state);
    }
    text
}

fn print_table(text: &mut String, table: Table, state: &Desired) {
    let mut bases: BTreeMap<BaseChain, Vec<&Rule>> = BTreeMap::new();
    let mut chains: BTreeMap<String, [Vec<&Rule>; 3]> = BTreeMap::new();
    for (key, object) in state.iter().filter(|(key, _)| key.table() == table) {
        match (key, object) {
            (Key::Chain { .. }, _) => {
                let [whole, ..] = chains.entry(key.chain_name()).or_default();
                whole.extend(object.rules());
            }
            (Key::Rule { chain, .. }, Object::Rule(rule)) => {
                let [_, head, end] = chains.entry(key.chain_name()).or_default();
                match place_of(table, *chain, rule) {
                    Place::Head => head.push(rule),
                    Place::End => end.push(rule),
                }
            }
            (Key::Jump { base, .. }, _) => bases.entry(*base).or_default().extend(object.rules()),
            (Key::Rule { .. }, _) => {}
        }
    }
    if chains.is_empty() && bases.is_empty() {
        return;
    }
    let _ = writeln!(text, "*{}", table.kind.name());
    for base in bases.keys() {
        let _ = writeln!(text, ":{} ACCEPT [0:0]", base.name());
    }
    for name in chains.keys() {
        let _ = writeln!(text, ":{name} - [0:0]");
    }
    for (base, rules) in &bases {
        for rule in rules {
            print_rule(text, base.name(), rule);
        }
    }
    for (name, [whole, head, end]) in &mut chains {
        // Rules of Services have no order of their own: print them so that a reader finds them.
        head.sort_by_cached_key(ToString::to_string);
        end.sort_by_cached_key(ToString::to_string);
        for rule in whole.iter().chain(head.iter()).chain(end.iter()) {
            print_rule(text, name, rule);
        }
    }
    text.push_str("COMMIT\n");
}

fn print_rule(text: &mut String, chain: &str, rule: &Rule) {
    let line = format!("-A {chain} {rule}");
    let _ = writeln!(text, "{}", line.trim_end());
}
