//! What notifications tell of others.

use std::collections::BTreeSet;

use nfnetlink::nftables::{Change, Event, Object};
use viprule_dataplane::Scope;

use super::Concerned;
use crate::ForeignChanges;

/// How many programs a report names.
const NAMED: usize = 4;

/// What notifications told, and what was done about it.
#[derive(Debug)]
pub(crate) struct Heard<P: Concerned> {
    /// The port of the socket that our commits go through.
    own: u32,
    /// The generation up to which we know what others did.
    generation: u32,
    /// What they touched of ours up to there and was not read since.
    touched: Scope<P>,
    /// The commit that is being told touched something of ours.
    concerns: bool,
    /// Who did.
    by: Vec<String>,
    meanwhile: Meanwhile<P>,
}

/// What others touched since a reading began.
#[derive(Debug)]
struct Meanwhile<P: Concerned> {
    pieces: Scope<P>,
    /// Tables whose chains or sets came or went.
    tables: BTreeSet<P::Table>,
}

impl<P: Concerned> Meanwhile<P> {
    fn nothing() -> Self {
        Self {
            pieces: Scope::nothing(),
            tables: BTreeSet::new(),
        }
    }
}

impl<P: Concerned> Heard<P> {
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

    /// The generation to pin a transaction to.
    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    /// What others touched of ours and we did not read since.
    pub(super) const fn touched(&self) -> &Scope<P> {
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

    /// Says that these pieces are about to be read.
    pub(crate) fn accept(&mut self, pieces: &BTreeSet<P>) {
        if let Scope::Pieces(touched) = &mut self.touched {
            touched.retain(|piece| !pieces.contains(piece));
        }
    }

    /// Says that something is about to be read in several steps.
    pub(crate) fn begin_reading(&mut self) {
        self.meanwhile = Meanwhile::nothing();
    }

    /// True where this was touched since then, as far as has been taken in.
    pub(crate) fn touched_meanwhile(&self, piece: &P) -> bool {
        self.meanwhile.pieces.contains(piece)
    }

    /// True where chains or sets of this table came or went since then, whosever they are.
    pub(crate) fn contents_changed_meanwhile(&self, table: P::Table) -> bool {
        self.meanwhile.pieces == Scope::Everything || self.meanwhile.tables.contains(&table)
    }

    /// What others touched since the last question. It stays to be read.
    pub(crate) fn report(&mut self) -> ForeignChanges<P> {
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
        let (Object::Table { table }
        | Object::Chain { table, .. }
        | Object::Rule { table, .. }
        | Object::Set { table, .. }
        | Object::Elements { table, .. }) = event.object
        else {
            return;
        };
        let table = event.family.and_then(|family| P::table(family, table));
        let Some(table) = table else {
            return;
        };
        match event.object {
            Object::Table { .. } if event.change == Change::Deleted => {
                return self.touch(Scope::Everything);
            }
            Object::Chain { .. } | Object::Set { .. } => {
                self.meanwhile.tables.insert(table);
            }
            _ => {}
        }
        let piece = P::of(table, &event.object);
        // It may be of another kind now, which matters to whatever refers to it.
        if piece.is_some() && matches!(event.object, Object::Set { .. }) {
            return self.touch(Scope::Everything);
        }
        if let Some(piece) = piece {
            self.touch(Scope::Pieces(BTreeSet::from([piece])));
        }
    }

    fn touch(&mut self, scope: Scope<P>) {
        self.concerns = true;
        self.meanwhile.pieces.extend(scope.clone());
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
