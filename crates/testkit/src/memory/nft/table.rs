//! Making and deleting tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use netlink_batch::Errno;
use netlink_batch::message::flags::{EXCL, NONREC, REPLACE};

use super::NfTables;
use super::commit::{Change, What};
use super::ruleset::Table;
use super::uapi::table as attr;
use crate::memory::answer::Refused;
use crate::memory::fields::{Field, Fields, Request};

impl NfTables {
    /// The handle of the table that an attribute names (`nft_table_lookup`).
    pub(super) fn find_table(&self, family: u8, name: Field<'_>) -> Result<u64, Refused> {
        let text = name.text()?;
        let table = self.ruleset.table(family, text);
        let table = table.ok_or_else(|| name.refuse(Errno::NOENT))?;
        Ok(table.handle)
    }

    pub(super) fn new_table(
        &mut self,
        request: &Request<'_>,
        fields: &Fields<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let name = fields.need(attr::NAME)?;
        match self.find_table(request.family(), name) {
            Ok(_) if request.flags & EXCL != 0 => return Err(name.refuse(Errno::EXIST)),
            Ok(_) if request.flags & REPLACE != 0 => {
                return Err(Refused::errno(Errno::OPNOTSUPP));
            }
            Ok(_) => return Ok(()),
            Err(refused) if refused.errno != Errno::NOENT => return Err(refused),
            Err(_) => {}
        }
        if fields
            .get(attr::FLAGS)
            .is_some_and(|flags| flags.u32_be() != Ok(0))
        {
            return Err(Refused::errno(Errno::OPNOTSUPP));
        }
        self.last_table += 1;
        let handle = self.last_table;
        let table = Table {
            family: request.family(),
            name: name.text()?.into(),
            handle,
            uses: 0,
            dead: false,
            chains: BTreeMap::new(),
            names: BTreeMap::new(),
            sets: BTreeMap::new(),
            set_names: BTreeMap::new(),
        };
        self.ruleset.tables.insert(handle, Arc::new(table));
        changes.push(Change::new(request, What::NewTable { table: handle }));
        Ok(())
    }

    pub(super) fn delete_table(
        &mut self,
        request: &Request<'_>,
        fields: &Fields<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let Some(name) = fields.get(attr::NAME) else {
            let family = request.family();
            let tables = self.ruleset.tables();
            let all = tables.filter(|table| family == 0 || table.family == family);
            for handle in all.map(|table| table.handle).collect::<Vec<_>>() {
                self.flush_table(request, handle, changes);
            }
            return Ok(());
        };
        let handle = self.find_table(request.family(), name)?;
        let uses = self.ruleset.tables.get(&handle).map_or(0, |it| it.uses);
        if request.flags & NONREC != 0 && uses > 0 {
            return Err(Refused::errno(Errno::BUSY));
        }
        self.flush_table(request, handle, changes);
        Ok(())
    }

    /// Deletes all rules, then all sets, then all chains, then the table (`nft_flush_table`).
    fn flush_table(&mut self, request: &Request<'_>, handle: u64, changes: &mut Vec<Change>) {
        let chains = self.chain_handles(handle);
        for chain in &chains {
            self.delete_all_rules(request, handle, *chain, changes);
        }
        for set in self.set_handles(handle) {
            self.bury_set(request, handle, set, changes);
        }
        for chain in chains {
            self.bury_chain(request, handle, chain, changes);
        }
        if let Some(table) = self.ruleset.table_mut(handle) {
            table.dead = true;
            changes.push(Change::new(request, What::DeleteTable { table: handle }));
        }
    }

    /// Handles of the sets of a table, in order.
    fn set_handles(&self, table: u64) -> Vec<u64> {
        let table = self.ruleset.tables.get(&table);
        let sets = table.into_iter().flat_map(|table| table.sets());
        sets.map(|set| set.handle).collect()
    }

    /// Handles of the chains of a table, in order.
    pub(super) fn chain_handles(&self, table: u64) -> Vec<u64> {
        let table = self.ruleset.tables.get(&table);
        let chains = table.into_iter().flat_map(|table| table.chains());
        chains.map(|chain| chain.handle).collect()
    }
}
