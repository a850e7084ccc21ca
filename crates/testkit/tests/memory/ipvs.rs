//! Virtual servers and destinations, on a kernel that has IPVS.

use std::fmt::Debug;

use ipvs_netlink::proc::{self, Line};
use ipvs_netlink::{
    Destination, DestinationId, Engine, Family, Ipvs, Netmask, Protocol, Requests, Scheduler,
    Server, ServerFlags, ServerId, Timeouts,
};
use netlink_batch::{Batch, Message, Socket, socket};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::worlds::{both, bytes, same};

fn servers() -> Vec<ServerId> {
    let at = |text: &str, protocol| {
        let at: std::net::SocketAddr = text.parse().unwrap();
        ServerId::Address {
            address: at.ip(),
            port: at.port(),
            protocol,
        }
    };
    vec![
        at("10.1.0.20:80", Protocol::Tcp),
        at("10.1.0.20:53", Protocol::Udp),
        at("[fd00::20]:80", Protocol::Tcp),
        ServerId::Fwmark {
            family: Family::Ipv4,
            mark: 7,
        },
    ]
}

#[derive(Debug, Clone)]
enum Op {
    New(usize, Server),
    Set(usize, Server),
    Delete(usize),
    Add(usize, usize, Destination),
    Change(usize, usize, Destination),
    Remove(usize, usize),
    Zero(Option<usize>),
    Config(Timeouts),
    Flush,
}

fn destination_id(server: &ServerId, number: usize) -> DestinationId {
    let addresses = match server.family() {
        Family::Ipv4 => ["10.244.0.5", "10.244.0.6", "10.244.0.7"],
        Family::Ipv6 => ["fd00:10:244::5", "fd00:10:244::6", "fd00:10:244::7"],
    };
    DestinationId {
        address: addresses[number].parse().unwrap(),
        port: 8080,
    }
}

fn add(requests: &mut Requests<()>, op: &Op) {
    let servers = servers();
    // What this crate refuses itself is left out.
    let _invalid = match op {
        Op::New(at, server) => requests.new_server(&servers[*at], &fitting(&servers[*at], *server)),
        Op::Set(at, server) => requests.set_server(&servers[*at], &fitting(&servers[*at], *server)),
        Op::Add(at, number, it) => {
            let id = destination_id(&servers[*at], *number);
            requests.new_destination(&servers[*at], &id, it)
        }
        Op::Change(at, number, it) => {
            let id = destination_id(&servers[*at], *number);
            requests.set_destination(&servers[*at], &id, it)
        }
        op => {
            match op {
                Op::Delete(at) => requests.delete_server(&servers[*at]),
                Op::Remove(at, number) => {
                    let id = destination_id(&servers[*at], *number);
                    requests.delete_destination(&servers[*at], &id);
                }
                Op::Zero(at) => requests.zero(at.map(|at| servers[at]).as_ref()),
                Op::Config(timeouts) => requests.set_config(timeouts),
                _ => requests.flush(),
            }
            Ok(())
        }
    };
}

fn fitting(id: &ServerId, mut server: Server) -> Server {
    let host = Netmask::host(id.family());
    server.netmask = Netmask(server.netmask.0.min(host.0));
    server
}

fn server() -> impl Strategy<Value = Server> {
    let scheduler = prop_oneof![
        4 => select(&["rr", "wrr", "sh", "lc"][..]),
        1 => Just("nosuch"),
    ];
    let flags = select(vec![
        ServerFlags::empty(),
        ServerFlags::PERSISTENT,
        ServerFlags::PERSISTENT | ServerFlags::SCHED_1,
        ServerFlags::ONE_PACKET,
    ]);
    let engine = prop::option::weighted(0.1, Just("nosuch"));
    (
        scheduler,
        flags,
        0..3_u32,
        select(&[1_u8, 24, 32, 128][..]),
        engine,
    )
        .prop_map(|(scheduler, flags, timeout, netmask, engine)| {
            let scheduler = scheduler.parse::<Scheduler>().unwrap();
            let mut server = Server::new(scheduler, Family::Ipv4);
            server.flags = flags;
            server.timeout = timeout * 300;
            server.netmask = Netmask(netmask);
            server.engine = engine.map(|name| name.parse::<Engine>().unwrap());
            server
        })
}

fn op() -> impl Strategy<Value = Op> {
    let at = || 0..4_usize;
    let number = || 0..3_usize;
    let destination = || {
        (0..3_u32, 0..3_u32, 0..2_u32).prop_map(|(weight, upper, lower)| {
            let mut destination = Destination::masqueraded(weight);
            destination.upper_threshold = upper;
            destination.lower_threshold = lower;
            destination
        })
    };
    let timeouts = (0..3_u32, 0..3_u32, 0..3_u32).prop_map(|(tcp, tcp_fin, udp)| Timeouts {
        tcp: tcp * 100,
        tcp_fin: tcp_fin * 10,
        udp: udp * 20,
    });
    prop_oneof![
        6 => (at(), server()).prop_map(|(at, server)| Op::New(at, server)),
        3 => (at(), server()).prop_map(|(at, server)| Op::Set(at, server)),
        2 => at().prop_map(Op::Delete),
        6 => (at(), number(), destination()).prop_map(|(at, number, it)| Op::Add(at, number, it)),
        3 => (at(), number(), destination()).prop_map(|(at, number, it)| Op::Change(at, number, it)),
        3 => (at(), number()).prop_map(|(at, number)| Op::Remove(at, number)),
        1 => prop::option::of(at()).prop_map(Op::Zero),
        1 => timeouts.prop_map(Op::Config),
        1 => Just(Op::Flush),
    ]
}

/// The loopback has to be up for IPv4.
fn loopback_up() {
    let mut batch = Batch::<()>::new();
    let mut header = [0; 16];
    header[4] = 1;
    header[8] = 1;
    header[12] = 1;
    batch.message(16, 4, &header, |_| {});
    let mut socket = Socket::open(socket::ROUTE).unwrap();
    assert!(socket.send(&batch, |_, _| {}).unwrap().refusals.is_empty());
}

fn run(batches: &[Vec<Op>]) -> Vec<String> {
    loopback_up();
    let mut ipvs = Ipvs::open().unwrap();
    let mut said = vec![format!("{:?}", ipvs.config().unwrap())];
    for name in ["rr", "nosuch"] {
        let scheduler = name.parse().unwrap();
        said.push(format!("{:?}", ipvs.has_scheduler(&scheduler).unwrap()));
    }
    for ops in batches {
        let mut requests = ipvs.requests();
        for op in ops {
            add(&mut requests, op);
        }
        let answers = ipvs.send(&mut requests).unwrap();
        said.push(format!("acknowledged {}", answers.acknowledged));
        for it in answers.refusals {
            said.push(format!(
                "refused {:?} {} {:?}",
                it.index, it.errno, it.offset
            ));
        }
        look(&mut ipvs, &mut said);
    }
    said
}

fn look(ipvs: &mut Ipvs, said: &mut Vec<String>) {
    said.push(format!("{:?}", ipvs.config().unwrap()));
    let family = ipvs.family();
    let told = |message: &Message<'_>| {
        assert_eq!(message.kind, family);
        format!("{:#x} {}", message.flags, bytes(message.payload))
    };
    let mut listed = Vec::new();
    let header = [4, 1, 0, 0];
    let listing = ipvs.socket().dump(
        family,
        &header,
        |_| {},
        |message| {
            listed.push(told(&message));
            Ok(())
        },
    );
    listing.unwrap();
    // The kernel's order is that of its hash.
    listed.sort();
    said.append(&mut listed);
    for id in servers() {
        said.push(format!("{:?}", ipvs.server(&id).unwrap()));
        let mut destinations = Vec::new();
        ipvs.destinations(&id, |it| destinations.push(it)).unwrap();
        said.extend(destinations.iter().map(line));
    }
    let mut lines = Vec::new();
    proc::read(|it| match it {
        Line::Server(mut it) => {
            // Kernels' clocks have as many ticks as they were built with.
            if let Some(persistence) = &mut it.persistence {
                persistence.ticks = 0;
            }
            lines.push(vec![line(&it)]);
        }
        Line::Destination(it) => lines.last_mut().unwrap().push(line(&it)),
    })
    .unwrap();
    lines.sort();
    said.extend(lines.concat());
}

fn line(it: &impl Debug) -> String {
    format!("{it:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    #[ignore = "needs IPVS: run by scripts/vm"]
    fn both_kernels_have_the_same_virtual_servers(
        batches in vec(vec(op(), 1..8), 1..8),
    ) {
        let [real, memory] = both(|| run(&batches));
        same(&real, &memory);
    }
}
