//! Objects as the kernel tells them (`ip_vs_genl_fill_*`). Nothing was counted.

use netlink_batch::AttrWriter;

use super::uapi::{attr, dest, service};
use super::{Connections, Destination, DestinationKey, Server, ServerKey};

/// `IPVS_STATS_ATTR_*`: bytes are 64 bits wide in both lists.
const STATS: u16 = 10;
const STATS_BYTES: [u16; 2] = [4, 5];

fn nest(attrs: &mut AttrWriter<'_>, kind: u16, fill: impl FnOnce(&mut AttrWriter<'_>)) {
    let mut content = Vec::new();
    fill(&mut AttrWriter::new(&mut content));
    attrs.bytes(kind, &content);
}

pub(super) fn server(attrs: &mut AttrWriter<'_>, key: ServerKey, server: &Server) {
    nest(attrs, attr::SERVICE, |list| {
        list.bytes(service::AF, &key.af().to_ne_bytes());
        match key {
            ServerKey::Mark { mark, .. } => list.u32_ne(service::MARK, mark),
            ServerKey::Address {
                protocol,
                address,
                port,
                ..
            } => {
                list.bytes(service::PROTOCOL, &protocol.to_ne_bytes());
                list.bytes(service::ADDRESS, &address);
                list.bytes(service::PORT, &port);
            }
        }
        list.str(service::SCHEDULER, &server.scheduler);
        if let Some(engine) = &server.engine {
            list.str(service::ENGINE, engine);
        }
        let mut flags = [0xff; 8];
        flags[..4].copy_from_slice(&server.flags.to_ne_bytes());
        list.bytes(service::FLAGS, &flags);
        list.u32_ne(service::TIMEOUT, server.timeout);
        list.bytes(service::NETMASK, &server.netmask);
        stats(list, service::STATS, service::STATS64);
    });
}

pub(super) fn destination(
    attrs: &mut AttrWriter<'_>,
    id: &DestinationKey,
    it: &Destination,
    connections: Connections,
) {
    let (af, address, port) = id;
    nest(attrs, attr::DESTINATION, |list| {
        list.bytes(dest::ADDRESS, address);
        list.bytes(dest::PORT, port);
        list.u32_ne(dest::FORWARDING, it.forwarding);
        list.u32_ne(dest::WEIGHT, it.weight);
        let (kind, port, flags) = it.tunnel;
        list.u8(dest::TUNNEL_TYPE, kind);
        list.bytes(dest::TUNNEL_PORT, &port);
        list.bytes(dest::TUNNEL_FLAGS, &flags.to_ne_bytes());
        list.u32_ne(dest::UPPER, it.upper);
        list.u32_ne(dest::LOWER, it.lower);
        list.u32_ne(dest::ACTIVE, connections.active);
        list.u32_ne(dest::INACTIVE, connections.inactive);
        list.u32_ne(dest::PERSISTENT, 0);
        list.bytes(dest::AF, &af.to_ne_bytes());
        stats(list, dest::STATS, dest::STATS64);
    });
}

fn stats(attrs: &mut AttrWriter<'_>, narrow: u16, wide: u16) {
    nest(attrs, narrow, |list| {
        for kind in 1..=STATS {
            if STATS_BYTES.contains(&kind) {
                list.bytes(kind, &[0; 8]);
            } else {
                list.u32_ne(kind, 0);
            }
        }
    });
    nest(attrs, wide, |list| {
        for kind in 1..=STATS {
            list.bytes(kind, &[0; 8]);
        }
    });
}
