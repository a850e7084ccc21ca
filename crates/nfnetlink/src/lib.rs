//! Netfilter messages: `nf_tables`, the xtables-compat expressions that make `nf_tables` rules
//! look like iptables rules, tracked flows, IP sets and nfacct counters.
//!
//! Messages are encoded straight into a [`netlink_batch`] buffer and decoded from borrowed bytes.

use std::fmt;

pub mod conntrack;
pub mod ipset;
pub mod nfacct;
pub mod nftables;
pub mod xtables;

/// The IP family of a table (`NFPROTO_IPV4`, `NFPROTO_IPV6`).
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
