//! Sets and maps.

use std::time::Duration;

use netlink_batch::message::flags::{CREATE, EXCL};
use netlink_batch::{Attr, AttrWriter, Errno, Error, Message, Socket};

use super::datatype::{DataType, Order};
use super::expression::milliseconds;
use super::{Expression, TableId, Term, userdata};
use crate::nftables::uapi::{op, set as attr};
use crate::nftables::{Transaction, by_kind, pick, require};
use crate::{Family, nfgenmsg};

/// Parts of a set's user data (`NFTNL_UDATA_SET_*`).
const KEY_ORDER: u8 = 0;
const DATA_ORDER: u8 = 1;
const MERGE: u8 = 2;
const KEY_TYPEOF: u8 = 3;
const DATA_TYPEOF: u8 = 4;
const DATA_INTERVAL: u8 = 6;
/// `NFT_DATA_VERDICT` as the type of a map's values.
const VERDICT: u32 = 0xffff_ff00;
/// Bits of each type in that of a concatenation.
const TYPE_BITS: u32 = 6;

/// What nft says of a set with `flags`, and what the kernel knows beside that (`NFT_SET_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetFlags(pub(super) u32);

impl SetFlags {
    /// Nothing is added or removed once a rule uses it.
    pub const CONSTANT: Self = Self(2);
    /// Elements are ranges.
    pub const INTERVAL: Self = Self(4);
    /// Elements end by themselves.
    pub const TIMEOUT: Self = Self(16);
    /// Rules change it.
    pub const DYNAMIC: Self = Self(32);
    /// It is a map. Follows from its type.
    pub(super) const MAP: Self = Self(8);
    /// The fields of its ranges are told. Follows from its type.
    pub(super) const CONCAT: Self = Self(128);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True where all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What keys and values are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SetType {
    /// `type`: by the types of their fields. Not [`DataType::Integer`], which has no name.
    Types {
        /// The key's fields.
        key: Vec<DataType>,
        /// What a map has for a key; `None` for a set.
        data: Option<MapType>,
    },
    /// `typeof`: by what rules load.
    TypeOf {
        /// The key's fields: addresses, ports, `meta` and `numgen`.
        key: Vec<Term>,
        /// What a map has for a key, the same; `None` for a set.
        data: Option<Vec<Term>>,
    },
    /// Types that this crate does not know, as numbers.
    Raw {
        /// The key's type (`NFTA_SET_KEY_TYPE`).
        key: u32,
        /// Bytes of a key.
        key_len: u32,
        /// The value's type and its length in bytes.
        data: Option<(u32, u32)>,
    },
}

/// What a map has for a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MapType {
    /// A value of these fields.
    Values(Vec<DataType>),
    /// A verdict.
    Verdict,
}

/// A set or a map, without its elements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set {
    /// Its name, at most 255 bytes.
    pub name: Box<str>,
    /// What keys and values are.
    pub kind: SetType,
    /// What is done with it.
    pub flags: SetFlags,
    /// How many elements it holds at most. One that rules fill needs a size.
    pub size: Option<u32>,
    /// How long elements stay that say nothing else; whole milliseconds.
    pub timeout: Option<Duration>,
    /// How often what has ended is thrown away; whole milliseconds.
    pub gc_interval: Option<Duration>,
    /// What each new element carries, such as a counter.
    pub expressions: Vec<Expression>,
    /// True to let nft join ranges that it adds.
    pub auto_merge: bool,
    /// What nft prints behind `comment`; at most 128 bytes.
    pub comment: Option<Box<str>>,
    /// What else its writer keeps with it, as a whole, where nft 1.0.6 would not keep the same with
    /// a set like this. Leave it `None`.
    pub userdata: Option<Box<[u8]>>,
}

/// How the elements of a set are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One key.
    Keys,
    /// Where a range begins, and behind where it ends (`NFT_SET_ELEM_INTERVAL_END`).
    Intervals,
    /// The lowest and the highest of each field (`NFTA_SET_ELEM_KEY_END`).
    Ranges,
}

impl Set {
    /// A set or map without flags, size, timeouts, counters and comment.
    pub fn new(name: impl Into<Box<str>>, kind: SetType) -> Self {
        Self {
            name: name.into(),
            kind,
            flags: SetFlags::default(),
            size: None,
            timeout: None,
            gc_interval: None,
            expressions: Vec::new(),
            auto_merge: false,
            comment: None,
            userdata: None,
        }
    }

    /// A set by the types of the fields of its key.
    pub fn of_types(name: impl Into<Box<str>>, key: impl Into<Vec<DataType>>) -> Self {
        let key = key.into();
        Self::new(name, SetType::Types { key, data: None })
    }

    /// A map by what rules load.
    pub fn map_of(
        name: impl Into<Box<str>>,
        key: impl Into<Vec<Term>>,
        data: impl Into<Vec<Term>>,
    ) -> Self {
        let (key, data) = (key.into(), Some(data.into()));
        Self::new(name, SetType::TypeOf { key, data })
    }

    /// The same set with these flags.
    #[must_use]
    pub fn with_flags(self, flags: SetFlags) -> Self {
        Self { flags, ..self }
    }

    /// The same set, whose elements count packets and bytes.
    #[must_use]
    pub fn counting(mut self) -> Self {
        self.expressions = vec![Expression::Counter(super::Counters::default())];
        self
    }

    /// True for a map.
    pub fn is_map(&self) -> bool {
        match &self.kind {
            SetType::Types { data, .. } => data.is_some(),
            SetType::TypeOf { data, .. } => data.is_some(),
            SetType::Raw { data, .. } => data.is_some(),
        }
    }

    /// The types of the key's fields in a table of this family; `None` for a raw set.
    pub(super) fn key_types(&self, family: Family) -> Option<Vec<DataType>> {
        match &self.kind {
            SetType::Types { key, .. } => Some(key.clone()),
            SetType::TypeOf { key, .. } => Some(types(family, key)),
            SetType::Raw { .. } => None,
        }
    }

    /// What a map has for a key; `None` for a set and for a raw map.
    pub(super) fn map_type(&self, family: Family) -> Option<MapType> {
        match &self.kind {
            SetType::Types { data, .. } => data.clone(),
            SetType::TypeOf { data, .. } => {
                let data = data.as_deref()?;
                Some(MapType::Values(types(family, data)))
            }
            SetType::Raw { .. } => None,
        }
    }

    /// True where keys are numbers in network byte order.
    pub(super) fn is_big_endian(&self, family: Family) -> bool {
        let types = self.key_types(family);
        matches!(types.as_deref(), Some([one]) if one.order() == Order::Network)
    }

    fn key_fields(&self) -> usize {
        match &self.kind {
            SetType::Types { key, .. } => key.len(),
            SetType::TypeOf { key, .. } => key.len(),
            SetType::Raw { .. } => 1,
        }
    }

    pub(super) fn layout(&self) -> Layout {
        if self.flags.has(SetFlags::CONCAT) {
            Layout::Ranges
        } else if !self.flags.has(SetFlags::INTERVAL) {
            Layout::Keys
        } else if self.key_fields() > 1 {
            Layout::Ranges
        } else {
            Layout::Intervals
        }
    }

    /// Flags that follow from the type.
    fn implied(&self) -> SetFlags {
        let mut flags = SetFlags::default();
        if self.is_map() {
            flags = flags.with(SetFlags::MAP);
        }
        if self.flags.has(SetFlags::INTERVAL) && self.key_fields() > 1 {
            flags = flags.with(SetFlags::CONCAT);
        }
        flags
    }

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
    fn made_userdata(&self, family: Family) -> Vec<u8> {
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
    fn numbers(&self, family: Family) -> (u32, u32, Option<(u32, u32)>) {
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

fn types(family: Family, terms: &[Term]) -> Vec<DataType> {
    terms.iter().map(|term| term.data_type(family)).collect()
}

/// The number of a concatenation.
fn number(types: &[DataType]) -> u32 {
    types
        .iter()
        .fold(0, |all, one| all << TYPE_BITS | one.number())
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

/// Bytes of a value of these fields.
fn total(types: &[DataType]) -> u32 {
    wide(match types {
        [one] => one.len(),
        _ => types
            .iter()
            .map(|one| one.len().next_multiple_of(super::value::WORD))
            .sum(),
    })
}

fn wide(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

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
