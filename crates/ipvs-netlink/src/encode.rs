//! Objects as attributes.

use netlink_batch::AttrWriter;

use crate::uapi::{attr, dest, service};
use crate::{
    Destination, DestinationId, Family, Forwarding, Netmask, Server, ServerFlags, ServerId, Tunnel,
    wire,
};

/// Appends a virtual server, with what it shall do where that is given.
pub(crate) fn server(attrs: &mut AttrWriter<'_>, id: &ServerId, server: Option<&Server>) {
    attrs.nest(attr::SERVICE, |list| {
        list.bytes(service::AF, &id.family().number().to_ne_bytes());
        match id {
            ServerId::Address {
                address,
                port,
                protocol,
            } => {
                let protocol = u16::from(protocol.number());
                list.bytes(service::PROTOCOL, &protocol.to_ne_bytes());
                list.bytes(service::ADDR, &wire::octets(address));
                list.u16_be(service::PORT, *port);
            }
            ServerId::Fwmark { mark, .. } => list.u32_ne(service::FWMARK, *mark),
        }
        if let Some(server) = server {
            list.str(service::SCHED_NAME, server.scheduler.as_str());
            if let Some(engine) = &server.engine {
                list.str(service::PE_NAME, engine.as_str());
            }
            // `struct ip_vs_flags`: all bits are meant. With the kernel's own one the kernel would
            // take a new server for one that is in its table already.
            let flags = server.flags.difference(ServerFlags::HASHED).bits();
            list.blob(service::FLAGS, 8, |bytes| {
                bytes[..4].copy_from_slice(&flags.to_ne_bytes());
                bytes[4..].copy_from_slice(&u32::MAX.to_ne_bytes());
            });
            list.u32_ne(service::TIMEOUT, server.timeout);
            list.bytes(service::NETMASK, &netmask(id.family(), server.netmask));
        }
    });
}

/// IPv4 as a mask in network byte order, IPv6 as a length in host byte order.
fn netmask(family: Family, netmask: Netmask) -> [u8; 4] {
    let len = u32::from(netmask.0);
    match family {
        Family::Ipv4 => u32::MAX
            .checked_shl(u32::BITS.saturating_sub(len))
            .unwrap_or(0)
            .to_be_bytes(),
        Family::Ipv6 => len.to_ne_bytes(),
    }
}

/// Appends a destination, with what it shall get where that is given.
pub(crate) fn destination(
    attrs: &mut AttrWriter<'_>,
    id: &DestinationId,
    destination: Option<&Destination>,
) {
    attrs.nest(attr::DEST, |list| {
        list.bytes(dest::ADDR, &wire::octets(&id.address));
        list.u16_be(dest::PORT, id.port);
        list.bytes(dest::ADDR_FAMILY, &id.family().number().to_ne_bytes());
        if let Some(destination) = destination {
            list.u32_ne(dest::FWD_METHOD, destination.forwarding.number());
            list.u32_ne(dest::WEIGHT, destination.weight);
            list.u32_ne(dest::U_THRESH, destination.upper_threshold);
            list.u32_ne(dest::L_THRESH, destination.lower_threshold);
            if let Forwarding::Tunnel(kind) = destination.forwarding {
                tunnel(list, kind);
            }
        }
    });
}

/// Appends how packets are encapsulated. What is left out counts as 0, a plain tunnel, which is
/// all that old kernels know.
fn tunnel(list: &mut AttrWriter<'_>, tunnel: Tunnel) {
    let (kind, port, checksum) = match tunnel {
        Tunnel::IpIp => return,
        Tunnel::Gue { port, checksum } => (1, port, checksum),
        Tunnel::Gre { checksum } => (2, 0, checksum),
    };
    list.u8(dest::TUN_TYPE, kind);
    list.u16_be(dest::TUN_PORT, port);
    list.bytes(dest::TUN_FLAGS, &checksum.number().to_ne_bytes());
}
