//! Chains: what they are called, and where those are called that packets begin in.

use std::fmt;

use nfnetlink::nftables::Hook;
use nfnetlink::nftables::native::{Base, ChainKind};

use super::set::{Lookup, Row};

/// A chain that others lead to. Rules lead to smaller ones only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// Masquerades.
    Masquerading,
    /// Takes the id of an endpoint off a packet.
    Translated,
    /// Drops those that a restricted frontend is not for.
    Restricted,
    /// Looks for restricted frontends.
    Firewall,
    /// Turns packets away that leave or pass the node.
    CheckAway,
    /// Turns packets away that are for the node.
    CheckIn,
    /// Translates to an endpoint of a row of this size.
    PickSize {
        /// The kind of row.
        row: Row,
        /// A power of two.
        size: u16,
    },
    /// Draws the id of an endpoint of a row of this size.
    DrawSize {
        /// The kind of row.
        row: Row,
        /// A power of two.
        size: u16,
    },
    /// Draws the id of an endpoint.
    Draw(Row),
    /// Translates to the client's endpoint, which it keeps for so many seconds.
    StickyFor {
        /// The kind of row.
        row: Row,
        /// The seconds.
        seconds: u32,
    },
    /// Looks for frontends with session affinity. Its rules are objects of their own.
    Sticky(Row),
    /// Translates to an endpoint.
    Pick(Row),
    /// Decides for frontends with `externalTrafficPolicy: Local`.
    Local(Lookup),
    /// Decides for cluster IPs.
    Cluster,
    /// Decides for a frontend that has endpoints.
    Service(Lookup),
    /// Looks for frontends.
    Services,
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masquerading => f.write_str("masquerading"),
            Self::Translated => f.write_str("translated"),
            Self::Restricted => f.write_str("restricted"),
            Self::Firewall => f.write_str("firewall"),
            Self::CheckAway => f.write_str("check-away"),
            Self::CheckIn => f.write_str("check-in"),
            Self::PickSize { row, size } => write!(f, "{row}pick-{size}"),
            Self::DrawSize { row, size } => write!(f, "{row}draw-{size}"),
            Self::Draw(row) => write!(f, "{row}draw"),
            Self::StickyFor { row, seconds } => write!(f, "{row}sticky-{seconds}"),
            Self::Sticky(row) => write!(f, "{row}sticky"),
            Self::Pick(row) => write!(f, "{row}pick"),
            Self::Local(lookup) => write!(f, "{}local", lookup.prefix()),
            Self::Cluster => f.write_str("cluster"),
            Self::Service(lookup) => write!(f, "{}service", lookup.prefix()),
            Self::Services => f.write_str("services"),
        }
    }
}

/// A chain that the kernel calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BaseChain {
    /// Masquerades what is marked for it.
    NatPostrouting,
    /// Turns away what is for the node.
    FilterInput,
    /// Turns away what passes the node.
    FilterForward,
    /// Turns away what the node sends.
    FilterOutput,
    /// Looks at sources of packets from outside, before they are translated.
    FilterPrerouting,
    /// The same for what the node sends.
    FilterOutputEarly,
    /// Translates packets from outside.
    NatPrerouting,
    /// Translates what the node sends.
    NatOutput,
}

impl BaseChain {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NatPostrouting,
        Self::FilterInput,
        Self::FilterForward,
        Self::FilterOutput,
        Self::FilterPrerouting,
        Self::FilterOutputEarly,
        Self::NatPrerouting,
        Self::NatOutput,
    ];

    /// Where it is called.
    pub const fn base(self) -> Base {
        let (kind, hook, priority) = match self {
            Self::NatPostrouting => (ChainKind::Nat, Hook::Postrouting, 100),
            Self::FilterInput => (ChainKind::Filter, Hook::Input, 0),
            Self::FilterForward => (ChainKind::Filter, Hook::Forward, 0),
            Self::FilterOutput => (ChainKind::Filter, Hook::Output, 0),
            Self::FilterPrerouting => (ChainKind::Filter, Hook::Prerouting, -110),
            Self::FilterOutputEarly => (ChainKind::Filter, Hook::Output, -110),
            Self::NatPrerouting => (ChainKind::Nat, Hook::Prerouting, -100),
            Self::NatOutput => (ChainKind::Nat, Hook::Output, -100),
        };
        Base::accepting(kind, hook, priority)
    }
}

impl fmt::Display for BaseChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NatPostrouting => "nat-postrouting",
            Self::FilterInput => "filter-input",
            Self::FilterForward => "filter-forward",
            Self::FilterOutput => "filter-output",
            Self::FilterPrerouting => "filter-prerouting",
            Self::FilterOutputEarly => "filter-output-early",
            Self::NatPrerouting => "nat-prerouting",
            Self::NatOutput => "nat-output",
        })
    }
}
