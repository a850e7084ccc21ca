#![doc = include_str!("../README.md")]

use std::fmt;

/// The types of [`ipnet`] are in rules and in elements of sets.
pub use ipnet;
/// The socket, its errors and the attributes are of [`netlink_batch`].
pub use netlink_batch;

pub mod conntrack;
pub mod ipset;
pub mod nfacct;
pub mod nftables;
pub mod xtables;

/// The IP family of a table (`NFPROTO_IPV4`, `NFPROTO_IPV6`). There are no others here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, as `iptables` uses it.
    Ipv4,
    /// IPv6, as `ip6tables` uses it.
    Ipv6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The number in `nfgenmsg.nfgen_family`.
    pub const fn number(self) -> u8 {
        match self {
            Self::Ipv4 => 2,
            Self::Ipv6 => 10,
        }
    }

    /// The family with this number in `nfgenmsg.nfgen_family`; `None` for inet, arp, bridge and
    /// netdev tables.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::Ipv4),
            10 => Some(Self::Ipv6),
            _ => None,
        }
    }
}

impl fmt::Display for Family {
    /// The family's name in `nft`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
        })
    }
}

/// `struct nfgenmsg` of a message to a subsystem other than the batch's own.
pub(crate) const fn nfgenmsg(family: u8) -> [u8; 4] {
    [family, 0, 0, 0]
}
