//! Elements of sets.

mod text;

pub use text::EntryError;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_batch::{Attr, AttrError, AttrWriter, Attrs};

use super::{Kind, LINE, NET_ORDER};

/// Attributes of an element (`IPSET_ATTR_*`).
const IP: u16 = 1;
const CIDR: u16 = 3;
const PORT: u16 = 4;
const PROTO: u16 = 7;
const ELEMENT_FLAGS: u16 = 8;
const IP2: u16 = 20;
const CIDR2: u16 = 21;
/// `IPSET_ATTR_IPADDR_IPV4` and `_IPV6`.
const IPV4: u16 = 1;
const IPV6: u16 = 2;
/// `IPSET_FLAG_NOMATCH`.
const NO_MATCH: u32 = 1 << 2;

/// An element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Entry {
    /// Of [`Kind::BitmapPort`](super::Kind::BitmapPort).
    Port(u16),
    /// Of [`Kind::HashIp`](super::Kind::HashIp).
    Ip(IpAddr),
    /// Of [`Kind::HashNet`](super::Kind::HashNet).
    Net(IpNet),
    /// Of [`Kind::HashIpPort`](super::Kind::HashIpPort).
    IpPort(IpPort),
    /// Of [`Kind::HashIpPortIp`](super::Kind::HashIpPortIp).
    IpPortIp(IpPort, IpAddr),
    /// Of [`Kind::HashIpPortNet`](super::Kind::HashIpPortNet).
    IpPortNet(IpPort, IpNet),
}

/// An address with a port of a transport protocol, `IP,PROTOCOL:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpPort {
    /// The address.
    pub address: IpAddr,
    /// The protocol's number.
    pub protocol: u8,
    /// The port.
    pub port: u16,
}

impl Entry {
    /// The type of set that holds it.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Port(_) => Kind::BitmapPort,
            Self::Ip(_) => Kind::HashIp,
            Self::Net(_) => Kind::HashNet,
            Self::IpPort(_) => Kind::HashIpPort,
            Self::IpPortIp(..) => Kind::HashIpPortIp,
            Self::IpPortNet(..) => Kind::HashIpPortNet,
        }
    }

    /// Appends the element's attributes, with its line in the request.
    pub(super) fn put(&self, data: &mut AttrWriter<'_>, line: u32) {
        match self {
            Self::Port(port) => data.u16_be(PORT | NET_ORDER, *port),
            Self::Ip(address) => put_address(data, IP, *address),
            Self::Net(net) => put_net(data, IP, CIDR, *net),
            Self::IpPort(ip_port) => ip_port.put(data),
            Self::IpPortIp(ip_port, address) => {
                ip_port.put(data);
                put_address(data, IP2, *address);
            }
            Self::IpPortNet(ip_port, net) => {
                ip_port.put(data);
                put_net(data, IP2, CIDR2, *net);
            }
        }
        data.u32_be(LINE | NET_ORDER, line);
    }

    /// Bytes that [`Entry::put`] appends.
    pub(super) const fn wire_len(&self) -> usize {
        const NUMBER: usize = 8;
        const fn address(address: &IpAddr) -> usize {
            match address {
                IpAddr::V4(_) => 12,
                IpAddr::V6(_) => 24,
            }
        }
        const fn net(net: &IpNet) -> usize {
            NUMBER
                + match net {
                    IpNet::V4(_) => 12,
                    IpNet::V6(_) => 24,
                }
        }
        const fn ip_port(ip_port: &IpPort) -> usize {
            address(&ip_port.address) + 2 * NUMBER
        }
        NUMBER
            + match self {
                Self::Port(_) => NUMBER,
                Self::Ip(ip) => address(ip),
                Self::Net(network) => net(network),
                Self::IpPort(first) => ip_port(first),
                Self::IpPortIp(first, ip) => ip_port(first) + address(ip),
                Self::IpPortNet(first, network) => ip_port(first) + net(network),
            }
    }

    /// Reads the attributes of an element of a set of this type. `None` for an exception
    /// (`nomatch`) and where something is missing.
    pub fn read(kind: Kind, data: Attrs<'_>) -> Result<Option<Self>, AttrError> {
        let mut found = Parts::default();
        for attr in data {
            let attr = attr?;
            match attr.kind {
                IP => found.address = read_address(&attr)?,
                IP2 => found.address2 = read_address(&attr)?,
                CIDR => found.prefix = Some(attr.u8()?),
                CIDR2 => found.prefix2 = Some(attr.u8()?),
                PORT => found.port = Some(attr.u16_be()?),
                PROTO => found.protocol = Some(attr.u8()?),
                ELEMENT_FLAGS if attr.u32_be()? & NO_MATCH != 0 => return Ok(None),
                _ => {}
            }
        }
        Ok(found.entry(kind))
    }
}

#[derive(Default)]
struct Parts {
    address: Option<IpAddr>,
    prefix: Option<u8>,
    port: Option<u16>,
    protocol: Option<u8>,
    address2: Option<IpAddr>,
    prefix2: Option<u8>,
}

impl Parts {
    fn entry(&self, kind: Kind) -> Option<Entry> {
        Some(match kind {
            Kind::BitmapPort => Entry::Port(self.port?),
            Kind::HashIp => Entry::Ip(self.address?),
            Kind::HashNet => Entry::Net(net(self.address?, self.prefix)?),
            Kind::HashIpPort => Entry::IpPort(self.ip_port()?),
            Kind::HashIpPortIp => Entry::IpPortIp(self.ip_port()?, self.address2?),
            Kind::HashIpPortNet => {
                Entry::IpPortNet(self.ip_port()?, net(self.address2?, self.prefix2)?)
            }
        })
    }

    fn ip_port(&self) -> Option<IpPort> {
        Some(IpPort {
            address: self.address?,
            protocol: self.protocol?,
            port: self.port?,
        })
    }
}

impl IpPort {
    fn put(&self, data: &mut AttrWriter<'_>) {
        put_address(data, IP, self.address);
        data.u16_be(PORT | NET_ORDER, self.port);
        data.u8(PROTO, self.protocol);
    }
}

fn put_address(data: &mut AttrWriter<'_>, kind: u16, address: IpAddr) {
    data.nest(kind, |nest| match address {
        IpAddr::V4(v4) => nest.bytes(IPV4 | NET_ORDER, &v4.octets()),
        IpAddr::V6(v6) => nest.bytes(IPV6 | NET_ORDER, &v6.octets()),
    });
}

fn put_net(data: &mut AttrWriter<'_>, address: u16, prefix: u16, net: IpNet) {
    put_address(data, address, net.network());
    data.u8(prefix, net.prefix_len());
}

fn read_address(attr: &Attr<'_>) -> Result<Option<IpAddr>, AttrError> {
    for one in attr.nested() {
        let one = one?;
        let size = |expected| AttrError::Size {
            kind: one.kind,
            found: one.payload.len(),
            expected,
        };
        match one.kind {
            IPV4 => {
                let octets: [u8; 4] = one.payload.try_into().map_err(|_| size(4))?;
                return Ok(Some(Ipv4Addr::from(octets).into()));
            }
            IPV6 => {
                let octets: [u8; 16] = one.payload.try_into().map_err(|_| size(16))?;
                return Ok(Some(Ipv6Addr::from(octets).into()));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// A network; without a prefix length it is one address.
fn net(address: IpAddr, prefix: Option<u8>) -> Option<IpNet> {
    match prefix {
        Some(prefix) => IpNet::new(address, prefix).ok().map(|net| net.trunc()),
        None => Some(address.into()),
    }
}
