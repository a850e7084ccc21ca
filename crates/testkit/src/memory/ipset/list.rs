//! Listing sets with their elements.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_batch::AttrWriter;
use netlink_batch::message::flags::MULTI;
use nfnetlink::ipset::{Entry, IpPort};

use super::uapi::{NET_ORDER, SUBSYSTEM, VERSIONS, attr, command};
use super::{References, Set, Sets, Size};
use crate::memory::answer::reply;
use crate::memory::fields::Request;

/// Elements in one message.
const PART: usize = 64;
/// Bytes that a set takes; not modelled.
const MEMORY: u32 = 0;

/// Attributes of elements.
const IP: u16 = 1;
const PREFIX: u16 = 3;
const PORT: u16 = 4;
const PROTO: u16 = 7;
const IP2: u16 = 20;
const PREFIX2: u16 = 21;
const IPV4: u16 = 1;
const IPV6: u16 = 2;

impl Sets {
    pub(super) fn listed(
        &self,
        port: u32,
        seq: u32,
        request: &Request<'_>,
        references: &References,
    ) -> Vec<Vec<u8>> {
        let Ok(fields) = request.fields() else {
            return Vec::new();
        };
        let name = fields.get(attr::NAME).and_then(|name| name.text().ok());
        let flags = fields.get(attr::FLAGS).and_then(|it| it.u32_be().ok());
        let headers_only = flags.unwrap_or(0) & attr::HEADERS_ONLY != 0;
        let mut messages = Vec::new();
        for (index, set) in &self.sets {
            if name.is_some_and(|name| name != set.name) {
                continue;
            }
            let uses = references.get(index).copied().unwrap_or(0);
            let elements: Vec<&Entry> = set.content.elements.iter().collect();
            let mut parts = elements.chunks(PART);
            let mut first = true;
            loop {
                let chunk = if headers_only { None } else { parts.next() };
                if chunk.is_none() && !first {
                    break;
                }
                let kind = SUBSYSTEM | command::LIST;
                messages.push(reply(port, seq, kind, MULTI, &[2, 0, 0, 0], |attrs| {
                    attrs.u8(attr::PROTOCOL, VERSIONS[0]);
                    attrs.str(attr::NAME, &set.name);
                    if headers_only || first {
                        header(attrs, set, uses);
                    }
                    if !headers_only {
                        attrs.nest(attr::ELEMENTS, |list| {
                            for entry in chunk.unwrap_or_default() {
                                list.nest(attr::DATA, |data| put(data, entry));
                            }
                        });
                    }
                }));
                first = false;
                if headers_only {
                    break;
                }
            }
        }
        messages
    }
}

fn header(attrs: &mut AttrWriter<'_>, set: &Set, uses: u32) {
    let content = &set.content;
    attrs.str(attr::TYPE, content.kind.name());
    attrs.u8(attr::FAMILY, content.family);
    attrs.u8(attr::REVISION, content.revision);
    attrs.nest(attr::DATA, |data| {
        match content.size {
            Size::Hash { buckets, most } => {
                data.u32_be(attr::HASH_SIZE | NET_ORDER, buckets);
                data.u32_be(attr::MAX_ELEMENTS | NET_ORDER, most);
            }
            Size::Ports { first, last } => {
                data.u16_be(attr::PORT_FROM | NET_ORDER, first);
                data.u16_be(attr::PORT_TO | NET_ORDER, last);
            }
        }
        let count = u32::try_from(content.elements.len()).unwrap_or(u32::MAX);
        data.u32_be(attr::REFERENCES | NET_ORDER, uses);
        data.u32_be(attr::MEMORY | NET_ORDER, MEMORY);
        data.u32_be(attr::COUNT | NET_ORDER, count);
    });
}

fn put(data: &mut AttrWriter<'_>, entry: &Entry) {
    match entry {
        Entry::Port(port) => data.u16_be(PORT | NET_ORDER, *port),
        Entry::Ip(ip) => address(data, IP, *ip),
        Entry::Net(it) => net(data, IP, PREFIX, *it),
        Entry::IpPort(it) => ip_port(data, it),
        Entry::IpPortIp(it, ip) => {
            address(data, IP, it.address);
            address(data, IP2, *ip);
            port(data, it);
        }
        Entry::IpPortNet(it, network) => {
            address(data, IP, it.address);
            address(data, IP2, network.network());
            data.u16_be(PORT | NET_ORDER, it.port);
            data.u8(PREFIX2, network.prefix_len());
            data.u8(PROTO, it.protocol);
        }
        // No set takes others.
        _ => {}
    }
}

fn ip_port(data: &mut AttrWriter<'_>, it: &IpPort) {
    address(data, IP, it.address);
    port(data, it);
}

fn port(data: &mut AttrWriter<'_>, it: &IpPort) {
    data.u16_be(PORT | NET_ORDER, it.port);
    data.u8(PROTO, it.protocol);
}

fn net(data: &mut AttrWriter<'_>, ip: u16, prefix: u16, it: IpNet) {
    address(data, ip, it.network());
    data.u8(prefix, it.prefix_len());
}

fn address(data: &mut AttrWriter<'_>, kind: u16, address: IpAddr) {
    data.nest(kind, |nest| match address {
        IpAddr::V4(v4) => nest.bytes(IPV4 | NET_ORDER, &v4.octets()),
        IpAddr::V6(v6) => nest.bytes(IPV6 | NET_ORDER, &v6.octets()),
    });
}
