//! Sets as the kernel tells of them.

use std::time::Duration;

use netlink_batch::{Attr, AttrWriter, Errno, Error, Message, Socket};

use super::write::{DATA_TYPEOF, KEY_TYPEOF, MERGE, TYPE_BITS, VERDICT};
use super::{MapType, Set, SetFlags, SetType};
use crate::nftables::native::datatype::DataType;
use crate::nftables::native::{Expression, TableId, userdata};
use crate::nftables::uapi::{op, set as attr};
use crate::nftables::{by_kind, pick, require};
use crate::{Family, nfgenmsg};

/// A set as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedSet<'a> {
    /// The name of its table.
    pub table: &'a str,
    /// The kernel's number for it, unique in its table.
    pub handle: u64,
    /// Number of its elements, where the kernel tells it (Linux 6.16 and later). Elements that
    /// ended and were not thrown away yet count.
    pub count: Option<u32>,
    /// The set.
    pub set: Set,
}

impl<'a> ListedSet<'a> {
    /// Reads a `NFT_MSG_NEWSET` message of a table of this family.
    pub fn read(family: Family, message: &Message<'a>) -> Result<Self, Error> {
        let (_, attrs) = message.split::<4>()?;
        let found = by_kind::<20>(attrs)?;
        let number = |kind| pick(&found, kind).map_or(Ok(0), |attr: Attr<'_>| attr.u32_be());
        let time = |millis: u64| (millis != 0).then(|| Duration::from_millis(millis));
        let flags = SetFlags(number(attr::FLAGS)?);
        let description = match pick(&found, attr::DESCRIPTION) {
            Some(description) => by_kind::<2>(description.nested())?,
            None => [None; 2],
        };
        let size = pick(&description, attr::DESCRIPTION_SIZE);
        let timeout = pick(&found, attr::TIMEOUT).map_or(Ok(0), |attr| attr.u64_be())?;
        let gc_interval = number(attr::GC_INTERVAL)?;
        let mut expressions = Vec::new();
        if let Some(one) = pick(&found, attr::EXPRESSION) {
            expressions.push(Expression::read(one.nested())?);
        } else if let Some(list) = pick(&found, attr::EXPRESSIONS) {
            expressions = Expression::list(list.nested())?;
        }
        let userdata = pick(&found, attr::USERDATA).map(|attr| attr.payload);
        let name = require(pick(&found, attr::NAME), "set", "name")?.str()?;
        let mut set = Set::new(
            name,
            SetType::Raw {
                key: number(attr::KEY_TYPE)?,
                key_len: number(attr::KEY_LEN)?,
                data: if flags.has(SetFlags::MAP) {
                    // The kernel tells the size of its own structure of a verdict.
                    let kind = number(attr::DATA_TYPE)?;
                    let len = if kind == VERDICT {
                        0
                    } else {
                        number(attr::DATA_LEN)?
                    };
                    Some((kind, len))
                } else {
                    None
                },
            },
        );
        set.size = size.map(|attr| attr.u32_be()).transpose()?;
        set.timeout = time(timeout);
        set.gc_interval = time(gc_interval.into());
        set.expressions = expressions;
        set.flags = flags;
        recognize(family, &mut set, userdata.unwrap_or_default());
        Ok(Self {
            table: require(pick(&found, attr::TABLE), "set", "table")?.str()?,
            handle: pick(&found, attr::HANDLE).map_or(Ok(0), |attr| attr.u64_be())?,
            count: pick(&found, attr::COUNT)
                .map(|attr| attr.u32_be())
                .transpose()?,
            set,
        })
    }
}

/// Finds what types the numbers of a raw set are, and what its user data says. What would not be
/// written the same again stays as it is.
fn recognize(family: Family, set: &mut Set, data: &[u8]) {
    let raw = set.kind.clone();
    let flags = set.flags;
    let SetType::Raw {
        key, data: values, ..
    } = raw
    else {
        return;
    };
    let parts = userdata::Parts(data);
    set.comment = userdata::find_comment(data, userdata::SET_COMMENT);
    set.auto_merge = parts.find(MERGE) == Some(&1u32.to_ne_bytes());
    let by_terms = || {
        let terms = |kind| userdata::terms(family, parts.find(kind)?);
        Some(SetType::TypeOf {
            key: terms(KEY_TYPEOF)?,
            data: match values {
                Some(_) => Some(terms(DATA_TYPEOF)?),
                None => None,
            },
        })
    };
    let by_numbers = || {
        Some(SetType::Types {
            key: types_of(key)?,
            data: match values {
                Some((VERDICT, _)) => Some(MapType::Verdict),
                Some((number, _)) => Some(MapType::Values(types_of(number)?)),
                None => None,
            },
        })
    };
    let numbers = set.numbers(family);
    for kind in [by_terms(), by_numbers()].into_iter().flatten() {
        set.kind = kind;
        if set.numbers(family) == numbers {
            break;
        }
        set.kind = raw.clone();
    }
    set.flags = flags.without(set.implied());
    // A set of ranges with other fields than its type says has the flag beside them.
    if set.implied().0 & !flags.0 != 0 {
        set.kind = raw;
        set.flags = flags.without(SetFlags::MAP);
    }
    set.userdata = (set.made_userdata(family) != data).then(|| data.into());
}

/// Hands each set and map of a table to `each`.
pub fn sets(
    socket: &mut Socket,
    table: TableId<'_>,
    mut each: impl FnMut(ListedSet<'_>),
) -> Result<(), Error> {
    let place = |attrs: &mut AttrWriter<'_>| attrs.str(attr::TABLE, table.name);
    let header = nfgenmsg(table.family.number());
    let result = socket.dump(op::GET_SET, &header, place, |message| {
        each(ListedSet::read(table.family, &message)?);
        Ok(())
    });
    match result {
        // There is no such table.
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// What `read` makes of one set or map, `None` where it does not exist.
pub fn find_set<R>(
    socket: &mut Socket,
    table: TableId<'_>,
    name: &str,
    mut read: impl FnMut(ListedSet<'_>) -> R,
) -> Result<Option<R>, Error> {
    let place = |attrs: &mut AttrWriter<'_>| {
        attrs.str(attr::TABLE, table.name);
        attrs.str(attr::NAME, name);
    };
    let header = nfgenmsg(table.family.number());
    let mut found = None;
    let result = socket.request(op::GET_SET, 0, &header, place, |message| {
        found = Some(read(ListedSet::read(table.family, &message)?));
        Ok(())
    });
    match result {
        Ok(()) => Ok(found),
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The types that make this number.
fn types_of(mut number: u32) -> Option<Vec<DataType>> {
    let mut types = Vec::new();
    while number != 0 {
        types.push(DataType::from_number(number & ((1 << TYPE_BITS) - 1))?);
        number >>= TYPE_BITS;
    }
    types.reverse();
    // An integer may have any length.
    let plain = |one: &DataType| one.name().is_some();
    (!types.is_empty() && types.iter().all(plain)).then_some(types)
}
