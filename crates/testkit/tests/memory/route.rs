//! Links and addresses. The real kernel tells more of each, so that only what the agent reads is
//! compared; of IPv6 addresses it tells some time later.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use netlink_batch::message::flags::{ACK, CREATE, EXCL};
use netlink_batch::{Batch, Message, Socket, socket};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::worlds::{both, same};

const NAMES: [&str; 2] = ["kube-ipvs0", "other0"];

#[derive(Debug, Clone)]
enum Op {
    Make(usize),
    MakeUnknown(usize),
    Remove(usize),
    Add(usize, IpAddr, u8),
    Take(usize, IpAddr, u8),
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..NAMES.len();
    let address = || {
        select(vec![
            (IpAddr::from([10, 1, 0, 1]), 32),
            (IpAddr::from([10, 1, 0, 2]), 32),
            ("fd00::1".parse().unwrap(), 128),
        ])
    };
    prop_oneof![
        3 => name().prop_map(Op::Make),
        1 => name().prop_map(Op::MakeUnknown),
        1 => name().prop_map(Op::Remove),
        6 => (name(), address()).prop_map(|(name, (it, prefix))| Op::Add(name, it, prefix)),
        3 => (name(), address()).prop_map(|(name, (it, prefix))| Op::Take(name, it, prefix)),
    ]
}

/// What the agent reads of a message; links by name.
fn told(message: &Message<'_>, names: &mut Vec<(u32, String)>) -> Option<String> {
    let kind = message.kind;
    let header = if kind < 20 { 16 } else { 8 };
    let index = u32::from_ne_bytes(message.payload[4..8].try_into().unwrap());
    let mut said = String::new();
    for attr in netlink_batch::Attrs::new(&message.payload[header..]) {
        let attr = attr.unwrap();
        match (kind, attr.kind) {
            (16 | 17, 3) => {
                let name = attr.str().unwrap().to_owned();
                names.retain(|it| it.0 != index);
                names.push((index, name));
            }
            (16 | 17, 18) => {
                let info = attr.nested().next().unwrap().unwrap();
                info.str().unwrap().clone_into(&mut said);
            }
            // The local address counts, where there is one.
            (20 | 21, 1 | 2) => said = address(attr.payload),
            _ => {}
        }
    }
    let name = names.iter().find(|it| it.0 == index)?.1.clone();
    let ours = NAMES.contains(&name.as_str());
    ours.then(|| format!("{kind} {name} {said}"))
}

fn address(payload: &[u8]) -> String {
    match <[u8; 4]>::try_from(payload) {
        Ok(octets) => Ipv4Addr::from(octets).to_string(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(payload).unwrap()).to_string(),
    }
}

struct Runner {
    socket: Socket,
    listener: Socket,
    names: Vec<(u32, String)>,
    said: Vec<String>,
}

impl Runner {
    /// The number of a link; one that no link has where there is none of that name.
    fn find(&mut self, name: &str) -> u32 {
        let mut found = 99;
        let (said, names) = (&mut self.said, &mut self.names);
        let result = self.socket.request(
            18,
            0,
            &[0; 16],
            |attrs| attrs.str(3, name),
            |message| {
                said.extend(told(&message, names));
                found = u32::from_ne_bytes(message.payload[4..8].try_into().unwrap());
                Ok(())
            },
        );
        self.said
            .push(format!("{:?}", result.err().and_then(|it| it.errno())));
        found
    }

    fn run(&mut self, op: &Op) {
        let mut batch = Batch::<()>::new();
        match op {
            Op::Make(name) | Op::MakeUnknown(name) => {
                let kind = if matches!(op, Op::Make(_)) {
                    "bridge"
                } else {
                    "nosuch"
                };
                batch.message(16, CREATE | EXCL | ACK, &[0; 16], |attrs| {
                    attrs.str(3, NAMES[*name]);
                    attrs.nest(18, |info| info.str(1, kind));
                });
            }
            Op::Remove(name) => {
                let mut header = [0; 16];
                header[4..8].copy_from_slice(&self.find(NAMES[*name]).to_ne_bytes());
                batch.message(17, ACK, &header, |_| {});
            }
            Op::Add(name, it, prefix) | Op::Take(name, it, prefix) => {
                let [a, b, c, d] = self.find(NAMES[*name]).to_ne_bytes();
                let (kind, flags) = match op {
                    Op::Add(..) => (20, CREATE | EXCL | ACK),
                    _ => (21, ACK),
                };
                let family = if it.is_ipv4() { 2 } else { 10 };
                let header = [family, *prefix, 0, 0, a, b, c, d];
                batch.message(kind, flags, &header, |attrs| match it {
                    IpAddr::V4(it) => attrs.bytes(2, &it.octets()),
                    IpAddr::V6(it) => attrs.bytes(2, &it.octets()),
                });
            }
        }
        let answers = self.socket.send(&batch, |_, _| {}).unwrap();
        let refused = answers.refusals.iter().map(|it| it.errno);
        let refused: Vec<_> = refused.collect();
        self.said
            .push(format!("{refused:?} {}", answers.acknowledged));
        self.hear();
        self.list();
    }

    fn hear(&mut self) {
        let mut heard = BTreeSet::new();
        let names = &mut self.names;
        loop {
            let more = self.listener.receive(Some(Duration::ZERO), |message| {
                heard.extend(told(&message, names));
            });
            if more.unwrap() == 0 {
                break;
            }
        }
        self.said.push(format!("heard {heard:?}"));
    }

    fn list(&mut self) {
        for (kind, header) in [(18, 16), (22, 8)] {
            let mut listed = BTreeSet::new();
            let names = &mut self.names;
            let listing = self.socket.dump(
                kind,
                &[0; 16][..header],
                |_| {},
                |message| {
                    listed.extend(told(&message, names));
                    Ok(())
                },
            );
            listing.unwrap();
            self.said.push(format!("{listed:?}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn both_kernels_have_the_same_links_and_addresses(ops in vec(op(), 1..16)) {
        let [real, memory] = both(|| {
            let route = || Socket::open(socket::ROUTE).unwrap();
            let mut runner = Runner {
                socket: route(),
                listener: route(),
                names: Vec::new(),
                said: Vec::new(),
            };
            // Links and addresses of IPv4.
            for group in [1, 5] {
                runner.listener.join(group).unwrap();
            }
            for op in &ops {
                runner.run(op);
            }
            runner.said
        });
        same(&real, &memory);
    }
}
