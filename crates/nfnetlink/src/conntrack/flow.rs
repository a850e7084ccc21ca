//! One tracked flow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_batch::{Attr, AttrError, Attrs, Error, Message};

use super::uapi::{attr, ip, proto, protoinfo, tuple};
use crate::Family;

/// Numbers of IP protocols.
pub mod protocol {
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
}

/// Bits of [`Flow::status`] (`enum ip_conntrack_status`).
pub mod status {
    /// Packets were seen in both directions.
    pub const SEEN_REPLY: u32 = 1 << 1;
    /// The destination is translated.
    pub const DST_NAT: u32 = 1 << 5;
}

/// Numbers of TCP's states ([`Flow::tcp_state`], `enum tcp_conntrack`).
pub mod tcp_state {
    /// Nothing but SYNs of whoever began, which nobody has answered.
    pub const SYN_SENT: u8 = 1;
}

/// One direction of a flow. Protocols without ports, such as ICMP, have port 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuple {
    /// Where packets of this direction come from.
    pub source: SocketAddr,
    /// Where they go to.
    pub destination: SocketAddr,
    /// The zone, where only this direction has one (`CTA_TUPLE_ZONE`).
    pub zone: Option<u16>,
}

/// A flow as the kernel tracks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flow {
    /// The IP family.
    pub family: Family,
    /// The IP protocol's number, see [`protocol`].
    pub protocol: u8,
    /// Packets from whoever began, as they were before any translation.
    pub original: Tuple,
    /// Packets of the answer, as they are before any translation back: its source is where packets
    /// really go.
    pub reply: Tuple,
    /// See [`status`].
    pub status: u32,
    /// See [`tcp_state`]; `None` for other protocols.
    pub tcp_state: Option<u8>,
    /// The zone of both directions (`CTA_ZONE`), `None` for the default one.
    pub zone: Option<u16>,
    /// Tells this flow from a later one with the same tuple. Only the kernel knows what it means.
    pub id: u32,
}

impl Tuple {
    /// A direction in no zone of its own.
    pub const fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            source,
            destination,
            zone: None,
        }
    }
}

impl Flow {
    /// A flow in the default zone with status and ID 0, such as tests need of what decides on flows.
    pub const fn new(family: Family, protocol: u8, original: Tuple, reply: Tuple) -> Self {
        Self {
            family,
            protocol,
            original,
            reply,
            status: 0,
            tcp_state: None,
            zone: None,
            id: 0,
        }
    }

    /// Reads a `IPCTNL_MSG_CT_NEW` message; `None` where it is about a family other than IPv4 and
    /// IPv6.
    pub fn read(message: &Message<'_>) -> Result<Option<Self>, Error> {
        let (header, attrs) = message.split::<4>()?;
        let Some(family) = Family::from_number(header[0]) else {
            return Ok(None);
        };
        let (mut original, mut reply) = (None, None);
        let (mut status, mut zone, mut id) = (0, None, None);
        let mut tcp_state = None;
        for attr in attrs {
            let attr = attr?;
            match attr.kind {
                attr::ORIGINAL => original = Some(read_tuple(family, attr.nested())?),
                attr::REPLY => reply = Some(read_tuple(family, attr.nested())?),
                attr::STATUS => status = attr.u32_be()?,
                attr::PROTOINFO => tcp_state = read_tcp_state(attr.nested())?,
                attr::ZONE => zone = Some(attr.u16_be()?),
                attr::ID => id = Some(attr.u32_be()?),
                _ => {}
            }
        }
        let (original, protocol) = original.ok_or(missing("original tuple"))?;
        let (reply, _) = reply.ok_or(missing("reply tuple"))?;
        Ok(Some(Self {
            family,
            protocol,
            original,
            reply,
            status,
            tcp_state,
            zone,
            id: id.ok_or(missing("ID"))?,
        }))
    }

    /// True where the destination is translated.
    pub const fn is_dnat(&self) -> bool {
        self.status & status::DST_NAT != 0
    }

    /// True for TCP where nobody has answered.
    pub fn is_syn_sent(&self) -> bool {
        self.tcp_state == Some(tcp_state::SYN_SENT) && self.status & status::SEEN_REPLY == 0
    }

    /// True where neither direction is in a zone of its own.
    pub const fn in_default_zone(&self) -> bool {
        self.zone.is_none() && self.original.zone.is_none() && self.reply.zone.is_none()
    }
}

const fn missing(attribute: &'static str) -> Error {
    Error::Missing {
        object: "flow",
        attribute,
    }
}

fn read_tcp_state(attrs: Attrs<'_>) -> Result<Option<u8>, Error> {
    for attr in attrs {
        let attr = attr?;
        if attr.kind != protoinfo::TCP {
            continue;
        }
        for attr in attr.nested() {
            let attr = attr?;
            if attr.kind == protoinfo::TCP_STATE {
                return Ok(Some(attr.u8()?));
            }
        }
    }
    Ok(None)
}

fn read_tuple(family: Family, attrs: Attrs<'_>) -> Result<(Tuple, u8), Error> {
    let (mut source, mut destination) = (None, None);
    let (mut number, mut ports, mut zone) = (None, [0; 2], None);
    for attr in attrs {
        let attr = attr?;
        match attr.kind {
            tuple::IP => {
                for attr in attr.nested() {
                    let attr = attr?;
                    match (family, attr.kind) {
                        (Family::Ipv4, ip::V4_SRC) | (Family::Ipv6, ip::V6_SRC) => {
                            source = Some(address(family, &attr)?);
                        }
                        (Family::Ipv4, ip::V4_DST) | (Family::Ipv6, ip::V6_DST) => {
                            destination = Some(address(family, &attr)?);
                        }
                        _ => {}
                    }
                }
            }
            tuple::PROTO => {
                for attr in attr.nested() {
                    let attr = attr?;
                    match attr.kind {
                        proto::NUMBER => number = Some(attr.u8()?),
                        proto::SRC_PORT => ports[0] = attr.u16_be()?,
                        proto::DST_PORT => ports[1] = attr.u16_be()?,
                        _ => {}
                    }
                }
            }
            tuple::ZONE => zone = Some(attr.u16_be()?),
            _ => {}
        }
    }
    let source = source.ok_or(missing("source address"))?;
    let destination = destination.ok_or(missing("destination address"))?;
    let tuple = Tuple {
        source: SocketAddr::new(source, ports[0]),
        destination: SocketAddr::new(destination, ports[1]),
        zone,
    };
    Ok((tuple, number.ok_or(missing("protocol"))?))
}

fn address(family: Family, attr: &Attr<'_>) -> Result<IpAddr, AttrError> {
    let size = |expected| AttrError::Size {
        kind: attr.kind,
        found: attr.payload.len(),
        expected,
    };
    match family {
        Family::Ipv4 => <[u8; 4]>::try_from(attr.payload)
            .map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)))
            .map_err(|_| size(4)),
        Family::Ipv6 => <[u8; 16]>::try_from(attr.payload)
            .map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)))
            .map_err(|_| size(16)),
    }
}
