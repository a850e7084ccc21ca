//! Tables, sets and chains as they are printed.

use std::collections::BTreeMap;
use std::fmt::Display;

use nfnetlink::Family;
use nfnetlink::nftables::native::{self, SetListing};
use serde_json::{Value, json};
use viprule_dataplane::nftables::{Condition, Desired, Key, Object, Piece, Set, TABLE, listing};
use viprule_dataplane::{Diff, ObjectKey as _};

use super::NftablesMode;
use crate::mode::Mode as _;
use crate::mode::chains::family_name;
use crate::mode::changes::{ChainChange, Changes, Line, SectionChange, SetChange, each};

/// The tables of these families as `nft list ruleset` prints them.
pub(super) fn text(families: &[Family], state: &Desired) -> String {
    let tables = families.iter().filter_map(|family| listing(*family, state));
    tables.map(|table| table.to_string()).collect()
}

/// Set by set and chain by chain.
pub(super) fn json(state: &Desired) -> Value {
    let (mut sets, mut chains) = (Vec::new(), Vec::new());
    for family in Family::ALL {
        let Some(table) = listing(family, state) else {
            continue;
        };
        for listed in &table.sets {
            let elements = listed.elements.iter();
            let elements = elements.map(|one| listed.set.element_text(family, one).to_string());
            sets.push(json!({
                "family": family_name(family),
                "table": TABLE,
                "set": listed.set.name,
                "properties": properties(family, &listed.set),
                "elements": elements.collect::<Vec<_>>(),
            }));
        }
        for listed in &table.chains {
            let rules = listed
                .rules
                .iter()
                .map(|rule| rule.text(family).to_string());
            let mut chain = json!({
                "family": family_name(family),
                "table": TABLE,
                "chain": listed.name,
                "rules": rules.collect::<Vec<_>>(),
            });
            if let Some(base) = listed.base {
                chain["base"] = base.to_string().into();
            }
            chains.push(chain);
        }
    }
    json!({ "sets": sets, "chains": chains })
}

/// What differs, set by set and chain by chain.
pub(super) fn changes(diff: &Diff<'_, Key, Object, Object>) -> Changes {
    let mut tables = Vec::new();
    let mut sets: BTreeMap<Set, SetChange> = BTreeMap::new();
    let mut chains: BTreeMap<Piece, ChainChange> = BTreeMap::new();
    let mut all = each(diff);
    all.sort_by_key(|(key, _, _)| *key);
    for (key, old, new) in all {
        let [old, new] = [old, new].map(|it| it.map_or_else(Vec::new, |it| lines(key, it)));
        let (piece, family) = (key.piece(), family_name(key.family()));
        let chain = |name: &dyn Display| ChainChange {
            family,
            table: TABLE,
            chain: name.to_string(),
            backend: None,
            lines: Vec::new(),
        };
        let to = match piece {
            Piece::Table(_) => &mut tables,
            Piece::Set(set) => {
                let change = sets.entry(set).or_insert_with(|| SetChange {
                    family,
                    table: TABLE,
                    set: set.name.to_string(),
                    lines: Vec::new(),
                });
                &mut change.lines
            }
            Piece::Chain(_, name) => {
                let change = chains.entry(piece).or_insert_with(|| chain(&name));
                &mut change.lines
            }
            Piece::BaseChain(_, name) => {
                let change = chains.entry(piece).or_insert_with(|| chain(&name));
                &mut change.lines
            }
        };
        to.extend(Line::changes(&old, &new));
    }
    let mut changes = Changes::of(NftablesMode::NAME, diff);
    if !tables.is_empty() {
        changes.sections.push(SectionChange {
            section: "tables",
            heading: "nft list tables",
            lines: tables,
        });
    }
    changes.sets = sets.into_values().collect();
    changes.chains = chains.into_values().collect();
    changes
}

/// An object as nft prints it, with a line that says what it is in front of what it has.
fn lines(key: &Key, object: &Object) -> Vec<String> {
    let family = key.family();
    let rules = || object.rules().iter().map(|it| it.text(family).to_string());
    let chain = |name: &dyn Display| {
        let base = match object {
            Object::Chain { base, .. } => base.map(|base| base.to_string()),
            _ => None,
        };
        let head = [format!("chain {name}")].into_iter().chain(base);
        head.chain(rules()).collect()
    };
    match (key, object) {
        (Key::Table(family), Object::Table(condition)) => {
            let condition = match condition {
                Condition::Ready => "",
                Condition::Dormant => " (dormant)",
                Condition::Unusable => " (with sets or chains of our names that are no such ones)",
            };
            vec![format!("table {family} {TABLE}{condition}")]
        }
        (Key::Set(_), Object::Set(set)) => {
            let kind = if set.is_map() { "map" } else { "set" };
            let head = [format!("{kind} {}", set.name)].into_iter();
            head.chain(properties(family, set)).collect()
        }
        (Key::Element(element), Object::Element(content)) => {
            let listed = element.encode(content).into();
            let text = element.set().spec().element_text(family, &listed);
            vec![text.to_string()]
        }
        (Key::Chain { chain: name, .. }, _) => chain(name),
        (Key::BaseChain { chain: name, .. }, _) => chain(name),
        _ => rules().collect(),
    }
}

/// What a set is made with, as nft prints it within the set.
fn properties(family: Family, set: &native::Set) -> Vec<String> {
    let empty = SetListing {
        set: set.clone(),
        elements: Vec::new(),
    };
    let text = empty.text(family).to_string();
    let inner = text.lines().filter_map(|line| line.strip_prefix("\t\t"));
    inner.map(str::to_owned).collect()
}
