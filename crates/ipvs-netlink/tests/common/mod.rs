//! Namespaces and servers for tests.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "these are tests, and each test program uses a part"
)]

use std::net::Ipv4Addr;
use std::process::Command;

use ipvs_netlink::text::{self, Line};
use ipvs_netlink::{DestinationId, Ipvs, Protocol, Requests, ServerId};
use nix::sched::{CloneFlags, unshare};

/// Runs `body` on a thread with a network namespace of its own, whose loopback is up. Programs it
/// starts share it.
pub(crate) fn in_netns<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
                panic!("no network namespace ({errno}): run as root");
            }
            run("ip", &["link", "set", "lo", "up"]);
            body()
        });
        thread
            .join()
            .unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    })
}

/// The IPVS of this thread's namespace.
pub(crate) fn must_open() -> Ipvs {
    Ipvs::open().unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a program in this thread's namespace and returns what it printed.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{program} {args:?}: {printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}

/// Sends requests, none of which may be refused.
pub(crate) fn send(ipvs: &mut Ipvs, requests: &mut Requests<()>) {
    let answers = ipvs.send(requests).unwrap();
    let refused: Vec<String> = answers
        .refusals
        .iter()
        .map(|refusal| format!("{refusal}: {}", requests.reason(refusal)))
        .collect();
    assert_eq!(refused, Vec::<String>::new());
    assert!(!answers.lost);
    requests.clear();
}

/// Adds what `ipvsadm` saved.
pub(crate) fn apply(ipvs: &mut Ipvs, saved: &str) {
    let mut requests = ipvs.requests();
    for line in text::parse(saved) {
        match line.unwrap() {
            Line::Server { id, server } => requests.new_server(&id, &server).unwrap(),
            Line::Destination {
                server,
                id,
                destination,
            } => requests
                .new_destination(&server, &id, &destination)
                .unwrap(),
        }
    }
    send(ipvs, &mut requests);
}

/// Every virtual server and destination.
pub(crate) fn all(ipvs: &mut Ipvs) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut ids = Vec::new();
    ipvs.servers(|entry| {
        ids.push(entry.id);
        lines.push(Line::Server {
            id: entry.id,
            server: entry.server,
        });
    })
    .unwrap();
    for server in ids {
        ipvs.destinations(&server, |entry| {
            lines.push(Line::Destination {
                server,
                id: entry.id,
                destination: entry.destination,
            });
        })
        .unwrap();
    }
    lines
}

/// `TCP 10.96.x.x:80`.
pub(crate) fn tcp(number: u32) -> ServerId {
    ServerId::Address {
        address: Ipv4Addr::from_bits(0x0a60_0000 + number).into(),
        port: 80,
        protocol: Protocol::Tcp,
    }
}

/// `10.240.x.x:8080`.
pub(crate) fn pod(number: u32) -> DestinationId {
    DestinationId {
        address: Ipv4Addr::from_bits(0x0af0_0000 + number).into(),
        port: 8080,
    }
}
