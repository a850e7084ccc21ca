//! Making and deleting chains.

use std::sync::Arc;

use netlink_batch::Errno;
use netlink_batch::message::flags::{EXCL, NONREC, REPLACE};

use super::NfTables;
use super::commit::{Change, What};
use super::ruleset::{Base, Chain};
use super::uapi::chain as attr;
use crate::memory::answer::Refused;
use crate::memory::fields::{Field, Fields, Request};

/// `NF_ACCEPT` and `NF_DROP` as policies.
const ACCEPT: u32 = 1;
const DROP: u32 = 0;
/// `NF_IP_PRI_CONNTRACK`: source and destination can't be translated before.
const CONNTRACK: i32 = -200;

impl NfTables {
    /// The handle of the chain that an attribute names (`nft_chain_lookup`).
    pub(super) fn find_chain(&self, table: u64, name: Field<'_>) -> Result<u64, Refused> {
        let text = name.text()?;
        let table = self.ruleset.tables.get(&table);
        let chain = table.and_then(|table| table.chain(text));
        Ok(chain.ok_or_else(|| name.refuse(Errno::NOENT))?.handle)
    }

    /// As [`Self::find_chain`], by handle.
    fn find_chain_by_handle(&self, table: u64, handle: Field<'_>) -> Result<u64, Refused> {
        let number = handle.u64_be()?;
        let table = self.ruleset.tables.get(&table);
        let chain = table.and_then(|table| table.chains.get(&number));
        let chain = chain.filter(|chain| !chain.dead);
        Ok(chain.ok_or_else(|| handle.refuse(Errno::NOENT))?.handle)
    }

    pub(super) fn new_chain(
        &mut self,
        request: &Request<'_>,
        fields: &Fields<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let table = self.find_table(request.family(), fields.need(attr::TABLE)?)?;
        let name = fields.need(attr::NAME)?;
        let found = match self.find_chain(table, name) {
            Ok(handle) => Some(handle),
            Err(refused) if refused.errno == Errno::NOENT => None,
            Err(refused) => return Err(refused),
        };
        let existing = found.and_then(|handle| {
            let table = self.ruleset.tables.get(&table)?;
            table.chains.get(&handle).cloned()
        });
        let policy = policy(fields, existing.as_deref())?;
        if let Some(existing) = existing {
            if request.flags & EXCL != 0 {
                return Err(name.refuse(Errno::EXIST));
            }
            if request.flags & REPLACE != 0 {
                return Err(Refused::errno(Errno::OPNOTSUPP));
            }
            if let Some(hook) = fields.get(attr::HOOK) {
                let old = existing.base.as_ref();
                old.ok_or_else(|| name.refuse(Errno::EXIST))
                    .and_then(|old| same(fields, hook, old, name))?;
            }
            let chain = existing.handle;
            let what = What::UpdateChain {
                table,
                chain,
                policy,
            };
            changes.push(Change::new(request, what));
            return Ok(());
        }
        let base = fields
            .get(attr::HOOK)
            .map(|hook| base(fields, hook, policy))
            .transpose()?;
        self.add_chain(request, table, name.text()?, base, changes);
        Ok(())
    }

    fn add_chain(
        &mut self,
        request: &Request<'_>,
        table: u64,
        name: &str,
        base: Option<Base>,
        changes: &mut Vec<Change>,
    ) {
        let handle = self.next_handle(table);
        let Some(holder) = self.ruleset.table_mut(table) else {
            return;
        };
        let name: Arc<str> = name.into();
        let chain = Chain {
            name: name.clone(),
            handle,
            base,
            uses: 0,
            dead: false,
            slots: Vec::new(),
        };
        holder.chains.insert(handle, Arc::new(chain));
        holder.names.insert(name, handle);
        holder.uses += 1;
        let what = What::NewChain {
            table,
            chain: handle,
        };
        changes.push(Change::new(request, what));
    }

    pub(super) fn delete_chain(
        &mut self,
        request: &Request<'_>,
        fields: &Fields<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let table = self.find_table(request.family(), fields.need(attr::TABLE)?)?;
        let (named, chain) = if let Some(handle) = fields.get(attr::HANDLE) {
            (handle, self.find_chain_by_handle(table, handle)?)
        } else {
            let name = fields.need(attr::NAME)?;
            (name, self.find_chain(table, name)?)
        };
        let uses = |nft: &mut Self| {
            let chain = nft.ruleset.chain_mut(table, chain);
            chain.map_or(0, |chain| chain.uses)
        };
        if request.flags & NONREC != 0 && uses(self) > 0 {
            return Err(Refused::errno(Errno::BUSY));
        }
        self.delete_all_rules(request, table, chain, changes);
        if uses(self) > 0 {
            return Err(named.refuse(Errno::BUSY));
        }
        self.bury_chain(request, table, chain, changes);
        Ok(())
    }

    /// Takes a chain without rules away.
    pub(super) fn bury_chain(
        &mut self,
        request: &Request<'_>,
        table: u64,
        chain: u64,
        changes: &mut Vec<Change>,
    ) {
        let Some(holder) = self.ruleset.table_mut(table) else {
            return;
        };
        let Some(buried) = holder.chains.get_mut(&chain).map(Arc::make_mut) else {
            return;
        };
        buried.dead = true;
        holder.names.remove(&buried.name);
        holder.uses -= 1;
        changes.push(Change::new(request, What::DeleteChain { table, chain }));
    }
}

/// The policy asked for: true accepts.
fn policy(fields: &Fields<'_>, existing: Option<&Chain>) -> Result<Option<bool>, Refused> {
    let Some(policy) = fields.get(attr::POLICY) else {
        return Ok(None);
    };
    let base = existing.map_or_else(
        || fields.get(attr::HOOK).is_some(),
        |chain| chain.base.is_some(),
    );
    if !base {
        return Err(policy.refuse(Errno::OPNOTSUPP));
    }
    match policy.u32_be()? {
        ACCEPT => Ok(Some(true)),
        DROP => Ok(Some(false)),
        _ => Err(Refused::errno(Errno::INVAL)),
    }
}

/// Refuses what would make a base chain another one.
fn same(fields: &Fields<'_>, hook: Field<'_>, old: &Base, name: Field<'_>) -> Result<(), Refused> {
    let place = hook.fields()?;
    let number = |kind| place.get(kind).map(|field| field.u32_be()).transpose();
    let hook = number(attr::HOOK_NUMBER)?.unwrap_or(old.hook);
    let priority = number(attr::HOOK_PRIORITY)?.map_or(old.priority, u32::cast_signed);
    if (hook, priority) != (old.hook, old.priority) {
        return Err(Refused::errno(Errno::OPNOTSUPP));
    }
    let kind = fields.get(attr::TYPE).map(|kind| kind.text()).transpose()?;
    if kind.is_some_and(|kind| kind != &*old.kind) {
        return Err(name.refuse(Errno::EXIST));
    }
    Ok(())
}

/// Where a base chain is to be called (`nft_chain_parse_hook`).
fn base(fields: &Fields<'_>, hook: Field<'_>, policy: Option<bool>) -> Result<Base, Refused> {
    let place = hook.fields()?;
    let (Some(number), Some(priority)) =
        (place.get(attr::HOOK_NUMBER), place.get(attr::HOOK_PRIORITY))
    else {
        return Err(hook.refuse(Errno::NOENT));
    };
    let (hook, priority) = (number.u32_be()?, priority.u32_be()?.cast_signed());
    let kind = fields.get(attr::TYPE);
    let name = kind.map_or(Ok("filter"), |kind| kind.text())?;
    let hooks: &[u32] = match name {
        "filter" => &[0, 1, 2, 3, 4],
        "nat" => &[0, 1, 3, 4],
        "route" => &[3],
        _ => return Err(Refused::at(Errno::NOENT, kind.map(|kind| kind.offset))),
    };
    if !hooks.contains(&hook) || (name == "nat" && priority <= CONNTRACK) {
        return Err(Refused::errno(Errno::OPNOTSUPP));
    }
    Ok(Base {
        kind: name.into(),
        hook,
        priority,
        accept: policy.unwrap_or(true),
    })
}
