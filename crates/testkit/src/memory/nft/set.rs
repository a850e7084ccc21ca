//! Sets and maps: making and deleting them.

use std::collections::BTreeMap;
use std::sync::Arc;

use netlink_batch::Errno;
use netlink_batch::message::flags::{CREATE, EXCL, NONREC, REPLACE};

use super::NfTables;
use super::commit::{Change, What};
use super::expressions;
use super::uapi::set as attr;
use crate::memory::answer::Refused;
use crate::memory::fields::{Field, Fields, Request};

/// `NFT_DATA_RESERVED_MASK`: types of values from here on are verdicts.
const RESERVED: u32 = 0xffff_ff00;

/// A set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    pub(super) name: Arc<str>,
    pub(super) handle: u64,
    /// `NFT_SET_*`.
    pub(super) flags: u32,
    pub(super) key_type: u32,
    /// Bytes of a key.
    pub(super) key_len: u32,
    /// Type and length of a map's values.
    pub(super) data: Option<(u32, u32)>,
    /// Elements at most.
    pub(super) size: Option<u32>,
    /// Milliseconds; 0 for none.
    pub(super) timeout: u64,
    /// Milliseconds; 0 for none.
    pub(super) gc_interval: u32,
    /// Lengths of the fields of ranges.
    pub(super) fields: Vec<u32>,
    pub(super) userdata: Option<Vec<u8>>,
    /// What each element carries, as the kernel tells it.
    pub(super) expression: Option<Vec<u8>>,
    /// Expressions of rules that refer to it.
    pub(super) uses: u32,
    /// It goes with the transaction that is being handled.
    pub(super) dead: bool,
    /// Elements, with those that go with the transaction that is being handled.
    pub(super) count: u32,
    /// The number of the last element that came.
    pub(super) last: u64,
    /// By [`Element::place`].
    pub(super) elements: BTreeMap<Vec<u8>, Arc<Element>>,
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    pub(super) key: Vec<u8>,
    pub(super) end: Option<Vec<u8>>,
    /// The first key behind an interval of one field (`NFT_SET_ELEM_INTERVAL_END`).
    pub(super) is_end: bool,
    pub(super) data: Option<Vec<u8>>,
    pub(super) userdata: Option<Vec<u8>>,
    /// Those that came before have smaller ones.
    pub(super) number: u64,
}

impl Set {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its elements, by their keys.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.elements.values().map(AsRef::as_ref)
    }

    /// True where an element has this key, or an interval begins with it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.elements
            .contains_key(&Element::place_of(self, key, false))
    }

    /// Elements are ranges of several fields.
    pub(super) fn has_ranges(&self) -> bool {
        self.flags & attr::FLAG_INTERVAL != 0 && !self.has_intervals()
    }

    /// Elements are where an interval of one field begins, or what is behind it.
    pub(super) fn has_intervals(&self) -> bool {
        self.flags & attr::FLAG_INTERVAL != 0 && self.flags & attr::FLAG_CONCAT == 0
    }

    /// Its elements as users count them: an interval is one (`nft_rbtree_usize`).
    pub(super) fn told_count(&self) -> u32 {
        if self.has_intervals() {
            self.count / 2
        } else {
            self.count
        }
    }

    /// What the kernel keeps the elements in, by the name of its operations.
    pub(super) fn backend(&self) -> &'static str {
        if self.has_ranges() {
            "nft_set_pipapo_type"
        } else if self.has_intervals() {
            "nft_set_rbtree_type"
        } else {
            "nft_set_rhash_type"
        }
    }

    /// Reads what a message makes.
    fn read(name: &str, fields: &Fields<'_>) -> Result<Self, Refused> {
        let number = |kind| fields.get(kind).map(|field| field.u32_be()).transpose();
        let flags = number(attr::FLAGS)?.unwrap_or(0);
        let invalid = Refused::errno(Errno::INVAL);
        let key_len = number(attr::KEY_LEN)?.ok_or(invalid)?;
        let is_map = flags & attr::FLAG_MAP != 0;
        let data = match (number(attr::DATA_TYPE)?, number(attr::DATA_LEN)?) {
            (Some(kind), Some(len)) if is_map => Some((kind, len)),
            (None, None) if !is_map => None,
            _ => return Err(invalid),
        };
        let description = fields.get(attr::DESCRIPTION).map(|it| it.fields());
        let description = description.transpose()?.unwrap_or_default();
        let lengths = description.get(attr::DESCRIPTION_CONCAT);
        let lengths = lengths.map(|it| it.fields()).transpose()?;
        let lengths = lengths.unwrap_or_default();
        let lengths = lengths.iter().map(|field| {
            let len = field.fields()?.need(attr::FIELD_LEN)?;
            len.u32_be()
        });
        let lengths = lengths.collect::<Result<Vec<_>, _>>()?;
        let ranges = flags & attr::FLAG_INTERVAL != 0;
        let verdicts = data.is_some_and(|(kind, _)| kind & RESERVED == RESERVED);
        if flags & attr::FLAG_ANONYMOUS != 0
            || (ranges && is_map)
            || verdicts
            || fields.get(attr::EXPRESSIONS).is_some()
        {
            // Not modelled.
            return Err(Refused::errno(Errno::OPNOTSUPP));
        }
        let size = description.get(attr::DESCRIPTION_SIZE);
        let timeout = fields.get(attr::TIMEOUT).map(|it| it.u64_be());
        let userdata = fields.get(attr::USERDATA);
        let expression = fields.get(attr::EXPRESSION);
        let expression = expression.map(|one| expressions::single(&one.fields()?));
        Ok(Self {
            name: name.into(),
            handle: 0,
            flags,
            key_type: number(attr::KEY_TYPE)?.unwrap_or(0),
            key_len,
            data,
            size: size.map(|size| size.u32_be()).transpose()?,
            timeout: timeout.transpose()?.unwrap_or(0),
            gc_interval: number(attr::GC_INTERVAL)?.unwrap_or(0),
            fields: lengths,
            userdata: userdata.map(|data| data.payload.to_vec()),
            expression: expression.transpose()?,
            uses: 0,
            dead: false,
            count: 0,
            last: 0,
            elements: BTreeMap::new(),
        })
    }

    /// True where a message would make the same set (`nft_set_is_same`).
    fn is_like(&self, other: &Self) -> bool {
        let named = |expression: &Option<Vec<u8>>| expression.is_some();
        (self.flags, self.key_type, self.key_len) == (other.flags, other.key_type, other.key_len)
            && self.data == other.data
            && self.fields == other.fields
            && named(&self.expression) == named(&other.expression)
    }
}

impl NfTables {
    /// The handle of the set that an attribute names (`nft_set_lookup`).
    pub(super) fn find_set(&self, table: u64, name: Field<'_>) -> Result<u64, Refused> {
        let text = name.text()?;
        let table = self.ruleset.tables.get(&table);
        let set = table.and_then(|table| table.set(text));
        Ok(set.ok_or_else(|| name.refuse(Errno::NOENT))?.handle)
    }

    pub(super) fn new_set(
        &mut self,
        request: &Request<'_>,
        fields: &Fields<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let (place, name) = (fields.need(attr::TABLE)?, fields.need(attr::NAME)?);
        let _id = fields.need(attr::ID)?;
        let mut set = Set::read(name.text()?, fields)?;
        let table = self.find_table(request.family(), place)?;
        match self.find_set(table, name) {
            Ok(found) => {
                if request.flags & EXCL != 0 {
                    return Err(name.refuse(Errno::EXIST));
                }
                if request.flags & REPLACE != 0 {
                    return Err(Refused::errno(Errno::OPNOTSUPP));
                }
                let old = self.ruleset.set_mut(table, found);
                if old.is_some_and(|old| !old.is_like(&set)) {
                    return Err(name.refuse(Errno::EXIST));
                }
                let what = What::NewSet { table, set: found };
                changes.push(Change::new(request, what));
                return Ok(());
            }
            Err(refused) if refused.errno != Errno::NOENT => return Err(refused),
            Err(_) if request.flags & CREATE == 0 => return Err(Refused::errno(Errno::NOENT)),
            Err(_) => {}
        }
        let handle = self.next_handle(table);
        set.handle = handle;
        if let Some(holder) = self.ruleset.table_mut(table) {
            holder.set_names.insert(set.name.clone(), handle);
            holder.sets.insert(handle, Arc::new(set));
            holder.uses += 1;
        }
        let what = What::NewSet { table, set: handle };
        changes.push(Change::new(request, what));
        Ok(())
    }

    pub(super) fn delete_set(
        &mut self,
        request: &Request<'_>,
        fields: &Fields<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let table = self.find_table(request.family(), fields.need(attr::TABLE)?)?;
        let name = fields.need(attr::NAME)?;
        let found = self.find_set(table, name)?;
        let set = self.ruleset.set_mut(table, found);
        let (uses, count) = set.map_or((0, 0), |set| (set.uses, set.count));
        if uses > 0 || (request.flags & NONREC != 0 && count > 0) {
            return Err(name.refuse(Errno::BUSY));
        }
        self.bury_set(request, table, found, changes);
        Ok(())
    }

    /// Takes a set away that nothing refers to.
    pub(super) fn bury_set(
        &mut self,
        request: &Request<'_>,
        table: u64,
        set: u64,
        changes: &mut Vec<Change>,
    ) {
        let Some(holder) = self.ruleset.table_mut(table) else {
            return;
        };
        let Some(buried) = holder.sets.get_mut(&set).map(Arc::make_mut) else {
            return;
        };
        buried.dead = true;
        holder.set_names.remove(&buried.name);
        holder.uses -= 1;
        changes.push(Change::new(request, What::DeleteSet { table, set }));
    }
}
