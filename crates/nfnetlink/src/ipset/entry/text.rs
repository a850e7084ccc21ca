//! Elements as `ipset save` prints them and `ipset add` takes them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Entry, IpPort, net};
use crate::Family;
use crate::ipset::Kind;
use crate::xtables::names;
use crate::xtables::text::Address;

/// As `ipset save` prints it.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "{port}"),
            Self::Ip(address) => Address(*address).fmt(f),
            Self::Net(network) => Network(*network).fmt(f),
            Self::IpPort(ip_port) => ip_port.fmt(f),
            Self::IpPortIp(ip_port, address) => write!(f, "{ip_port},{}", Address(*address)),
            Self::IpPortNet(ip_port, network) => write!(f, "{ip_port},{}", Network(*network)),
        }
    }
}

/// As `ipset save` prints it: `IP,PROTOCOL:PORT`.
impl fmt::Display for IpPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, port) = (Address(self.address), self.port);
        match names::protocol(self.protocol) {
            Some(name) => write!(f, "{address},{name}:{port}"),
            None => write!(f, "{address},{}:{port}", self.protocol),
        }
    }
}

/// Without its prefix length where it is one address.
struct Network(IpNet);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Address(self.0.network()).fmt(f)?;
        if self.0.prefix_len() == self.0.max_prefix_len() {
            return Ok(());
        }
        write!(f, "/{}", self.0.prefix_len())
    }
}

/// Why a text is no element of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// A part is missing or there is one too many.
    #[error("an element of a {kind} set has the form {form}")]
    Form {
        /// The set's type.
        kind: Kind,
        /// What its elements look like.
        form: &'static str,
    },
    /// An address can't be read.
    #[error("expected an address of the set's IP family")]
    Address,
    /// A network can't be read.
    #[error("expected a network of the set's IP family, with a prefix length of at least 1")]
    Network,
    /// A protocol or port can't be read.
    #[error("expected a protocol and a port, as in tcp:443")]
    Port,
}

impl Entry {
    /// Reads an element of a set of this type and family, as `ipset save` prints it and as
    /// `ipset add` takes it. A network's bits behind its prefix are cleared.
    pub fn parse(kind: Kind, family: Option<Family>, text: &str) -> Result<Self, EntryError> {
        let form = match kind {
            Kind::BitmapPort => "PORT",
            Kind::HashIp => "IP",
            Kind::HashNet => "IP/PREFIX",
            Kind::HashIpPort => "IP,PROTOCOL:PORT",
            Kind::HashIpPortIp => "IP,PROTOCOL:PORT,IP",
            Kind::HashIpPortNet => "IP,PROTOCOL:PORT,IP/PREFIX",
        };
        let mut parts = text.split(',');
        let [first, second, third, extra] = std::array::from_fn(|_| parts.next());
        let wrong = EntryError::Form { kind, form };
        let first = first.ok_or(wrong)?;
        let ip_port = || parse_ip_port(family, first, second.ok_or(wrong)?);
        let (entry, length) = match kind {
            Kind::BitmapPort => (Self::Port(first.parse().map_err(|_| EntryError::Port)?), 1),
            Kind::HashIp => (Self::Ip(parse_address(family, first)?), 1),
            Kind::HashNet => (Self::Net(parse_network(family, first)?), 1),
            Kind::HashIpPort => (Self::IpPort(ip_port()?), 2),
            Kind::HashIpPortIp => {
                let third = third.ok_or(wrong)?;
                (Self::IpPortIp(ip_port()?, parse_address(family, third)?), 3)
            }
            Kind::HashIpPortNet => {
                let third = third.ok_or(wrong)?;
                (
                    Self::IpPortNet(ip_port()?, parse_network(family, third)?),
                    3,
                )
            }
        };
        let given = [second, third, extra].into_iter().flatten().count() + 1;
        if given == length {
            Ok(entry)
        } else {
            Err(wrong)
        }
    }
}

fn parse_address(family: Option<Family>, text: &str) -> Result<IpAddr, EntryError> {
    let address: IpAddr = text.parse().map_err(|_| EntryError::Address)?;
    match (family, address) {
        (Some(Family::Ipv4), IpAddr::V6(_)) | (Some(Family::Ipv6), IpAddr::V4(_)) => {
            Err(EntryError::Address)
        }
        _ => Ok(address),
    }
}

fn parse_network(family: Option<Family>, text: &str) -> Result<IpNet, EntryError> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address = parse_address(family, address).map_err(|_| EntryError::Network)?;
    let prefix = prefix
        .map(str::parse)
        .transpose()
        .map_err(|_| EntryError::Network)?;
    match net(address, prefix) {
        Some(net) if net.prefix_len() > 0 => Ok(net),
        _ => Err(EntryError::Network),
    }
}

fn parse_ip_port(family: Option<Family>, address: &str, port: &str) -> Result<IpPort, EntryError> {
    // `ipset add` takes a port alone for one of TCP.
    let (protocol, port) = port.split_once(':').unwrap_or(("tcp", port));
    let protocol = names::protocol_number(protocol).filter(|number| *number != 0);
    Ok(IpPort {
        address: parse_address(family, address)?,
        protocol: protocol.ok_or(EntryError::Port)?,
        port: port.parse().map_err(|_| EntryError::Port)?,
    })
}
