//! Objects as the kernel tells them.

use netlink_batch::{Attr, AttrError, Attrs, Error, Message};

use crate::name::Name;
use crate::stats::Lists;
use crate::uapi::{attr, command, dest, service};
use crate::{
    Checksum, Destination, DestinationId, Engine, Family, Forwarding, Netmask, Protocol, Scheduler,
    Server, ServerFlags, ServerId, Stats, Tunnel, wire,
};

/// A virtual server as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerEntry {
    /// What identifies it.
    pub id: ServerId,
    /// What it does.
    pub server: Server,
    /// What it has counted.
    pub stats: Stats,
}

impl ServerEntry {
    /// Reads an answer to a listing; `None` for another message and for a server of a protocol or
    /// family that this crate has no type for.
    pub fn read(message: &Message<'_>) -> Result<Option<Self>, Error> {
        let Some(list) = object(message, command::NEW_SERVICE, attr::SERVICE)? else {
            return Ok(None);
        };
        let (mut family, mut protocol, mut address) = (None, None, None);
        let (mut port, mut mark, mut scheduler, mut engine) = (None, None, None, None);
        let (mut flags, mut timeout, mut netmask) = (ServerFlags::empty(), 0, None);
        let mut stats = Lists::default();
        for attr in list {
            let attr = attr?;
            match attr.kind {
                service::AF => family = Some(wire::u16(&attr)?),
                service::PROTOCOL => protocol = Some(wire::u16(&attr)?),
                service::ADDR => address = Some(attr),
                service::PORT => port = Some(attr.u16_be()?),
                service::FWMARK => mark = Some(wire::u32(&attr)?),
                service::SCHED_NAME => scheduler = Some(Scheduler(Name::read(&attr)?)),
                service::FLAGS => flags = read_flags(&attr)?,
                service::TIMEOUT => timeout = wire::u32(&attr)?,
                service::NETMASK => netmask = Some(attr),
                service::PE_NAME => engine = Some(Engine(Name::read(&attr)?)),
                service::STATS => stats.narrow(attr.nested())?,
                service::STATS64 => stats.wide(attr.nested())?,
                _ => {}
            }
        }
        let missing = |attribute| Error::Missing {
            object: "virtual server",
            attribute,
        };
        let family = family.ok_or_else(|| missing("family"))?;
        let Some(family) = Family::from_number(family) else {
            return Ok(None);
        };
        let id = if let Some(mark) = mark {
            ServerId::Fwmark { family, mark }
        } else {
            let protocol = protocol.ok_or_else(|| missing("protocol"))?;
            let Some(protocol) = Protocol::from_number(protocol) else {
                return Ok(None);
            };
            ServerId::Address {
                address: wire::address(family, &address.ok_or_else(|| missing("address"))?)?,
                port: port.ok_or_else(|| missing("port"))?,
                protocol,
            }
        };
        let server = Server {
            scheduler: scheduler.ok_or_else(|| missing("scheduler"))?,
            flags,
            timeout,
            netmask: read_netmask(family, &netmask.ok_or_else(|| missing("netmask"))?)?,
            engine,
        };
        Ok(Some(Self {
            id,
            server,
            stats: stats.best(),
        }))
    }
}

/// `struct ip_vs_flags`; the mask says nothing.
fn read_flags(attr: &Attr<'_>) -> Result<ServerFlags, AttrError> {
    let (flags, _) = attr
        .payload
        .split_first_chunk::<4>()
        .ok_or(AttrError::Size {
            kind: attr.kind,
            found: attr.payload.len(),
            expected: 8,
        })?;
    let flags = ServerFlags::from_bits_retain(u32::from_ne_bytes(*flags));
    Ok(flags.difference(ServerFlags::HASHED))
}

fn read_netmask(family: Family, attr: &Attr<'_>) -> Result<Netmask, AttrError> {
    let len = match family {
        Family::Ipv4 => attr.u32_be()?.leading_ones(),
        Family::Ipv6 => wire::u32(attr)?,
    };
    Ok(Netmask(u8::try_from(len).unwrap_or(u8::MAX)))
}

/// A destination as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DestinationEntry {
    /// What identifies it within its virtual server.
    pub id: DestinationId,
    /// What it gets.
    pub destination: Destination,
    /// Connections that are established, as far as the protocol tells.
    pub active: u32,
    /// Connections in any other state.
    pub inactive: u32,
    /// Clients that stay with it by persistence.
    pub persistent: u32,
    /// What it has counted.
    pub stats: Stats,
}

impl DestinationEntry {
    /// Reads an answer to a listing of a virtual server of this family; `None` for another message
    /// and for a destination with a family, way of forwarding or tunnel that this crate has no type
    /// for.
    ///
    /// The destination's family is its own: it may be another one behind a tunnel. Kernels before
    /// 3.18 know no such thing and don't tell it.
    pub fn read(message: &Message<'_>, server: Family) -> Result<Option<Self>, Error> {
        let Some(list) = object(message, command::NEW_DEST, attr::DEST)? else {
            return Ok(None);
        };
        let (mut family, mut address, mut port) = (server.number(), None, None);
        let (mut forwarding, mut tunnel) = (None, Encapsulation::default());
        let (mut weight, mut upper_threshold, mut lower_threshold) = (0, 0, 0);
        let (mut active, mut inactive, mut persistent) = (0, 0, 0);
        let mut stats = Lists::default();
        for attr in list {
            let attr = attr?;
            match attr.kind {
                dest::ADDR => address = Some(attr),
                dest::PORT => port = Some(attr.u16_be()?),
                dest::FWD_METHOD => forwarding = Some(wire::u32(&attr)?),
                dest::WEIGHT => weight = wire::u32(&attr)?,
                dest::U_THRESH => upper_threshold = wire::u32(&attr)?,
                dest::L_THRESH => lower_threshold = wire::u32(&attr)?,
                dest::ACTIVE_CONNS => active = wire::u32(&attr)?,
                dest::INACT_CONNS => inactive = wire::u32(&attr)?,
                dest::PERSIST_CONNS => persistent = wire::u32(&attr)?,
                dest::ADDR_FAMILY => family = wire::u16(&attr)?,
                dest::TUN_TYPE => tunnel.kind = attr.u8()?,
                dest::TUN_PORT => tunnel.port = attr.u16_be()?,
                dest::TUN_FLAGS => tunnel.checksum = wire::u16(&attr)?,
                dest::STATS => stats.narrow(attr.nested())?,
                dest::STATS64 => stats.wide(attr.nested())?,
                _ => {}
            }
        }
        let missing = |attribute| Error::Missing {
            object: "destination",
            attribute,
        };
        let address = address.ok_or_else(|| missing("address"))?;
        let port = port.ok_or_else(|| missing("port"))?;
        let forwarding = forwarding.ok_or_else(|| missing("way of forwarding"))?;
        let Some((family, forwarding)) =
            Family::from_number(family).zip(tunnel.forwarding(forwarding))
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            id: DestinationId {
                address: wire::address(family, &address)?,
                port,
            },
            destination: Destination {
                forwarding,
                weight,
                upper_threshold,
                lower_threshold,
            },
            active,
            inactive,
            persistent,
            stats: stats.best(),
        }))
    }

    /// True where no connection uses it; one that only keeps clients by persistence is idle.
    pub const fn is_idle(&self) -> bool {
        self.active == 0 && self.inactive == 0
    }
}

/// What tells a tunnel from another.
#[derive(Default)]
struct Encapsulation {
    kind: u8,
    port: u16,
    checksum: u16,
}

impl Encapsulation {
    /// The way of this number; the kernel tells an encapsulation also where there is no tunnel.
    fn forwarding(&self, number: u32) -> Option<Forwarding> {
        let Forwarding::Tunnel(_) = Forwarding::from_number(number)? else {
            return Forwarding::from_number(number);
        };
        let checksum = Checksum::from_number(self.checksum);
        Some(Forwarding::Tunnel(match self.kind {
            0 => Tunnel::IpIp,
            1 => Tunnel::Gue {
                port: self.port,
                checksum: checksum?,
            },
            2 => Tunnel::Gre {
                checksum: checksum?,
            },
            _ => return None,
        }))
    }
}

/// The attributes of the object in a message, if it is a `command` with one.
fn object<'a>(message: &Message<'a>, command: u8, kind: u16) -> Result<Option<Attrs<'a>>, Error> {
    let (header, attrs) = message.split::<4>()?;
    if header[0] != command {
        return Ok(None);
    }
    for attr in attrs {
        let attr = attr?;
        if attr.kind == kind {
            return Ok(Some(attr.nested()));
        }
    }
    Ok(None)
}
