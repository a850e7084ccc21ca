//! The least that the kernel asks for: bare messages, many to a send and the last one
//! acknowledged, and for legacy xtables, which take no messages, their own program.

use ipvs_netlink::Requests;
use netlink_batch::message::flags;
use netlink_batch::{Batch, Socket};
use nfnetlink::Family;
use nfnetlink::ipset::{self, Changes, Spec};
use std::net::IpAddr;
use viprule_dataplane::ipvs::{Desired, Key, Object, Section, sections};
use viprule_tests::figures::samples::{Sample, time};

use crate::kernel::Kernel;

/// `RTM_NEWADDR` (`linux/rtnetlink.h`).
const NEW_ADDRESS: u16 = 20;
/// `IFA_LOCAL` (`linux/if_addr.h`).
const LOCAL: u16 = 2;
/// Addresses in a chunk: about 64 KiB.
const CHUNK: usize = 1_536;

/// The parts of a first sync, in the order of sending.
pub(crate) const PARTS: [&str; 4] = [
    "of it sets",
    "of it virtual servers",
    "of it addresses",
    "of it chains",
];

/// Everything of a first sync, for a kernel whose link is there.
#[derive(Debug)]
pub(crate) struct Everything {
    sets: Vec<(String, Spec)>,
    elements: Changes<()>,
    servers: Vec<Requests<()>>,
    addresses: Vec<Batch<()>>,
    rules: Vec<(&'static str, String)>,
}

impl Everything {
    /// Encodes what is desired.
    pub(crate) fn prepare(kernel: &Kernel, desired: &Desired) -> anyhow::Result<Self> {
        let (mut sets, mut elements) = (Vec::new(), Changes::new());
        let mut servers = vec![kernel.ipvs.requests()];
        let mut addresses = Vec::new();
        for (key, object) in desired {
            if servers.last().is_some_and(Requests::is_full) {
                servers.push(kernel.ipvs.requests());
            }
            let requests = servers.last_mut();
            match (key, object, requests) {
                (Key::Set(set), Object::Set(spec), _) => sets.push((set.to_string(), *spec)),
                (Key::Entry { set, entry }, _, _) => elements.add(&set.to_string(), *entry, ()),
                (Key::Server(id), Object::Server(server), Some(requests)) => {
                    requests.new_server(id, server)?;
                }
                (
                    Key::Destination {
                        server,
                        destination: id,
                    },
                    Object::Destination(destination),
                    Some(requests),
                ) => requests.new_destination(server, id, destination)?,
                (Key::Address(address), _, _) => addresses.push(*address),
                _ => {}
            }
        }
        let mut texts = sections(desired);
        let programs = [
            ("iptables-legacy-restore", Family::Ipv4),
            ("ip6tables-legacy-restore", Family::Ipv6),
        ];
        let rules = programs.into_iter().filter_map(|(program, family)| {
            let text = texts.remove(&Section::Rules(family))?;
            Some((program, text))
        });
        Ok(Self {
            sets,
            elements,
            servers,
            addresses: encode(&addresses, kernel.link()?),
            rules: rules.collect(),
        })
    }

    /// Sends it all; the time of each of the [`PARTS`].
    pub(crate) fn send(&mut self, kernel: &mut Kernel) -> anyhow::Result<[Sample; 4]> {
        let (outcome, sets) = time(|| self.send_sets(&mut kernel.sets));
        outcome?;
        let servers = &mut self.servers;
        let (outcome, servers) = time(|| servers.iter_mut().try_for_each(|part| kernel.send(part)));
        outcome?;
        let (outcome, addresses) = time(|| self.send_addresses(&mut kernel.routes));
        outcome?;
        let (outcome, chains) = time(|| self.restore(kernel));
        outcome?;
        Ok([sets, servers, addresses, chains])
    }

    fn send_sets(&self, socket: &mut Socket) -> anyhow::Result<()> {
        for (name, spec) in &self.sets {
            ipset::create(socket, name, spec)?;
        }
        match self.elements.send(socket)?.into_iter().next() {
            Some(refused) => Err(refused.into()),
            None => Ok(()),
        }
    }

    fn send_addresses(&self, socket: &mut Socket) -> anyhow::Result<()> {
        for chunk in &self.addresses {
            let answers = socket.send(chunk, |_, _| {})?;
            if let Some(refusal) = answers.refusals.first() {
                anyhow::bail!("the kernel refused {refusal}");
            }
        }
        Ok(())
    }

    fn restore(&self, kernel: &Kernel) -> anyhow::Result<()> {
        for (program, text) in &self.rules {
            let command = kernel.namespace.command(program).arg("--noflush");
            command.input(text.as_str()).text()?;
        }
        Ok(())
    }
}

fn encode(addresses: &[IpAddr], link: u32) -> Vec<Batch<()>> {
    let [a, b, c, d] = link.to_ne_bytes();
    let chunk = |part: &[IpAddr]| {
        let mut batch = Batch::new();
        for (at, address) in part.iter().enumerate() {
            let ack = if at + 1 == part.len() { flags::ACK } else { 0 };
            let flags = flags::CREATE | flags::EXCL | ack;
            match address {
                IpAddr::V4(ip) => {
                    let header = [2, 32, 0, 0, a, b, c, d];
                    batch.message(NEW_ADDRESS, flags, &header, |attrs| {
                        attrs.bytes(LOCAL, &ip.octets());
                    });
                }
                IpAddr::V6(ip) => {
                    let header = [10, 128, 0, 0, a, b, c, d];
                    batch.message(NEW_ADDRESS, flags, &header, |attrs| {
                        attrs.bytes(LOCAL, &ip.octets());
                    });
                }
            }
        }
        batch
    };
    addresses.chunks(CHUNK).map(chunk).collect()
}
