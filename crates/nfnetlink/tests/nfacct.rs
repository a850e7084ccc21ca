//! Named counters against the kernel.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{in_netns, run};
use nfnetlink::nfacct::{self, Counter, Error};

#[test]
fn counters_are_created_read_and_deleted() {
    in_netns(|socket| {
        let name = "ct_state_invalid_dropped_pkts";
        assert_eq!(nfacct::get(socket, name).unwrap(), None);
        nfacct::ensure(socket, name).unwrap();
        nfacct::ensure(socket, name).unwrap();
        assert_eq!(nfacct::get(socket, name).unwrap(), Some(Counter::default()));
        assert!(nfacct::delete(socket, name).unwrap());
        assert!(!nfacct::delete(socket, name).unwrap());
        assert_eq!(nfacct::get(socket, name).unwrap(), None);
    });
}

#[test]
fn rules_feed_counters_and_keep_them() {
    in_netns(|socket| {
        nfacct::ensure(socket, "pings").unwrap();
        run("ip", &["link", "set", "lo", "up"]);
        run(
            "iptables-nft",
            &[
                "-A",
                "OUTPUT",
                "-p",
                "udp",
                "-m",
                "nfacct",
                "--nfacct-name",
                "pings",
            ],
        );
        let from = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..3 {
            from.send_to(b"12345678", "127.0.0.1:9").ok();
        }
        let mut expected = Counter::default();
        (expected.packets, expected.bytes) = (3, 3 * (20 + 8 + 8));
        assert_eq!(nfacct::get(socket, "pings").unwrap(), Some(expected));
        nfacct::ensure(socket, "pings").unwrap();
        assert_eq!(
            nfacct::get(socket, "pings").unwrap(),
            Some(expected),
            "the count stays"
        );
        let error = nfacct::delete(socket, "pings").unwrap_err();
        assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    });
}

#[test]
fn names_are_checked_before_they_are_sent() {
    in_netns(|socket| {
        let longest = "x".repeat(nfacct::NAME_MAX);
        nfacct::ensure(socket, &longest).unwrap();
        assert_eq!(
            nfacct::get(socket, &longest).unwrap(),
            Some(Counter::default())
        );
        for name in ["", "a\0b", &"x".repeat(nfacct::NAME_MAX + 1)] {
            let error = nfacct::ensure(socket, name).unwrap_err();
            assert!(matches!(error, Error::Name { .. }), "{name:?}: {error:?}");
        }
    });
}
