//! Interface addresses, in a network namespace of the test's own. Needs root.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use tokio::time::timeout;
use viprule_source::addresses::{Addresses, local_addresses};
use viprule_testkit::LIMIT;

/// Time for what must not come. On a slow machine too little is seen within it, and nothing wrong;
/// the list that is told next says more.
const WHILE: Duration = Duration::from_millis(300);

/// Runs a test on a thread in a new, empty network namespace.
fn in_namespace(test: impl AsyncFnOnce() + Send + 'static) {
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("this test needs root: unshare(CLONE_NEWNET)");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test());
    });
    thread.join().unwrap();
}

/// Children of this thread are in its namespace.
fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn addresses_are_listed_sorted() {
    in_namespace(async || {
        assert_eq!(local_addresses().await.unwrap(), [] as [IpAddr; 0]);
        ip("link set lo up");
        ip("addr add 192.0.2.9/24 dev lo");
        ip("addr add 192.0.2.10/24 dev lo");
        ip("addr add 192.0.2.10/32 dev lo");
        ip("addr add fd00::2/64 dev lo");
        // With a peer, the kernel tells two addresses; only one is ours.
        ip("addr add 198.51.100.1 peer 198.51.100.2/32 dev lo");
        assert_eq!(
            texts(&local_addresses().await.unwrap()),
            [
                "127.0.0.1",
                "192.0.2.9",
                "192.0.2.10",
                "198.51.100.1",
                "::1",
                "fd00::2"
            ]
        );
    });
}

#[test]
fn changes_are_followed() {
    in_namespace(async || {
        let mut addresses = Addresses::follow().unwrap();
        let next = async |addresses: &mut Addresses| {
            let list = timeout(LIMIT, addresses.changed()).await;
            texts(&list.expect("a change is told"))
        };
        assert_eq!(
            next(&mut addresses).await,
            [] as [&str; 0],
            "the first list comes at once"
        );

        ip("link set lo up");
        assert_eq!(next(&mut addresses).await, ["127.0.0.1", "::1"]);
        ip("addr add 192.0.2.1/24 dev lo");
        assert_eq!(
            next(&mut addresses).await,
            ["127.0.0.1", "192.0.2.1", "::1"]
        );
        ip("addr add fd00::1/128 dev lo");
        ip("addr del 192.0.2.1/24 dev lo");
        assert_eq!(
            next(&mut addresses).await,
            ["127.0.0.1", "::1", "fd00::1"],
            "two at once"
        );

        ip("addr add 192.0.2.1/24 dev lo");
        ip("addr del 192.0.2.1/24 dev lo");
        let told = timeout(WHILE, addresses.changed()).await;
        assert!(told.is_err(), "the list is what it was");
        ip("addr add 192.0.2.2/24 dev lo");
        assert_eq!(
            next(&mut addresses).await,
            ["127.0.0.1", "192.0.2.2", "::1", "fd00::1"],
            "nothing is told before what comes next"
        );
    });
}

#[test]
fn an_overrun_is_survived() {
    in_namespace(async || {
        ip("link set lo up");
        let mut addresses = Addresses::follow().unwrap();
        addresses.changed().await;
        // Far more notifications than the socket holds, and nobody reads: this runtime has one
        // thread, and it is here.
        let mut batch = String::new();
        for round in 0..8 {
            for index in 0..250 {
                let _ = writeln!(batch, "addr add 10.9.{round}.{index}/32 dev lo");
            }
        }
        let file = std::env::temp_dir().join(format!("viprule-batch-{}", std::process::id()));
        std::fs::write(&file, batch).unwrap();
        ip(&format!("-batch {}", file.display()));
        std::fs::remove_file(file).unwrap();
        // The last but one column counts what the kernel could not deliver.
        let sockets = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
        let drops = sockets
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().nth(8));
        assert!(
            drops.clone().any(|drops| drops != "0"),
            "no overrun:\n{sockets}"
        );

        let list = timeout(LIMIT, addresses.changed()).await.unwrap();
        assert_eq!(list.len(), 2 + 2000);
        ip("addr add 192.0.2.1/32 dev lo");
        let list = timeout(LIMIT, addresses.changed()).await.unwrap();
        assert_eq!(list.len(), 2 + 2000 + 1, "still following");
    });
}

/// A bridge stands in for the dummy: only the name counts.
#[test]
fn virtual_addresses_are_not_the_nodes() {
    in_namespace(async || {
        let next = async |addresses: &mut Addresses| {
            let list = timeout(LIMIT, addresses.changed()).await;
            texts(&list.expect("a change is told"))
        };
        let silent = async |addresses: &mut Addresses| {
            let told = timeout(WHILE, addresses.changed()).await;
            assert!(told.is_err(), "the list is what it was");
        };
        ip("link set lo up");
        let mut addresses = Addresses::follow().unwrap();
        assert_eq!(next(&mut addresses).await, ["127.0.0.1", "::1"]);

        for round in 0..2 {
            ip("link add kube-ipvs0 type bridge");
            ip("addr add 10.1.0.1/32 dev kube-ipvs0");
            ip("addr add fd00:1::1/128 dev kube-ipvs0");
            silent(&mut addresses).await;
            ip("addr add 10.1.0.2/32 dev kube-ipvs0");
            ip("addr del 10.1.0.1/32 dev kube-ipvs0");
            // One that the node has too.
            ip("addr add 192.0.2.1/32 dev kube-ipvs0");
            ip(&format!("addr add 192.0.2.1{round}/32 dev lo"));
            let own = format!("192.0.2.1{round}");
            assert_eq!(next(&mut addresses).await, ["127.0.0.1", &own, "::1"]);
            assert_eq!(
                texts(&local_addresses().await.unwrap()),
                ["127.0.0.1", &own, "::1"]
            );
            ip("addr add 192.0.2.1/32 dev lo");
            assert_eq!(
                next(&mut addresses).await,
                ["127.0.0.1", "192.0.2.1", &own, "::1"]
            );
            // The next round's link has another index.
            ip("link del kube-ipvs0");
            silent(&mut addresses).await;
            ip(&format!("addr del {own}/32 dev lo"));
            ip("addr del 192.0.2.1/32 dev lo");
            assert_eq!(next(&mut addresses).await, ["127.0.0.1", "::1"]);
        }
    });
}
