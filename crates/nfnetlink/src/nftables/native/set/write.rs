//! Sets as the kernel takes them, with what nft keeps with them.

use netlink_batch::AttrWriter;
use netlink_batch::message::flags::{CREATE, EXCL};

use super::{Layout, MapType, Set, SetType, types};
use crate::Family;
use crate::nftables::Transaction;
use crate::nftables::native::datatype::{DataType, Order};
use crate::nftables::native::expression::milliseconds;
use crate::nftables::native::value::WORD;
use crate::nftables::native::{TableId, Term, userdata};
use crate::nftables::uapi::{op, set as attr};

/// Parts of a set's user data (`NFTNL_UDATA_SET_*`).
pub(super) const KEY_ORDER: u8 = 0;
pub(super) const DATA_ORDER: u8 = 1;
pub(super) const MERGE: u8 = 2;
pub(super) const KEY_TYPEOF: u8 = 3;
pub(super) const DATA_TYPEOF: u8 = 4;
pub(super) const DATA_INTERVAL: u8 = 6;
/// `NFT_DATA_VERDICT` as the type of a map's values.
pub(super) const VERDICT: u32 = 0xffff_ff00;
/// Bits of each type in that of a concatenation.
pub(super) const TYPE_BITS: u32 = 6;

impl Set {
    /// The byte orders of keys and of a map's values.
    fn orders(&self, family: Family) -> (Option<Order>, Option<Order>) {
        let of_types = |types: &[DataType]| match types {
            [one] => one.order(),
            _ => Order::None,
        };
        let of_terms = |terms: &[Term]| match terms {
            // Though it is one byte.
            [Term::Meta(_)] => Order::Host,
            terms => of_types(&types(family, terms)),
        };
        match &self.kind {
            SetType::Types { key, data } => {
                let data = data.as_ref().map(|data| match data {
                    MapType::Values(types) => of_types(types),
                    MapType::Verdict => Order::None,
                });
                (Some(of_types(key)), data)
            }
            SetType::TypeOf { key, data } => (Some(of_terms(key)), data.as_deref().map(of_terms)),
            SetType::Raw { .. } => (None, None),
        }
    }

    /// What nft 1.0.6 keeps with a set like this.
    pub(super) fn made_userdata(&self, family: Family) -> Vec<u8> {
        let mut data = Vec::new();
        let (key, values) = self.orders(family);
        if let Some(key) = key {
            userdata::put_number(&mut data, KEY_ORDER, key as u32);
        }
        if let Some(values) = values {
            userdata::put_number(&mut data, DATA_ORDER, values as u32);
        }
        if self.auto_merge {
            userdata::put_number(&mut data, MERGE, 1);
        }
        match &self.kind {
            SetType::Types { key, data: values } => {
                if key.len() > 1 {
                    userdata::put_plain_concat(&mut data, KEY_TYPEOF);
                }
                if let Some(MapType::Values(types)) = values
                    && types.len() > 1
                {
                    userdata::put_plain_concat(&mut data, DATA_TYPEOF);
                }
            }
            SetType::TypeOf { key, data: values } => {
                userdata::put_terms(&mut data, KEY_TYPEOF, family, key);
                if let Some(values) = values {
                    userdata::put_terms(&mut data, DATA_TYPEOF, family, values);
                }
            }
            SetType::Raw { .. } => {}
        }
        if values.is_some() {
            userdata::put_number(&mut data, DATA_INTERVAL, 0);
        }
        if let Some(comment) = &self.comment {
            data.extend(userdata::comment(userdata::SET_COMMENT, comment));
        }
        data
    }

    fn put(&self, family: Family, attrs: &mut AttrWriter<'_>, id: u32) {
        attrs.str(attr::NAME, &self.name);
        attrs.u32_be(attr::FLAGS, self.flags.with(self.implied()).0);
        let (key, key_len, data) = self.numbers(family);
        attrs.u32_be(attr::KEY_TYPE, key);
        attrs.u32_be(attr::KEY_LEN, key_len);
        if let Some((data, len)) = data {
            attrs.u32_be(attr::DATA_TYPE, data);
            attrs.u32_be(attr::DATA_LEN, len);
        }
        attrs.u32_be(attr::ID, id);
        let fields = self.key_types(family).unwrap_or_default();
        let ranges = self.layout() == Layout::Ranges;
        if self.size.is_some() || ranges {
            attrs.nest(attr::DESCRIPTION, |description| {
                if let Some(size) = self.size {
                    description.u32_be(attr::DESCRIPTION_SIZE, size);
                }
                if ranges {
                    description.nest(attr::DESCRIPTION_CONCAT, |list| {
                        for field in &fields {
                            list.nest(attr::LIST_ELEM, |one| {
                                one.u32_be(attr::FIELD_LEN, wide(field.len()));
                            });
                        }
                    });
                }
            });
        }
        if let Some(timeout) = self.timeout {
            attrs.u64_be(attr::TIMEOUT, milliseconds(timeout));
        }
        if let Some(interval) = self.gc_interval {
            let interval = u32::try_from(milliseconds(interval)).unwrap_or(u32::MAX);
            attrs.u32_be(attr::GC_INTERVAL, interval);
        }
        match &self.userdata {
            Some(userdata) => attrs.bytes(attr::USERDATA, userdata),
            None => attrs.bytes(attr::USERDATA, &self.made_userdata(family)),
        }
        match self.expressions.as_slice() {
            [] => {}
            [one] => attrs.nest(attr::EXPRESSION, |nest| one.put(nest)),
            list => attrs.nest(attr::EXPRESSIONS, |nest| {
                for one in list {
                    one.encode(nest);
                }
            }),
        }
    }

    /// Type and length of keys, and of a map's values.
    pub(super) fn numbers(&self, family: Family) -> (u32, u32, Option<(u32, u32)>) {
        if let SetType::Raw { key, key_len, data } = &self.kind {
            return (*key, *key_len, *data);
        }
        let key = self.key_types(family).unwrap_or_default();
        let data = self.map_type(family).map(|data| match data {
            MapType::Values(types) => (number(&types), total(&types)),
            MapType::Verdict => (VERDICT, 0),
        });
        (number(&key), total(&key), data)
    }
}

/// The number of a concatenation.
fn number(types: &[DataType]) -> u32 {
    types
        .iter()
        .fold(0, |all, one| all << TYPE_BITS | one.number())
}

/// Bytes of a value of these fields.
fn total(types: &[DataType]) -> u32 {
    wide(match types {
        [one] => one.len(),
        _ => types
            .iter()
            .map(|one| one.len().next_multiple_of(WORD))
            .sum(),
    })
}

fn wide(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl<T> Transaction<T> {
    /// Creates a set or map that must not exist yet (EEXIST).
    pub fn new_set(&mut self, table: TableId<'_>, set: &Set) {
        self.put_set(table, set, CREATE | EXCL);
    }

    /// Creates a set or map if it does not exist. Its elements stay if it does; it has to be the
    /// same then (EEXIST), and its comment stays what it was.
    pub fn ensure_set(&mut self, table: TableId<'_>, set: &Set) {
        self.put_set(table, set, CREATE);
    }

    /// Deletes a set or map with its elements; no rule may use it then (EBUSY).
    pub fn delete_set(&mut self, table: TableId<'_>, name: &str) {
        self.change(op::DEL_SET, 0, table.family, |attrs| {
            attrs.str(attr::TABLE, table.name);
            attrs.str(attr::NAME, name);
        });
    }

    fn put_set(&mut self, table: TableId<'_>, set: &Set, flags: u16) {
        // The kernel wants a number of it, which only messages that say no name refer to.
        let id = self.count().max(1);
        self.change(op::NEW_SET, flags, table.family, |attrs| {
            attrs.str(attr::TABLE, table.name);
            set.put(table.family, attrs, id);
        });
    }
}
