//! Chains: what they are called, and where those are called that packets begin in.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

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

/// The fixed names with what they mean.
static NAMES: LazyLock<HashMap<String, Chain>> = LazyLock::new(|| {
    Chain::all()
        .map(|chain| (chain.to_string(), chain))
        .collect()
});

impl Chain {
    /// Those that are there whatever the Services are.
    pub fn all() -> impl Iterator<Item = Self> {
        let of_row = |row: Row| {
            let sizes = row
                .sizes()
                .flat_map(move |size| [Self::PickSize { row, size }, Self::DrawSize { row, size }]);
            sizes.chain([Self::Draw(row), Self::Sticky(row), Self::Pick(row)])
        };
        let of_lookup = |lookup| [Self::Local(lookup), Self::Service(lookup)];
        Row::all()
            .flat_map(of_row)
            .chain(Lookup::ALL.into_iter().flat_map(of_lookup))
            .chain([
                Self::Masquerading,
                Self::Translated,
                Self::Restricted,
                Self::Firewall,
                Self::CheckAway,
                Self::CheckIn,
                Self::Cluster,
                Self::Services,
            ])
    }

    /// The chain of this name, where it is one of ours that others lead to.
    pub fn parse(name: &str) -> Option<Self> {
        let fixed = NAMES.get(name).copied();
        fixed.or_else(|| {
            let (_, seconds) = name.rsplit_once('-')?;
            let seconds = seconds.parse().ok()?;
            let mut all = Row::all().map(|row| Self::StickyFor { row, seconds });
            all.find(|chain| chain.to_string() == name)
        })
    }
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

    /// The chain of this name, where it is one of ours that the kernel calls.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|chain| chain.to_string() == name)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let seconds = 10_800;
        let sticky = Row::all().map(|row| Chain::StickyFor { row, seconds });
        for chain in Chain::all().chain(sticky) {
            assert_eq!(Chain::parse(&chain.to_string()), Some(chain));
        }
        for chain in BaseChain::ALL {
            assert_eq!(BaseChain::parse(&chain.to_string()), Some(chain));
            assert_eq!(Chain::parse(&chain.to_string()), None);
        }
        for foreign in [
            "",
            "pick-3",
            "sticky-010",
            "sticky-slots",
            "sticky-4294967296",
        ] {
            assert_eq!(Chain::parse(foreign), None, "{foreign}");
        }
    }
}
