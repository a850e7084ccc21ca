//! What notifications tell of others.

use std::collections::BTreeSet;

use nfnetlink::nftables::{Change, Event, Object};
use viprule_dataplane::Scope;
use viprule_dataplane::iptables::{BaseChain, Kind, Part, Table};
use viprule_dataplane::ownership::Chain;

use crate::ForeignChanges;

/// How many programs a report names.
const NAMED: usize = 4;

#[derive(Debug)]
pub(super) struct Heard {
    /// The port of the socket that our commits go through.
    own: u32,
    /// The generation up to which we know what others did.
    generation: u32,
    /// What they touched of ours up to there and was not read since.
    touched: Scope<Part>,
    /// The commit that is being told touched something of ours.
    concerns: bool,
    /// Who did.
    by: Vec<String>,
    meanwhile: Meanwhile,
}

/// What others touched since a reading began.
#[derive(Debug)]
struct Meanwhile {
    parts: Scope<Part>,
    /// Tables whose chains came or went.
    tables: BTreeSet<Table>,
}

impl Meanwhile {
    fn nothing() -> Self {
        Self {
            parts: Scope::nothing(),
            tables: BTreeSet::new(),
        }
    }
}

impl Heard {
    /// Nothing yet, and nothing was done since this generation.
    pub(super) fn new(own: u32, generation: u32) -> Self {
        Self {
            own,
            generation,
            touched: Scope::nothing(),
            concerns: false,
            by: Vec::new(),
            meanwhile: Meanwhile::nothing(),
        }
    }

    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) const fn touched(&self) -> &Scope<Part> {
        &self.touched
    }

    /// True where something was done up to this generation that was not told.
    pub(super) fn is_behind(&self, generation: u32) -> bool {
        generation.wrapping_sub(self.generation).cast_signed() > 0
    }

    /// Something was done up to this generation, and nobody knows what.
    pub(super) fn lose_track(&mut self, generation: u32) {
        if self.is_behind(generation) {
            self.generation = generation;
        }
        self.concerns = false;
        self.touch(Scope::Everything);
    }

    /// All commits up to this generation were told or ours.
    pub(super) fn made(&mut self, generation: u32) {
        if self.is_behind(generation) {
            self.generation = generation;
        }
    }

    /// Everything is about to be read, at this generation or later.
    pub(super) fn accept_everything(&mut self, generation: u32) {
        self.made(generation);
        self.touched = Scope::nothing();
    }

    /// These pieces are about to be read.
    pub(super) fn accept(&mut self, parts: &BTreeSet<Part>) {
        if let Scope::Parts(touched) = &mut self.touched {
            touched.retain(|part| !parts.contains(part));
        }
    }

    pub(super) fn begin_reading(&mut self) {
        self.meanwhile = Meanwhile::nothing();
    }

    pub(super) fn touched_meanwhile(&self, part: &Part) -> bool {
        self.meanwhile.parts.contains(part)
    }

    pub(super) fn chains_changed_meanwhile(&self, table: Table) -> bool {
        self.meanwhile.parts == Scope::Everything || self.meanwhile.tables.contains(&table)
    }

    /// What others touched since the last question.
    pub(super) fn report(&mut self) -> ForeignChanges<Part> {
        ForeignChanges {
            scope: self.touched.clone(),
            by: std::mem::take(&mut self.by),
        }
    }

    pub(super) fn take(&mut self, event: &Event<'_>) {
        let ours = event.port == self.own;
        if let Object::Generation(generation) = event.object {
            let ahead = generation.id.wrapping_sub(self.generation).cast_signed();
            if ahead == 1 {
                self.generation = generation.id;
            }
            if std::mem::take(&mut self.concerns)
                && let (Some(name), Some(id)) = (generation.process_name, generation.process_id)
            {
                self.name(name, id);
            }
        } else if !ours {
            self.take_object(event);
        }
    }

    fn take_object(&mut self, event: &Event<'_>) {
        let table = |name: &str| {
            Some(Table {
                family: event.family?,
                kind: Kind::parse(name)?,
            })
        };
        match event.object {
            Object::Table { table: name }
                if table(name).is_some() && event.change == Change::Deleted =>
            {
                self.touch(Scope::Everything);
            }
            Object::Chain { table: name, chain } => {
                if let Some(table) = table(name) {
                    self.meanwhile.tables.insert(table);
                    self.touch_chain(table, chain);
                }
            }
            Object::Rule {
                table: name, chain, ..
            } => {
                if let Some(table) = table(name) {
                    self.touch_chain(table, chain);
                }
            }
            _ => {}
        }
    }

    fn touch_chain(&mut self, table: Table, chain: &str) {
        let owned = Chain::parse(chain).map(|chain| Part::Owned(table, chain));
        let part = owned.or_else(|| BaseChain::parse(chain).map(|base| Part::Base(table, base)));
        if let Some(part) = part {
            self.touch(Scope::Parts(BTreeSet::from([part])));
        }
    }

    fn touch(&mut self, scope: Scope<Part>) {
        self.concerns = true;
        self.meanwhile.parts.extend(scope.clone());
        self.touched.extend(scope);
    }

    fn name(&mut self, name: &str, id: u32) {
        self.by
            .retain(|other| !other.starts_with(&format!("{name} (")));
        self.by.truncate(NAMED - 1);
        self.by.push(format!("{name} ({id})"));
    }
}

#[cfg(test)]
mod tests;
