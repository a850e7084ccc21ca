//! Types of sets.

use std::fmt;

use crate::Family;

/// A type of set, as far as this crate knows its elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `hash:ip`.
    HashIp,
    /// `hash:net`.
    HashNet,
    /// `hash:ip,port`.
    HashIpPort,
    /// `hash:ip,port,ip`.
    HashIpPortIp,
    /// `hash:ip,port,net`.
    HashIpPortNet,
    /// `bitmap:port`.
    BitmapPort,
}

impl Kind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::HashIp,
        Self::HashNet,
        Self::HashIpPort,
        Self::HashIpPortIp,
        Self::HashIpPortNet,
        Self::BitmapPort,
    ];

    /// The type's name in the kernel.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HashIp => "hash:ip",
            Self::HashNet => "hash:net",
            Self::HashIpPort => "hash:ip,port",
            Self::HashIpPortIp => "hash:ip,port,ip",
            Self::HashIpPortNet => "hash:ip,port,net",
            Self::BitmapPort => "bitmap:port",
        }
    }

    /// The newest revision of the type whose meaning this crate knows (Linux 6.18).
    pub(super) const fn newest_revision(self) -> u8 {
        match self {
            Self::HashIp | Self::HashIpPortIp => 6,
            Self::HashNet | Self::HashIpPort => 7,
            Self::HashIpPortNet => 8,
            Self::BitmapPort => 3,
        }
    }

    /// The type of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a set is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Spec {
    /// A hash of elements of one IP family.
    Hash {
        /// The type, one of those that are hashes.
        kind: Kind,
        /// The family of its addresses.
        family: Family,
        /// `maxelem`: elements at most.
        max_elements: u32,
    },
    /// `bitmap:port`.
    Ports {
        /// The first port that it may hold.
        first: u16,
        /// The last one.
        last: u16,
    },
}

impl Spec {
    /// `maxelem` where nothing else is asked for.
    pub const DEFAULT_MAX_ELEMENTS: u32 = 65_536;

    /// The type.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Hash { kind, .. } => *kind,
            Self::Ports { .. } => Kind::BitmapPort,
        }
    }

    /// The family of the elements' addresses, if they have any.
    pub const fn family(&self) -> Option<Family> {
        match self {
            Self::Hash { family, .. } => Some(*family),
            Self::Ports { .. } => None,
        }
    }
}
