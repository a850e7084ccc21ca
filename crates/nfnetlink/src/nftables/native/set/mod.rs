//! Sets and maps.

mod read;
mod write;

use std::time::Duration;

use super::datatype::{DataType, Order};
use super::{Counters, Expression, Term};
use crate::Family;

pub use self::read::{ListedSet, find_set, sets};

/// What nft says of a set with `flags`, and what the kernel knows beside that (`NFT_SET_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetFlags(pub(in crate::nftables::native) u32);

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
    pub(in crate::nftables::native) const MAP: Self = Self(8);
    /// The fields of its ranges are told. Follows from its type.
    pub(in crate::nftables::native) const CONCAT: Self = Self(128);

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
pub(in crate::nftables::native) enum Layout {
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
        self.expressions = vec![Expression::Counter(Counters::default())];
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
    pub(in crate::nftables::native) fn key_types(&self, family: Family) -> Option<Vec<DataType>> {
        match &self.kind {
            SetType::Types { key, .. } => Some(key.clone()),
            SetType::TypeOf { key, .. } => Some(types(family, key)),
            SetType::Raw { .. } => None,
        }
    }

    /// What a map has for a key; `None` for a set and for a raw map.
    pub(in crate::nftables::native) fn map_type(&self, family: Family) -> Option<MapType> {
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
    pub(in crate::nftables::native) fn is_big_endian(&self, family: Family) -> bool {
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

    pub(in crate::nftables::native) fn layout(&self) -> Layout {
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
}

fn types(family: Family, terms: &[Term]) -> Vec<DataType> {
    terms.iter().map(|term| term.data_type(family)).collect()
}
