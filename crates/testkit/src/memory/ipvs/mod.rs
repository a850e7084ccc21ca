//! IPVS in memory (`net/netfilter/ipvs/ip_vs_ctl.c`): virtual servers and destinations that take
//! effect one by one.
//!
//! Not modelled: traffic (connections are what a test says), counts, and sync daemons.

mod change;
mod read;
mod text;
mod uapi;
mod view;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use netlink_batch::message::flags::DUMP;
use netlink_batch::{Errno, Message};

use super::Sender;
use super::answer::{Answered, Delivery, Refused, reply};
use super::fields::{Fields, Request};
use super::listing::Objects;
use uapi::{attr, command};

/// The message type of the family, as a kernel gives the first module that asks.
const FAMILY: u16 = 0x1c;
/// Schedulers that a kernel has.
const SCHEDULERS: [&str; 13] = [
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf",
];
/// Persistence engines that a kernel has.
const ENGINES: [&str; 1] = ["sip"];

/// What identifies a virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ServerKey {
    Address {
        af: u16,
        protocol: u16,
        address: [u8; 16],
        port: [u8; 2],
    },
    Mark {
        af: u16,
        mark: u32,
    },
}

impl ServerKey {
    pub(super) fn af(self) -> u16 {
        match self {
            Self::Address { af, .. } | Self::Mark { af, .. } => af,
        }
    }
}

/// What identifies a destination: family, address and port.
pub(super) type DestinationKey = (u16, [u8; 16], [u8; 2]);

/// A virtual server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    scheduler: String,
    engine: Option<String>,
    flags: u32,
    timeout: u32,
    netmask: [u8; 4],
    /// The newest one first, as the kernel lists them.
    destinations: Vec<(DestinationKey, Destination)>,
}

/// A destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Destination {
    forwarding: u32,
    weight: u32,
    upper: u32,
    lower: u32,
    tunnel: (u8, [u8; 2], u16),
}

/// Connections of a destination, which stay when it goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Connections {
    pub(super) active: u32,
    pub(super) inactive: u32,
}

/// All of a network namespace.
#[derive(Debug, Clone)]
pub(super) struct IpVs {
    servers: BTreeMap<ServerKey, Server>,
    pub(super) connections: BTreeMap<(ServerKey, DestinationKey), Connections>,
    timeouts: [u32; 3],
    pub(super) schedulers: BTreeSet<String>,
    pub(super) engines: BTreeSet<String>,
    /// A number that every change raises.
    pub(super) version: u64,
}

impl Default for IpVs {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            servers: BTreeMap::new(),
            connections: BTreeMap::new(),
            timeouts: [900, 120, 300],
            schedulers: names(&SCHEDULERS),
            engines: names(&ENGINES),
            version: 0,
        }
    }
}

/// True for a message that is to change a virtual server, a destination or the timeouts.
pub(super) fn is_change(message: &Message<'_>) -> bool {
    let asks = [
        command::GET_SERVICE,
        command::GET_DESTINATION,
        command::GET_CONFIG,
        command::GET_INFO,
    ];
    message.kind == FAMILY && message.payload.first().is_some_and(|it| !asks.contains(it))
}

impl IpVs {
    /// Answers a message of generic netlink that is no listing.
    pub(super) fn request(
        &mut self,
        sender: &Sender,
        request: &Request<'_>,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<Answered, Refused> {
        let (port, seq) = (sender.port, request.seq);
        let command = request.family();
        let fields = request.fields()?;
        if request.kind == uapi::CONTROL {
            let name = fields.get(uapi::CONTROL_NAME);
            let name = name.map(|name| name.text()).transpose()?;
            if command != uapi::CONTROL_GET || name != Some(uapi::NAME) {
                return Err(Refused::errno(Errno::NOENT));
            }
            let head = [uapi::CONTROL_NEW, 2, 0, 0];
            let datagram = reply(port, seq, uapi::CONTROL, 0, &head, |attrs| {
                attrs.str(uapi::CONTROL_NAME, uapi::NAME);
                attrs.bytes(uapi::CONTROL_ID, &FAMILY.to_ne_bytes());
            });
            deliveries.push(Delivery::answer(port, datagram));
            return Ok(Answered::Done);
        }
        if request.kind != FAMILY {
            return Err(Refused::errno(Errno::NOENT));
        }
        let answer = |command: u8, fill: &dyn Fn(&mut netlink_batch::AttrWriter<'_>)| {
            reply(port, seq, FAMILY, 0, &[command, 1, 0, 0], fill)
        };
        let datagram = match command {
            command::GET_INFO => answer(command::SET_INFO, &|attrs| {
                attrs.u32_ne(attr::INFO_VERSION, uapi::VERSION_CODE);
                attrs.u32_ne(attr::INFO_TABLE_SIZE, uapi::TABLE_SIZE);
            }),
            command::GET_CONFIG => answer(command::SET_CONFIG, &|attrs| {
                for (kind, timeout) in attr::TIMEOUTS.into_iter().zip(self.timeouts) {
                    attrs.u32_ne(kind, timeout);
                }
            }),
            command::GET_SERVICE => {
                let key = read::server(&fields)?.key;
                let server = self.servers.get(&key);
                let server = server.ok_or(Refused::errno(uapi::NO_SERVER))?;
                answer(command::NEW_SERVICE, &|attrs| {
                    write::server(attrs, key, server);
                })
            }
            _ => {
                self.change(command, &fields)?;
                return Ok(Answered::Done);
            }
        };
        deliveries.push(Delivery::answer(port, datagram));
        Ok(Answered::Done)
    }

    /// True for what is answered by a listing.
    pub(super) fn lists(request: &Request<'_>) -> bool {
        let lists = [command::GET_SERVICE, command::GET_DESTINATION];
        request.kind == FAMILY && request.flags & DUMP == DUMP && lists.contains(&request.family())
    }

    /// What a listing has.
    pub(super) fn objects(&self, port: u32, seq: u32, request: &Request<'_>) -> Objects {
        let mut messages = Vec::new();
        let mut add = |command: u8, fill: &dyn Fn(&mut netlink_batch::AttrWriter<'_>)| {
            let flags = netlink_batch::message::flags::MULTI;
            messages.push(reply(port, seq, FAMILY, flags, &[command, 1, 0, 0], fill));
        };
        if request.family() == command::GET_SERVICE {
            for (key, server) in &self.servers {
                add(command::NEW_SERVICE, &|attrs| {
                    write::server(attrs, *key, server);
                });
            }
        } else if let Some((key, server)) = self.asked(request) {
            for (id, destination) in &server.destinations {
                let connections = self.connections.get(&(key, *id));
                let connections = connections.copied().unwrap_or_default();
                add(command::NEW_DESTINATION, &|attrs| {
                    write::destination(attrs, id, destination, connections);
                });
            }
        }
        let version = None;
        Objects { messages, version }
    }

    fn asked(&self, request: &Request<'_>) -> Option<(ServerKey, &Server)> {
        let fields: Fields<'_> = request.fields().ok()?;
        let key = read::server(&fields).ok()?.key;
        self.servers.get(&key).map(|server| (key, server))
    }
}
