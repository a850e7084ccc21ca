//! Reads legacy tables.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use nfnetlink::Family;
use nfnetlink::xtables::Rule;
use viprule_dataplane::netfilter::{
    BaseChain, Key, Kind, Object, Observation, Piece, Table, parse_save,
};
use viprule_dataplane::{Fingerprint, ObjectKey as _, Scope, State};

use super::{LegacyWriter, tables};
use crate::WriteError;

/// An object as asked for, and its text where it is a rule with a key of its own.
struct Seen<V> {
    value: V,
    text: Option<Box<str>>,
}

impl<V: From<(Key, Object)>> From<(Key, Object)> for Seen<V> {
    fn from((key, object): (Key, Object)) -> Self {
        let text = match &object {
            Object::Rule(rule) => Some(rule.to_string().into()),
            Object::Rules(_) | Object::Shared => None,
        };
        let value = (key, object).into();
        Self { value, text }
    }
}

/// What stands in a table's built-in chains: our rules by key, foreign ones as `None`.
pub(super) type Standing = BTreeMap<BaseChain, Vec<Option<Key>>>;

impl LegacyWriter {
    pub(super) fn observe_scope<V: From<(Key, Object)>>(
        &mut self,
        scope: &Scope<Piece>,
    ) -> Result<State<Key, V>, WriteError> {
        let started = Instant::now();
        let mut seen = Vec::new();
        for family in self.families.clone() {
            let state = self.learn(family, &tables_within(family, scope))?;
            seen.extend(
                state
                    .into_iter()
                    .filter(|(key, _)| scope.contains(&key.piece())),
            );
        }
        let seen = seen.into_iter().collect();
        if *scope == Scope::Everything {
            self.watch.looked(started, &seen);
        }
        Ok(seen)
    }

    /// What a table holds; `None` where there is no such table.
    pub(super) fn text_of(&self, table: Table) -> Result<Option<String>, WriteError> {
        if !tables::exists(table)? {
            return Ok(None);
        }
        self.tools.save(table.family, Some(table)).map(Some)
    }

    /// Reads tables of a family, and learns the texts of what will be deleted by text. Several are
    /// read with all that exist: to start a program takes longer than to read one in vain.
    fn learn<V: From<(Key, Object)>>(
        &mut self,
        family: Family,
        wanted: &BTreeSet<Table>,
    ) -> Result<State<Key, V>, WriteError> {
        self.rules.retain(|key, _| !wanted.contains(&key.table()));
        let present = tables::present(family)?;
        let mut there = wanted.iter().filter(|it| present.contains(it.kind.name()));
        let table = match (there.next(), there.next()) {
            (None, _) => return Ok(State::default()),
            (only, None) => only.copied(),
            _ => None,
        };
        let text = self.tools.save(family, table)?;
        let state = parse_save::<Seen<V>>(self.layout, family, &text).map_err(|error| {
            WriteError::failed(format!("reading the legacy tables of {family}"), error)
        })?;
        let rules = &mut self.rules;
        let read = state
            .into_iter()
            .filter(|(key, _)| wanted.contains(&key.table()));
        let values = read.map(|(key, Seen { value, text })| {
            if let (Key::Rule { .. }, Some(text)) = (key, text) {
                rules.insert(key, text);
            }
            (key, value)
        });
        Ok(values.collect())
    }

    /// Learns a table's texts anew.
    pub(super) fn learn_texts(&mut self, table: Table) -> Result<(), WriteError> {
        self.learn::<Fingerprint>(table.family, &[table].into())
            .map(|_| ())
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

fn tables_within(family: Family, scope: &Scope<Piece>) -> BTreeSet<Table> {
    match scope {
        Scope::Everything => Kind::ALL.map(|kind| Table { family, kind }).into(),
        Scope::Pieces(pieces) => {
            let of = |piece: &Piece| match piece {
                Piece::Owned(table, _) | Piece::Base(table, _) => *table,
            };
            let wanted = pieces.iter().map(of);
            wanted.filter(|table| table.family == family).collect()
        }
    }
}
