//! Keys and contents of IPVS mode's objects.

use std::fmt;
use std::net::IpAddr;

use ipvs_netlink::{Destination, DestinationId, Server, ServerId};
use nfnetlink::ipset::{Entry, Spec};
use viprule_service::model::ServiceId;

use crate::netfilter;
use crate::ownership::Set;
use crate::ownership::leftovers::IPVS_LINK;
use crate::state::{Content, Fingerprint, ObjectKey};

/// What identifies an object of IPVS mode.
///
/// In the order of creation. Elements of sets come before the virtual servers that they stand for:
/// from the kernel's state alone they tell which virtual servers are ours. Addresses come behind
/// the servers and their destinations, so that no packet meets a half-made one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The link that carries the virtual addresses.
    Link,
    /// A set, without its elements.
    Set(Set),
    /// An element of a set.
    Entry {
        /// The set.
        set: Set,
        /// The element.
        entry: Entry,
    },
    /// A virtual server, without its destinations.
    Server(ServerId),
    /// A destination of a virtual server.
    Destination {
        /// The virtual server.
        server: ServerId,
        /// The destination.
        destination: DestinationId,
    },
    /// An address on the link.
    Address(IpAddr),
    /// A chain or rule.
    Netfilter(netfilter::Key),
}

/// A piece of the kernel's state that is observed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    /// The link and its addresses.
    Link,
    /// The sets and their elements.
    Sets,
    /// Virtual servers and their destinations.
    Servers,
    /// A chain.
    Netfilter(netfilter::Piece),
}

impl ObjectKey for Key {
    type Piece = Piece;

    fn piece(&self) -> Piece {
        match self {
            Self::Link | Self::Address(_) => Piece::Link,
            Self::Set(_) | Self::Entry { .. } => Piece::Sets,
            Self::Server(_) | Self::Destination { .. } => Piece::Servers,
            Self::Netfilter(key) => Piece::Netfilter(key.piece()),
        }
    }

    fn is_removable(&self) -> bool {
        match self {
            Self::Netfilter(key) => key.is_removable(),
            _ => true,
        }
    }

    /// Services may share pods, external addresses and load balancers' addresses.
    fn is_common(&self) -> bool {
        match self {
            Self::Entry { .. } | Self::Server(_) | Self::Destination { .. } | Self::Address(_) => {
                true
            }
            Self::Link | Self::Set(_) | Self::Netfilter(_) => false,
        }
    }

    /// Rules about a set stand only while it has an element (contract 3.6).
    fn container(&self) -> Option<Self> {
        match self {
            Self::Entry { set, .. } => Some(Self::Set(*set)),
            _ => None,
        }
    }

    /// A virtual server without all of its destinations may have none that works.
    fn whole(&self) -> Option<Self> {
        match self {
            Self::Destination { server, .. } => Some(Self::Server(*server)),
            _ => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => write!(f, "link {IPVS_LINK}"),
            Self::Set(set) => write!(f, "IP set {set}"),
            Self::Entry { set, entry } => write!(f, "IP set {set}: {entry}"),
            Self::Server(server) => write!(f, "virtual server {server}"),
            Self::Destination {
                server,
                destination,
            } => write!(f, "virtual server {server}: {destination}"),
            Self::Address(address) => write!(f, "address {address} on {IPVS_LINK}"),
            Self::Netfilter(key) => key.fmt(f),
        }
    }
}

/// An object's content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Object {
    /// The link is there.
    Link,
    /// What a set is made with.
    Set(Spec),
    /// The element is there.
    Entry,
    /// What a virtual server does.
    Server(Server),
    /// What a destination gets.
    Destination(Destination),
    /// The address is there.
    Address,
    /// A chain's or a rule's content.
    Netfilter(netfilter::Object),
}

impl Content for Object {
    fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Link | Self::Entry | Self::Address => Fingerprint::of(&()),
            Self::Set(spec) => Fingerprint::of(spec),
            Self::Server(server) => Fingerprint::of(server),
            Self::Destination(destination) => Fingerprint::of(destination),
            Self::Netfilter(object) => object.fingerprint(),
        }
    }

    fn service(&self) -> Option<ServiceId> {
        match self {
            Self::Netfilter(object) => object.service(),
            _ => None,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Netfilter(object) => object.size(),
            _ => 1,
        }
    }
}

/// Of an observed object all of it is kept.
impl From<(Key, Self)> for Object {
    fn from((_, object): (Key, Self)) -> Self {
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_small() {
        // The agent keeps one for each object.
        assert!(size_of::<Key>() <= 48, "{} bytes", size_of::<Key>());
    }
}
