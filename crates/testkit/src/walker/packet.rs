//! Packets, and the host that they meet.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use viprule_service::model::{Family, Protocol};

/// The first packet of a connection (conntrack state NEW).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Where it says it comes from.
    pub source: SocketAddr,
    /// Where it wants to go.
    pub destination: SocketAddr,
    /// The transport protocol.
    pub protocol: Protocol,
    /// How it comes into the network stack.
    pub origin: Origin,
}

/// How a packet comes into the network stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From outside or from a pod, through the interface of this name.
    Interface(String),
    /// From a process in the node's own network namespace.
    Node,
}

impl Packet {
    /// The family of the destination.
    pub const fn family(&self) -> Family {
        match self.destination {
            SocketAddr::V4(_) => Family::Ipv4,
            SocketAddr::V6(_) => Family::Ipv6,
        }
    }

    /// True where the kernel refuses the packet before any Service has a say.
    ///
    /// IPv4: routing refuses sources that are the host's own, and loopback addresses unless
    /// `route_localnet` is set (`ip_route_input_slow`). IPv6: `::1` never comes from an interface
    /// (`ip6_rcv_core`, RFC 4291 2.5.3).
    pub fn is_martian(&self, host: &Host) -> bool {
        if self.origin == Origin::Node {
            return false;
        }
        let (source, destination) = (self.source.ip(), self.destination.ip());
        match self.family() {
            Family::Ipv4 => {
                host.is_local(&source) || (destination.is_loopback() && !host.route_localnet)
            }
            Family::Ipv6 => source.is_loopback() || destination.is_loopback(),
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match &self.origin {
            Origin::Interface(name) => name,
            Origin::Node => "node",
        };
        write!(
            f,
            "{} {} -> {} from {from}",
            self.protocol, self.source, self.destination
        )
    }
}

/// What the network stack knows of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// The addresses on its interfaces.
    pub addresses: Vec<IpAddr>,
    /// Sysctl `net.ipv4.conf.all.route_localnet`.
    pub route_localnet: bool,
}

impl Host {
    /// True for addresses of route type `RTN_LOCAL`. The whole of 127.0.0.0/8 is, and `::1`.
    pub fn is_local(&self, address: &IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains(address)
    }
}
