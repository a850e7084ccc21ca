//! Sets, virtual servers, addresses and chains as they are printed.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use viprule_dataplane::ipvs::{Desired, Key, Object, Section, line, section, sections};
use viprule_dataplane::{Diff, Write, netfilter};

use super::IpvsMode;
use crate::mode::changes::{Changes, Line, Op, SectionChange};
use crate::mode::{Mode as _, chains};

/// Sets, virtual servers and addresses line by line, chains as in iptables mode.
pub(super) fn json(state: &Desired) -> Value {
    let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (section, text) in sections(state) {
        if let Some(name) = section_name(section) {
            lines.insert(name, text.lines().map(str::to_owned).collect());
        }
    }
    let chains = chains::chains(&netfilter(state));
    let lines = |name| lines.get(name).cloned().unwrap_or_default();
    json!({
        "sets": lines("sets"),
        "servers": lines("servers"),
        "addresses": lines("addresses"),
        "chains": chains,
    })
}

/// What differs, in the order in which the tools list it.
pub(super) fn changes(diff: &Diff<'_, Key, Object, Object>) -> Changes {
    let mut changes = Changes::of(IpvsMode::NAME, diff);
    let mut sections: BTreeMap<Section, Vec<Line>> = BTreeMap::new();
    let mut rules = Diff {
        writes: Vec::new(),
        deletes: Vec::new(),
    };
    let mut add = |key: &Key, op: Op, object: &Object| {
        let lines = sections.entry(section(key)).or_default();
        lines.extend(line(key, object).map(|text| Line { op, text }));
    };
    for (key, old) in diff.deletes.iter().rev() {
        match (key, old) {
            (Key::Netfilter(key), Object::Netfilter(old)) => rules.deletes.push((key, old)),
            _ => add(key, Op::Remove, old),
        }
    }
    for Write { key, old, new } in &diff.writes {
        if let (Key::Netfilter(key), Object::Netfilter(new)) = (key, new) {
            let old = match old {
                Some(Object::Netfilter(old)) => Some(old),
                _ => None,
            };
            rules.writes.push(Write { key, old, new });
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
    changes.sections = sections.collect();
    changes.chains = chains::changes(&rules);
    changes
}

/// What JSON calls the sections that are not chains.
const fn section_name(section: Section) -> Option<&'static str> {
    match section {
        Section::Sets => Some("sets"),
        Section::Servers => Some("servers"),
        Section::Addresses => Some("addresses"),
        Section::Rules(_) => None,
    }
}

/// The chains and rules of a state.
fn netfilter(state: &Desired) -> netfilter::Desired {
    let objects = state.iter().filter_map(|object| match object {
        (Key::Netfilter(key), Object::Netfilter(object)) => Some((*key, object.clone())),
        _ => None,
    });
    objects.collect()
}
