//! Reads legacy tables.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use nfnetlink::xtables::Rule;
use viprule_dataplane::iptables::{
    BaseChain, Key, Kind, Object, Observation, Part, Table, parse_save_of,
};
use viprule_dataplane::{Fingerprint, ObjectKey as _, Scope, State};

use super::{LegacyWriter, tables};
use crate::WriteError;

/// An object as asked for, and its text where it is a rule with a key of its own.
struct Seen<V> {
    value: V,
    text: Option<Box<str>>,
}

impl<V: From<Object>> From<Object> for Seen<V> {
    fn from(object: Object) -> Self {
        let text = match &object {
            Object::Rule(rule) => Some(rule.to_string().into()),
            Object::Rules(_) | Object::Shared => None,
        };
        let value = object.into();
        Self { value, text }
    }
}

/// What stands in a table's built-in chains: our rules by key, foreign ones as `None`.
pub(super) type Standing = BTreeMap<BaseChain, Vec<Option<Key>>>;

impl LegacyWriter {
    pub(super) fn observe_scope<V: From<Object>>(
        &mut self,
        scope: &Scope<Part>,
    ) -> Result<State<Key, V>, WriteError> {
        let started = Instant::now();
        let mut seen = Vec::new();
        for table in self.tables_within(scope) {
            let state = self.learn(table)?;
            seen.extend(
                state
                    .into_iter()
                    .filter(|(key, _)| scope.contains(&key.part())),
            );
        }
        let seen = seen.into_iter().collect();
        if *scope == Scope::Everything {
            self.watch.looked(started, &seen);
        }
        Ok(seen)
    }

    fn tables_within(&self, scope: &Scope<Part>) -> BTreeSet<Table> {
        let all = self.families.iter().flat_map(|family| {
            let family = *family;
            Kind::ALL.map(move |kind| Table { family, kind })
        });
        match scope {
            Scope::Everything => all.collect(),
            Scope::Parts(parts) => {
                let of = |part: &Part| match part {
                    Part::Owned(table, _) | Part::Base(table, _) => *table,
                };
                let wanted: BTreeSet<Table> = parts.iter().map(of).collect();
                all.filter(|table| wanted.contains(table)).collect()
            }
        }
    }

    /// What a table holds; `None` where there is no such table.
    pub(super) fn text_of(&self, table: Table) -> Result<Option<String>, WriteError> {
        if !tables::exists(table)? {
            return Ok(None);
        }
        self.tools.save(table.family, Some(table)).map(Some)
    }

    /// Reads a table, and learns the texts of what will be deleted by text.
    fn learn<V: From<Object>>(&mut self, table: Table) -> Result<State<Key, V>, WriteError> {
        self.rules.retain(|key, _| key.table() != table);
        let Some(text) = self.text_of(table)? else {
            return Ok(State::default());
        };
        let state =
            parse_save_of::<Seen<V>>(self.layout, table.family, &text).map_err(|error| {
                WriteError::Failed {
                    operation: format!("reading the legacy table {table}"),
                    reason: error.to_string(),
                }
            })?;
        let rules = &mut self.rules;
        let values = state.into_iter().map(|(key, Seen { value, text })| {
            if let (Key::Rule { .. }, Some(text)) = (key, text) {
                rules.insert(key, text);
            }
            (key, value)
        });
        Ok(values.collect())
    }

    /// Learns a table's texts anew.
    pub(super) fn learn_texts(&mut self, table: Table) -> Result<(), WriteError> {
        self.learn::<Fingerprint>(table).map(|_| ())
    }

    /// What stands in a table's built-in chains now.
    pub(super) fn standing(&self, table: Table) -> Result<Standing, WriteError> {
        let text = self.text_of(table)?.unwrap_or_default();
        let mut observation = Observation::<Fingerprint>::new(self.layout);
        let mut standing = Standing::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("-A ")) {
            let (name, body) = line.split_once(' ').unwrap_or((line, ""));
            if let Some(base) = BaseChain::parse(name) {
                let rule = Rule::parse(table.family, body).ok();
                let key = rule.and_then(|rule| observation.base_rule(table, base, &rule));
                standing.entry(base).or_default().push(key);
            }
        }
        Ok(standing)
    }
}
