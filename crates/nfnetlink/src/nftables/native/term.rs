//! What rules load: the parts of keys.

use super::{DataType, Expression, Register};
use crate::Family;

/// `NFT_PAYLOAD_NETWORK_HEADER`, `NFT_PAYLOAD_TRANSPORT_HEADER`.
pub(super) const NETWORK: u32 = 1;
pub(super) const TRANSPORT: u32 = 2;
/// `NFTA_FIB_F_SADDR`, `NFTA_FIB_F_DADDR`, and `NFT_FIB_RESULT_ADDRTYPE`.
pub(super) const FIB_SOURCE: u32 = 1;
pub(super) const FIB_DESTINATION: u32 = 2;
pub(super) const FIB_TYPE: u32 = 3;

/// One field of a packet, or something about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Term {
    /// `ip saddr` or `ip6 saddr`, of the table's family.
    SourceAddress,
    /// `ip daddr` or `ip6 daddr`, of the table's family.
    DestinationAddress,
    /// `th sport`, `tcp sport`, `udp sport`, `sctp sport`.
    SourcePort(Transport),
    /// `th dport`, `tcp dport`, `udp dport`, `sctp dport`.
    DestinationPort(Transport),
    /// `meta KEY`.
    Meta(MetaKey),
    /// `ct KEY`.
    Ct(CtKey),
    /// `fib saddr type`: what the source address is to this host.
    SourceType,
    /// `fib daddr type`: what the destination address is to this host.
    DestinationType,
    /// `numgen`.
    Numgen(Numgen),
    /// `jhash`.
    Hash(Hash),
}

/// Whose port it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// `th`: of whatever protocol; the first four bytes of its header.
    Any,
    /// `tcp`: the rule goes on with TCP only.
    Tcp,
    /// `udp`: the rule goes on with UDP only.
    Udp,
    /// `sctp`: the rule goes on with SCTP only.
    Sctp,
}

impl Transport {
    pub(super) const ALL: [Self; 4] = [Self::Any, Self::Tcp, Self::Udp, Self::Sctp];

    /// The protocol's number; `None` for any.
    pub const fn protocol(self) -> Option<u8> {
        match self {
            Self::Any => None,
            Self::Tcp => Some(6),
            Self::Udp => Some(17),
            Self::Sctp => Some(132),
        }
    }

    pub(super) fn of_protocol(number: u8) -> Option<Self> {
        let found = |one: &Self| one.protocol() == Some(number);
        Self::ALL.into_iter().find(found)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Any => "th",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// Something about a packet (`NFT_META_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum MetaKey {
    /// `priority`: how it is queued.
    Priority = 2,
    /// `mark`.
    Mark = 3,
    /// `iifname`: the name of the interface that it came by.
    InterfaceIn = 6,
    /// `oifname`: the name of the interface that it leaves by.
    InterfaceOut = 7,
    /// `l4proto`: its transport protocol.
    L4Proto = 16,
}

impl MetaKey {
    const ALL: [Self; 5] = [
        Self::Priority,
        Self::Mark,
        Self::InterfaceIn,
        Self::InterfaceOut,
        Self::L4Proto,
    ];

    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|one| *one as u32 == number)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Priority => "priority",
            Self::Mark => "mark",
            Self::InterfaceIn => "iifname",
            Self::InterfaceOut => "oifname",
            Self::L4Proto => "l4proto",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// True for one that nft prints without `meta` in front.
    pub(super) const fn is_bare(self) -> bool {
        matches!(self, Self::InterfaceIn | Self::InterfaceOut)
    }

    const fn data_type(self) -> DataType {
        match self {
            Self::Priority => DataType::ClassId,
            Self::Mark => DataType::Mark,
            Self::InterfaceIn | Self::InterfaceOut => DataType::IfName,
            Self::L4Proto => DataType::InetProto,
        }
    }
}

/// Something about a packet's connection (`NFT_CT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum CtKey {
    /// `state`: bits, as in `established,related`.
    State = 0,
    /// `direction`.
    Direction = 1,
    /// `status`: bits, as in `dnat`.
    Status = 2,
    /// `mark`.
    Mark = 3,
}

impl CtKey {
    const ALL: [Self; 4] = [Self::State, Self::Direction, Self::Status, Self::Mark];

    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|one| *one as u32 == number)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Direction => "direction",
            Self::Status => "status",
            Self::Mark => "mark",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    const fn data_type(self) -> DataType {
        match self {
            Self::State => DataType::CtState,
            Self::Direction => DataType::CtDirection,
            Self::Status => DataType::CtStatus,
            Self::Mark => DataType::Mark,
        }
    }
}

/// A number for each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Numgen {
    /// True to draw it, false to count.
    pub random: bool,
    /// It is below this; not 0.
    pub modulus: u32,
    /// Added to it.
    pub offset: u32,
}

impl Numgen {
    /// One that is drawn, of 0 to `modulus` - 1.
    pub const fn random(modulus: u32) -> Self {
        Self {
            random: true,
            modulus,
            offset: 0,
        }
    }
}

/// A hash of fields (Jenkins).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash {
    /// What is hashed, none of them numbers or hashes themselves.
    pub of: Vec<Term>,
    /// It is below this; not 0.
    pub modulus: u32,
    /// What it begins with: the same on all hosts that are to agree. The kernel draws one where
    /// there is none.
    pub seed: Option<u32>,
    /// Added to it.
    pub offset: u32,
}

impl Term {
    /// The type of its value.
    pub const fn data_type(&self, family: Family) -> DataType {
        match self {
            Self::SourceAddress | Self::DestinationAddress => match family {
                Family::Ipv4 => DataType::Ipv4Addr,
                Family::Ipv6 => DataType::Ipv6Addr,
            },
            Self::SourcePort(_) | Self::DestinationPort(_) => DataType::InetService,
            Self::Meta(key) => key.data_type(),
            Self::Ct(key) => key.data_type(),
            Self::SourceType | Self::DestinationType => DataType::FibType,
            Self::Numgen(_) | Self::Hash(_) => DataType::Integer,
        }
    }

    /// The transport protocol that must be known to be this one.
    pub(super) fn transport(&self) -> Option<Transport> {
        match self {
            Self::SourcePort(transport) | Self::DestinationPort(transport) => {
                Some(*transport).filter(|transport| *transport != Transport::Any)
            }
            Self::Hash(hash) => hash.of.iter().find_map(Self::transport),
            _ => None,
        }
    }

    /// What loads it; a hash takes more than one expression and is not among these.
    pub(super) fn load(&self, family: Family, to: Register) -> Expression {
        let payload = |base, offset, len| Expression::Payload {
            to,
            base,
            offset,
            len,
        };
        let fib = |flags| Expression::Fib {
            to,
            result: FIB_TYPE,
            flags,
        };
        match self {
            Self::SourceAddress => {
                let (offset, _, len) = addresses(family);
                payload(NETWORK, offset, len)
            }
            Self::DestinationAddress => {
                let (_, offset, len) = addresses(family);
                payload(NETWORK, offset, len)
            }
            Self::SourcePort(_) | Self::Hash(_) => payload(TRANSPORT, 0, 2),
            Self::DestinationPort(_) => payload(TRANSPORT, 2, 2),
            Self::Meta(key) => Expression::Meta {
                to,
                key: *key as u32,
            },
            Self::Ct(key) => Expression::Ct {
                to,
                key: *key as u32,
                direction: None,
            },
            Self::SourceType => fib(FIB_SOURCE),
            Self::DestinationType => fib(FIB_DESTINATION),
            Self::Numgen(numgen) => Expression::Numgen {
                to,
                kind: numgen.random.into(),
                modulus: numgen.modulus,
                offset: numgen.offset,
            },
        }
    }

    /// The term that this expression loads.
    pub(super) fn of_load(family: Family, load: &Expression) -> Option<Self> {
        let (source, destination, size) = addresses(family);
        Some(match *load {
            Expression::Payload {
                base: NETWORK,
                offset,
                len,
                ..
            } if len == size && offset == source => Self::SourceAddress,
            Expression::Payload {
                base: NETWORK,
                offset,
                len,
                ..
            } if len == size && offset == destination => Self::DestinationAddress,
            Expression::Payload {
                base: TRANSPORT,
                offset: 0,
                len: 2,
                ..
            } => Self::SourcePort(Transport::Any),
            Expression::Payload {
                base: TRANSPORT,
                offset: 2,
                len: 2,
                ..
            } => Self::DestinationPort(Transport::Any),
            Expression::Meta { key, .. } => Self::Meta(MetaKey::from_number(key)?),
            Expression::Ct {
                key,
                direction: None,
                ..
            } => Self::Ct(CtKey::from_number(key)?),
            Expression::Fib {
                result: FIB_TYPE,
                flags: FIB_SOURCE,
                ..
            } => Self::SourceType,
            Expression::Fib {
                result: FIB_TYPE,
                flags: FIB_DESTINATION,
                ..
            } => Self::DestinationType,
            Expression::Numgen {
                kind: kind @ (0 | 1),
                modulus,
                offset,
                ..
            } => Self::Numgen(Numgen {
                random: kind == 1,
                modulus,
                offset,
            }),
            _ => return None,
        })
    }
}

/// Offsets of source and destination in the network header, and their length; bytes.
pub(super) const fn addresses(family: Family) -> (u32, u32, u32) {
    match family {
        Family::Ipv4 => (12, 16, 4),
        Family::Ipv6 => (8, 24, 16),
    }
}
