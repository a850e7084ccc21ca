//! Adding and deleting rules.

use std::sync::Arc;

use netlink_batch::Errno;
use netlink_batch::message::flags::{APPEND, CREATE, EXCL, REPLACE};

use super::NfTables;
use super::commit::{Change, What};
use super::expressions;
use super::ruleset::{Rule, Slot};
use super::uapi::rule as attr;
use crate::memory::answer::Refused;
use crate::memory::fields::{Field, Fields, Request};
use crate::memory::ipset::Sets;

/// A rule that a message names.
#[derive(Debug, Clone, Copy)]
struct Beside {
    place: usize,
    handle: u64,
    dead: bool,
}

impl Beside {
    /// What goes already can't be deleted again, though it can be named.
    fn deletable(self) -> Result<Self, Refused> {
        if self.dead {
            return Err(Refused::errno(Errno::NOENT));
        }
        Ok(self)
    }
}

impl NfTables {
    pub(super) fn new_rule(
        &mut self,
        request: &Request<'_>,
        fields: &Fields<'_>,
        sets: &Sets,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let table = self.find_table(request.family(), fields.need(attr::TABLE)?)?;
        let chain = self.find_chain(table, fields.need(attr::CHAIN)?)?;
        let replaces = request.flags & REPLACE != 0;
        let (handle, beside) = if let Some(named) = fields.get(attr::HANDLE) {
            let old = self.beside(table, chain, named)?;
            if request.flags & EXCL != 0 {
                return Err(named.refuse(Errno::EXIST));
            }
            if !replaces {
                return Err(Refused::errno(Errno::OPNOTSUPP));
            }
            (old.handle, Some(old))
        } else {
            if request.flags & CREATE == 0 || replaces {
                return Err(Refused::errno(Errno::INVAL));
            }
            let handle = self.next_handle(table);
            let beside = fields
                .get(attr::POSITION)
                .map(|named| self.beside(table, chain, named));
            (handle, beside.transpose()?)
        };
        let list = fields.get(attr::EXPRESSIONS);
        let parsed = self.expressions(table, sets, list)?;
        let rule = Arc::new(Rule {
            handle,
            expressions: parsed.list,
            userdata: fields
                .get(attr::USERDATA)
                .filter(|data| !data.payload.is_empty())
                .map(|data| data.payload.to_vec()),
            jumps: parsed.jumps,
            lookups: parsed.lookups,
            sets: parsed.sets,
        });
        if let Some(old) = beside.filter(|_| replaces) {
            let old = old.deletable()?;
            self.bury_rule(request, table, chain, old.place, changes);
        }
        self.use_what(table, &rule, 1);
        let Some(holder) = self.ruleset.chain_mut(table, chain) else {
            return Ok(());
        };
        holder.uses += 1;
        let appends = request.flags & APPEND != 0 && !replaces;
        let place = match beside {
            Some(beside) if appends => beside.place + 1,
            Some(beside) => beside.place,
            None if appends => holder.slots.len(),
            None => 0,
        };
        let slot = Slot {
            rule: rule.clone(),
            dead: false,
        };
        holder.slots.insert(place, slot);
        let what = What::NewRule { table, chain, rule };
        changes.push(Change::new(request, what));
        Ok(())
    }

    pub(super) fn delete_rules(
        &mut self,
        request: &Request<'_>,
        fields: &Fields<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let table = self.find_table(request.family(), fields.need(attr::TABLE)?)?;
        let Some(name) = fields.get(attr::CHAIN) else {
            for chain in self.chain_handles(table) {
                self.delete_all_rules(request, table, chain, changes);
            }
            return Ok(());
        };
        let chain = self.find_chain(table, name)?;
        if let Some(named) = fields.get(attr::HANDLE) {
            let rule = self.beside(table, chain, named)?.deletable()?;
            self.bury_rule(request, table, chain, rule.place, changes);
        } else {
            self.delete_all_rules(request, table, chain, changes);
        }
        Ok(())
    }

    /// Deletes all rules of a chain, in order.
    pub(super) fn delete_all_rules(
        &mut self,
        request: &Request<'_>,
        table: u64,
        chain: u64,
        changes: &mut Vec<Change>,
    ) {
        let Some(holder) = self.ruleset.chain_mut(table, chain) else {
            return;
        };
        let mut gone = Vec::new();
        for slot in holder.slots.iter_mut().filter(|slot| !slot.dead) {
            slot.dead = true;
            holder.uses -= 1;
            gone.push(slot.rule.clone());
        }
        for rule in gone {
            self.use_what(table, &rule, -1);
            let what = What::DeleteRule { table, chain, rule };
            changes.push(Change::new(request, what));
        }
    }

    fn bury_rule(
        &mut self,
        request: &Request<'_>,
        table: u64,
        chain: u64,
        place: usize,
        changes: &mut Vec<Change>,
    ) {
        let Some(holder) = self.ruleset.chain_mut(table, chain) else {
            return;
        };
        let Some(slot) = holder.slots.get_mut(place) else {
            return;
        };
        slot.dead = true;
        let rule = slot.rule.clone();
        holder.uses -= 1;
        self.use_what(table, &rule, -1);
        let what = What::DeleteRule { table, chain, rule };
        changes.push(Change::new(request, what));
    }

    /// Finds the rule that an attribute names.
    fn beside(&self, table: u64, chain: u64, named: Field<'_>) -> Result<Beside, Refused> {
        let handle = named.u64_be()?;
        let table = self.ruleset.tables.get(&table);
        let chain = table.and_then(|table| table.chains.get(&chain));
        let found = chain.and_then(|chain| {
            let place = chain
                .slots
                .iter()
                .position(|slot| slot.rule.handle == handle)?;
            let dead = chain.slots[place].dead;
            Some(Beside {
                place,
                handle,
                dead,
            })
        });
        found.ok_or_else(|| named.refuse(Errno::NOENT))
    }

    fn expressions(
        &self,
        table: u64,
        sets: &Sets,
        list: Option<Field<'_>>,
    ) -> Result<expressions::Parsed, Refused> {
        match (list, self.ruleset.tables.get(&table)) {
            (Some(list), Some(table)) => expressions::parse(table, sets, list),
            _ => Ok(expressions::Parsed::default()),
        }
    }

    /// Counts what a rule refers to: jumps to chains, and sets.
    fn use_what(&mut self, table: u64, rule: &Rule, by: i32) {
        for chain in &rule.jumps {
            if let Some(chain) = self.ruleset.chain_mut(table, *chain) {
                chain.uses = chain.uses.saturating_add_signed(by);
            }
        }
        for set in &rule.lookups {
            if let Some(set) = self.ruleset.set_mut(table, *set) {
                set.uses = set.uses.saturating_add_signed(by);
            }
        }
    }
}
