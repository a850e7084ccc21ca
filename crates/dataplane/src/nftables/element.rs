//! Elements of sets and maps, as what they stand for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use nfnetlink::Family;
use nfnetlink::nftables::native::{self, Value};
use viprule_service::model::{self, Protocol};
use viprule_service::plan::Frontend;

use super::set::{FrontendSet, Lookup, Row, Set, SetName};
use crate::family::in_netfilter;

/// An element by its key.
///
/// In an order in which no packet finds a frontend before its row: the row, who may use it, that it
/// is there, and last that everything else on its address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// A slot of a row, with its endpoint.
    Endpoint {
        /// True for the row of local endpoints.
        local: bool,
        /// Whose row.
        frontend: Frontend,
        /// The slot, from 0.
        slot: u16,
    },
    /// The id of an endpoint in a row, with the endpoint.
    StickyEndpoint {
        /// True for the row of local endpoints.
        local: bool,
        /// Whose row.
        frontend: Frontend,
        /// The id.
        id: u32,
    },
    /// A slot of a row, with the id of its endpoint.
    StickySlot {
        /// True for the row of local endpoints.
        local: bool,
        /// Whose row.
        frontend: Frontend,
        /// The slot, from 0.
        slot: u16,
    },
    /// An endpoint that may be its own client.
    Hairpin {
        /// Its address.
        address: IpAddr,
        /// Its port.
        port: u16,
        /// The protocol.
        protocol: Protocol,
    },
    /// Sources that may use a frontend.
    Allowed {
        /// The frontend, of an address.
        frontend: Frontend,
        /// The sources.
        sources: IpNet,
    },
    /// Something that is so of a frontend.
    Frontend {
        /// What.
        set: FrontendSet,
        /// The frontend.
        frontend: Frontend,
    },
    /// An address of the node that takes node port traffic.
    NodeAddress(IpAddr),
    /// A range that cluster IPs are given out from.
    ServiceCidr(IpNet),
    /// A cluster IP.
    ClusterIp(IpAddr),
}

impl Element {
    /// The set or map that it is in.
    pub fn set(&self) -> Set {
        let row = |frontend: &Frontend, local| {
            let lookup = lookup(frontend);
            Row { lookup, local }
        };
        let (family, name) = match self {
            Self::Endpoint {
                local, frontend, ..
            } => (family(frontend), SetName::Endpoints(row(frontend, *local))),
            Self::StickyEndpoint {
                local, frontend, ..
            } => (
                family(frontend),
                SetName::StickyEndpoints(row(frontend, *local)),
            ),
            Self::StickySlot {
                local, frontend, ..
            } => (
                family(frontend),
                SetName::StickySlots(row(frontend, *local)),
            ),
            Self::Hairpin { address, .. } => (family_of(*address), SetName::Hairpin),
            Self::Allowed { frontend, .. } => {
                (family(frontend), SetName::Allowed(protocol(frontend)))
            }
            Self::Frontend { set, frontend } => {
                let lookup = lookup(frontend);
                (family(frontend), SetName::Frontends { lookup, of: *set })
            }
            Self::NodeAddress(address) => (family_of(*address), SetName::NodeAddresses),
            Self::ServiceCidr(range) => (family_of(range.addr()), SetName::ServiceCidrs),
            Self::ClusterIp(address) => (family_of(*address), SetName::ClusterIps),
        };
        Set { family, name }
    }

    /// The frontend that it says something of.
    pub fn frontend(&self) -> Option<Frontend> {
        match *self {
            Self::Endpoint { frontend, .. }
            | Self::StickyEndpoint { frontend, .. }
            | Self::StickySlot { frontend, .. }
            | Self::Allowed { frontend, .. }
            | Self::Frontend { frontend, .. } => Some(frontend),
            Self::Hairpin { .. }
            | Self::NodeAddress(_)
            | Self::ServiceCidr(_)
            | Self::ClusterIp(_) => None,
        }
    }

    /// As the kernel has it, with what a map has for it.
    pub fn encode(&self, content: &ElementContent) -> native::Element {
        let element = match *self {
            Self::Endpoint { frontend, slot, .. } | Self::StickySlot { frontend, slot, .. } => {
                number_behind(frontend, slot.into())
            }
            Self::StickyEndpoint { frontend, id, .. } => number_behind(frontend, id),
            Self::Hairpin {
                address,
                port,
                protocol,
            } => {
                let mut key = Value::default();
                key.push_address(address);
                key.push_address(address);
                key.push(&[protocol.number()]);
                key.push(&port.to_be_bytes());
                native::Element::new(key)
            }
            Self::Allowed { frontend, sources } => allowed(frontend, sources),
            Self::Frontend { frontend, .. } => native::Element::new(frontend_key(frontend)),
            Self::NodeAddress(address) | Self::ClusterIp(address) => native::Element::new(address),
            Self::ServiceCidr(range) => ending(
                native::Element::new(range.network()),
                range,
                range.broadcast(),
            ),
        };
        match content {
            ElementContent::Member | ElementContent::Foreign => element,
            ElementContent::Named(comment) => element.with_comment(comment.clone()),
            ElementContent::Endpoint(endpoint) => {
                let mut value = Value::default();
                value.push_address(endpoint.ip());
                value.push(&endpoint.port().to_be_bytes());
                element.with(value)
            }
            ElementContent::Id(id) => element.with(*id),
        }
    }
}

/// What a comment ends with that was cut off, as it was too long for nft.
pub(super) const CUT: &str = "...";

/// What an element says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ElementContent {
    /// Nothing but that it is there.
    Member,
    /// The same, with a comment that names the Service port: `namespace/name:port`, at most 128
    /// bytes.
    Named(Box<str>),
    /// Where packets are sent.
    Endpoint(SocketAddr),
    /// The id of an endpoint.
    Id(u32),
    /// What we never write, such as a timeout or a value of another length.
    Foreign,
}

/// The family of a frontend, as netfilter names it.
pub(super) fn family(frontend: &Frontend) -> Family {
    match frontend {
        Frontend::Address { address, .. } => family_of(*address),
        Frontend::NodePort { family, .. } => in_netfilter(*family),
    }
}

fn family_of(address: IpAddr) -> Family {
    in_netfilter(model::Family::of(&address))
}

/// What a frontend is looked up by.
pub(super) const fn lookup(frontend: &Frontend) -> Lookup {
    match frontend {
        Frontend::Address { .. } => Lookup::Address,
        Frontend::NodePort { .. } => Lookup::NodePort,
    }
}

const fn protocol(frontend: &Frontend) -> Protocol {
    match frontend {
        Frontend::Address { protocol, .. } | Frontend::NodePort { protocol, .. } => *protocol,
    }
}

fn frontend_key(frontend: Frontend) -> Value {
    let mut key = Value::default();
    let (Frontend::Address { port, .. } | Frontend::NodePort { port, .. }) = frontend;
    if let Frontend::Address { address, .. } = frontend {
        key.push_address(address);
    }
    key.push(&[protocol(&frontend).number()]);
    key.push(&port.to_be_bytes());
    key
}

/// A frontend's key and a number in host byte order.
fn number_behind(frontend: Frontend, number: u32) -> native::Element {
    let mut key = frontend_key(frontend);
    key.push(&number.to_ne_bytes());
    native::Element::new(key)
}

fn allowed(frontend: Frontend, sources: IpNet) -> native::Element {
    let key = |source| {
        let mut key = Value::default();
        let (Frontend::Address { port, .. } | Frontend::NodePort { port, .. }) = frontend;
        if let Frontend::Address { address, .. } = frontend {
            key.push_address(address);
        }
        key.push(&port.to_be_bytes());
        key.push_address(source);
        key
    };
    let first = native::Element::new(key(sources.network()));
    ending(first, sources, key(sources.broadcast()))
}

/// The element that begins where a network does, up to its end, as it is read back.
fn ending(first: native::Element, network: IpNet, last: impl Into<Value>) -> native::Element {
    if network.prefix_len() == network.max_prefix_len() {
        first
    } else {
        first.up_to(last)
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { frontend, slot, .. } | Self::StickySlot { frontend, slot, .. } => {
                write!(f, "{frontend} slot {slot}")
            }
            Self::StickyEndpoint { frontend, id, .. } => write!(f, "{frontend} id {id:#x}"),
            Self::Hairpin {
                address,
                port,
                protocol,
            } => write!(f, "{}/{protocol}", SocketAddr::new(*address, *port)),
            Self::Allowed { frontend, sources } => write!(f, "{frontend} from {sources}"),
            Self::Frontend { frontend, .. } => frontend.fmt(f),
            Self::NodeAddress(address) | Self::ClusterIp(address) => address.fmt(f),
            Self::ServiceCidr(range) => range.fmt(f),
        }
    }
}
