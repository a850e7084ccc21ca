//! Chains and rules as they are printed, in any mode that has them.

use std::collections::BTreeMap;

use nfnetlink::Family;
use nfnetlink::xtables::Rule;
use serde::Serialize;
use viprule_dataplane::Diff;
use viprule_dataplane::netfilter::{Desired, Key, Object, Place, place_of};

use super::changes::{ChainChange, Changes, Line, each};

/// The family as flags and JSON name it.
pub(super) const fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Chain {
    family: &'static str,
    table: &'static str,
    #[serde(rename = "chain")]
    name: String,
}

/// A chain with its rules.
#[derive(Debug, Serialize)]
pub(super) struct Rules {
    #[serde(flatten)]
    chain: Chain,
    rules: Vec<String>,
}

/// Objects chain by chain.
pub(super) fn chains(state: &Desired) -> Vec<Rules> {
    let mut chains: BTreeMap<Chain, Vec<String>> = BTreeMap::new();
    for (key, object) in state {
        let table = key.table();
        let (family, table) = (family_name(table.family), table.kind.name());
        let chain = Chain {
            family,
            table,
            name: key.chain_name(),
        };
        let rules = object.rules().iter().map(ToString::to_string);
        chains.entry(chain).or_default().extend(rules);
    }
    chains
        .into_iter()
        .map(|(chain, rules)| Rules { chain, rules })
        .collect()
}

/// What differs in a mode that has nothing but chains.
pub(super) fn changed(mode: &'static str, diff: &Diff<'_, Key, Object, Object>) -> Changes {
    let mut changed = Changes::of(mode, diff);
    changed.chains = changes(diff);
    changed
}

/// What differs, chain by chain.
pub(super) fn changes(diff: &Diff<'_, Key, Object, Object>) -> Vec<ChainChange> {
    let mut chains: BTreeMap<_, ChainChange> = BTreeMap::new();
    let mut all = each(diff);
    all.sort_by_cached_key(|(key, old, new)| standing(key, new.or(*old)));
    for (key, old, new) in all {
        // Table by table, what leads to our chains first, then by name as iptables-save does.
        let base = matches!(key, Key::Jump { .. });
        let place = (key.table(), !base, key.chain_name());
        let chain = chains.entry(place).or_insert_with(|| ChainChange {
            family: family_name(key.table().family),
            table: key.table().kind.name(),
            chain: key.chain_name(),
            backend: None,
            lines: Vec::new(),
        });
        chain.lines.extend(lines(key, old, new));
    }
    chains.into_values().collect()
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
    Line::changes(&texts(old), &texts(new))
}
