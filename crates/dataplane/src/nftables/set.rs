//! Sets and maps: what they are called and what they hold.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use nfnetlink::Family;
use nfnetlink::nftables::native::{self, DataType, MetaKey, SetFlags, Term, Transport};
use viprule_service::model::Protocol;

use super::statements::{affinity_key_types, key, random};

/// The most slots of a row: the largest power of two that there is a set for.
pub const LARGEST_ROW: u16 = 8192;

/// The same of a row of local endpoints.
pub const LARGEST_LOCAL_ROW: u16 = 1024;

/// Clients with session affinity that the kernel remembers at most, in each family.
const AFFINITY_SIZE: u32 = 65_536;

/// What a frontend is looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lookup {
    /// Address, protocol and port.
    Address,
    /// Protocol and port, on the node's addresses.
    NodePort,
}

impl Lookup {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Address, Self::NodePort];

    /// What names of sets and chains for it begin with.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Address => "",
            Self::NodePort => "node-",
        }
    }
}

/// Which of a frontend's rows: numbered slots with an endpoint each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// What the frontend is looked up by.
    pub lookup: Lookup,
    /// True for the row of `externalTrafficPolicy: Local`.
    pub local: bool,
}

impl Row {
    /// All kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        let both = |lookup| [false, true].map(|local| Self { lookup, local });
        Lookup::ALL.into_iter().flat_map(both)
    }

    /// The sizes that rows are rounded up to: powers of two.
    pub fn sizes(self) -> impl Iterator<Item = u16> + Clone {
        sizes(self.local)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = if self.local { "local-" } else { "" };
        write!(f, "{}{local}", self.lookup.prefix())
    }
}

/// The most slots of a row.
pub(super) const fn largest(local: bool) -> u16 {
    if local {
        LARGEST_LOCAL_ROW
    } else {
        LARGEST_ROW
    }
}

fn sizes(local: bool) -> impl Iterator<Item = u16> + Clone {
    (0..=largest(local).ilog2()).map(|bits| 1 << bits)
}

/// What a set says of the frontends in it. In the order in which a new frontend gets into them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendSet {
    /// The row has at most so many slots, and more than half of them.
    Size {
        /// Which row.
        local: bool,
        /// A power of two.
        size: u16,
    },
    /// Clients keep their endpoint for so many seconds after they connected last.
    Sticky(u32),
    /// Traffic from outside goes to local endpoints only.
    Local,
    /// Only some sources may use it (`loadBalancerSourceRanges`).
    Restricted,
    /// There are endpoints, here or elsewhere.
    Services,
    /// There are no endpoints.
    Rejected,
    /// There are endpoints, but none for those that are not translated.
    Dropped,
}

impl fmt::Display for FrontendSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { local, size } => {
                let local = if *local { "local-" } else { "" };
                write!(f, "{local}size-{size}")
            }
            Self::Sticky(seconds) => write!(f, "sticky-{seconds}"),
            Self::Local => f.write_str("local-frontends"),
            Self::Restricted => f.write_str("restricted-frontends"),
            Self::Services => f.write_str("services"),
            Self::Rejected => f.write_str("rejected-frontends"),
            Self::Dropped => f.write_str("dropped-frontends"),
        }
    }
}

/// A set or map of our table. Maps have keys of the type of their row's frontends, and one more
/// field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetName {
    /// Frontends.
    Frontends {
        /// What they are looked up by.
        lookup: Lookup,
        /// What is said of them.
        of: FrontendSet,
    },
    /// Slot to endpoint.
    Endpoints(Row),
    /// Slot to the id of an endpoint.
    StickySlots(Row),
    /// Id to endpoint.
    StickyEndpoints(Row),
    /// Client and frontend to the id of an endpoint. Only packets write it.
    Affinity,
    /// Virtual IP, port of this protocol and the sources that may use them.
    Allowed(Protocol),
    /// Endpoints of this node, as connections to themselves have them.
    Hairpin,
    /// Cluster IPs.
    ClusterIps,
    /// The node's addresses that take node port traffic.
    NodeAddresses,
    /// Ranges that cluster IPs are given out from.
    ServiceCidrs,
}

impl SetName {
    /// Those that are there whatever the Services are.
    pub fn all() -> impl Iterator<Item = Self> {
        let of_lookup = |lookup| {
            let sizes = [false, true]
                .into_iter()
                .flat_map(|local| sizes(local).map(move |size| FrontendSet::Size { local, size }));
            let others = [
                FrontendSet::Local,
                FrontendSet::Services,
                FrontendSet::Rejected,
                FrontendSet::Dropped,
            ];
            let restricted = (lookup == Lookup::Address).then_some(FrontendSet::Restricted);
            sizes
                .chain(others)
                .chain(restricted)
                .map(move |of| Self::Frontends { lookup, of })
        };
        let of_row = |row| {
            [
                Self::Endpoints(row),
                Self::StickySlots(row),
                Self::StickyEndpoints(row),
            ]
        };
        Lookup::ALL
            .into_iter()
            .flat_map(of_lookup)
            .chain(Row::all().flat_map(of_row))
            .chain([Self::Affinity])
            .chain([Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(Self::Allowed))
            .chain([Self::Hairpin, Self::ClusterIps])
            .chain([Self::NodeAddresses, Self::ServiceCidrs])
    }
}

/// The fixed names with what they mean.
static NAMES: LazyLock<HashMap<String, SetName>> =
    LazyLock::new(|| SetName::all().map(|set| (set.to_string(), set)).collect());

impl SetName {
    /// True for sets whose elements count the packets that find them, which are the first ones of
    /// connections.
    pub const fn counts(&self) -> bool {
        match self {
            Self::Frontends { of, .. } => matches!(
                of,
                FrontendSet::Services
                    | FrontendSet::Rejected
                    | FrontendSet::Dropped
                    | FrontendSet::Restricted
            ),
            Self::Endpoints(_) | Self::StickyEndpoints(_) | Self::Allowed(_) => true,
            Self::StickySlots(_)
            | Self::Affinity
            | Self::Hairpin
            | Self::ClusterIps
            | Self::NodeAddresses
            | Self::ServiceCidrs => false,
        }
    }

    /// The set of this name, where it is one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let fixed = NAMES.get(name).copied();
        fixed.or_else(|| {
            let (_, seconds) = name.rsplit_once('-')?;
            let of = FrontendSet::Sticky(seconds.parse().ok()?);
            let mut all = Lookup::ALL
                .map(|lookup| Self::Frontends { lookup, of })
                .into_iter();
            all.find(|set| set.to_string() == name)
        })
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frontends { lookup, of } => write!(f, "{}{of}", lookup.prefix()),
            Self::Endpoints(row) => write!(f, "{row}endpoints"),
            Self::StickySlots(row) => write!(f, "{row}sticky-slots"),
            Self::StickyEndpoints(row) => write!(f, "{row}sticky-endpoints"),
            Self::Affinity => f.write_str("affinity"),
            Self::Allowed(Protocol::Tcp) => f.write_str("allowed-tcp"),
            Self::Allowed(Protocol::Udp) => f.write_str("allowed-udp"),
            Self::Allowed(Protocol::Sctp) => f.write_str("allowed-sctp"),
            Self::Hairpin => f.write_str("hairpin"),
            Self::ClusterIps => f.write_str("cluster-ips"),
            Self::NodeAddresses => f.write_str("node-addresses"),
            Self::ServiceCidrs => f.write_str("service-cidrs"),
        }
    }
}

/// A set or map of one family's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set {
    /// The family.
    pub family: Family,
    /// Which one.
    pub name: SetName,
}

impl Set {
    /// What it is made with.
    pub fn spec(self) -> native::Set {
        let spec = self.uncounted();
        if self.name.counts() {
            spec.counting()
        } else {
            spec
        }
    }

    fn uncounted(self) -> native::Set {
        let address = Term::SourceAddress.data_type(self.family);
        let (protocol, port) = (DataType::InetProto, DataType::InetService);
        let name = self.name.to_string();
        let map = |row: Row, last, data: Vec<Term>| {
            let mut key = key(row.lookup);
            key.push(last);
            native::Set::map_of(name.clone(), key, data)
        };
        let id = || Term::Meta(MetaKey::Priority);
        let endpoint = || {
            vec![
                Term::DestinationAddress,
                Term::DestinationPort(Transport::Any),
            ]
        };
        match self.name {
            SetName::Frontends { lookup, .. } => {
                let types = match lookup {
                    Lookup::Address => vec![address, protocol, port],
                    Lookup::NodePort => vec![protocol, port],
                };
                native::Set::of_types(name, types)
            }
            SetName::Endpoints(row) => map(row, random(2), endpoint()),
            SetName::StickySlots(row) => map(row, random(2), vec![id()]),
            SetName::StickyEndpoints(row) => map(row, id(), endpoint()),
            SetName::Affinity => {
                let set = native::Set::map_of(name, affinity_key_types(self.family), [id()]);
                let flags = SetFlags::DYNAMIC.with(SetFlags::TIMEOUT);
                native::Set {
                    size: Some(AFFINITY_SIZE),
                    ..set.with_flags(flags)
                }
            }
            // Without the protocol: nft 1.0.6 writes one that Linux 6.12 refuses in ranges.
            SetName::Allowed(_) => {
                native::Set::of_types(name, [address, port, address]).with_flags(SetFlags::INTERVAL)
            }
            SetName::Hairpin => native::Set::of_types(name, [address, address, protocol, port]),
            SetName::ClusterIps | SetName::NodeAddresses => native::Set::of_types(name, [address]),
            SetName::ServiceCidrs => {
                native::Set::of_types(name, [address]).with_flags(SetFlags::INTERVAL)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let sticky = Lookup::ALL.map(|lookup| SetName::Frontends {
            lookup,
            of: FrontendSet::Sticky(10_800),
        });
        for set in SetName::all().chain(sticky) {
            assert_eq!(SetName::parse(&set.to_string()), Some(set));
        }
        for foreign in [
            "",
            "x",
            "sticky-",
            "sticky-010",
            "sticky-+10",
            "sticky-4294967296",
            "size-3",
        ] {
            assert_eq!(SetName::parse(foreign), None, "{foreign}");
        }
    }
}
