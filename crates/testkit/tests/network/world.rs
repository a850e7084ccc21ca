//! The wiring, without any rules.

use crate::support::{BACKENDS, BACKENDS6, PROTOCOLS, VIP, VIP6, at, world};
use std::time::Duration;
use viprule_testkit::client::{Client, Failure};
use viprule_testkit::netns::require_privileges;
use viprule_testkit::{Protocol, World};

#[test]
fn everybody_reaches_every_pod() {
    let world = world();
    for ip in BACKENDS.iter().chain(&BACKENDS6) {
        let _server = world
            .serve(Protocol::Tcp, &at(ip, 8080).to_string())
            .unwrap();
        let local = if ip.contains(':') {
            BACKENDS6[0]
        } else {
            BACKENDS[0]
        };
        let remote = if ip.contains(':') {
            BACKENDS6[2]
        } else {
            BACKENDS[2]
        };
        let from_pod = world.in_pod(local).unwrap();
        let from_remote = world.in_pod(remote).unwrap();
        for client in [world.outside(), world.on_node(), from_pod, from_remote] {
            let answer = client.tcp(at(ip, 8080)).unwrap().result.unwrap();
            assert_eq!(answer.backend, at(ip, 8080));
        }
        let seen = from_pod
            .tcp(at(ip, 8080))
            .unwrap()
            .result
            .unwrap()
            .peer
            .ip();
        assert_eq!(seen.to_string(), local, "nobody translates");
    }
}

#[test]
fn closed_ports_refuse_and_unknown_addresses_are_silent() {
    let world = world();
    let client = world.outside();
    for ip in [BACKENDS[0], BACKENDS[2], BACKENDS6[0], "192.168.77.2"] {
        for protocol in PROTOCOLS {
            let attempt = client.ask(protocol, at(ip, 81)).unwrap();
            assert_eq!(
                attempt.failure(),
                Some(&Failure::Refused),
                "{protocol} {ip}"
            );
        }
    }
    let client = client.timeout(Duration::from_millis(300));
    for ip in [VIP, VIP6] {
        for protocol in PROTOCOLS {
            let attempt = client.ask(protocol, at(ip, 80)).unwrap();
            assert_eq!(
                attempt.failure(),
                Some(&Failure::TimedOut),
                "{protocol} {ip}"
            );
            assert!(
                attempt.elapsed >= Duration::from_millis(290),
                "{:?}",
                attempt.elapsed
            );
        }
    }
}

#[test]
fn extra_addresses_of_client_and_node() {
    require_privileges().unwrap();
    let world = World::builder()
        .pods(["10.244.0.5", "10.244.2.9"])
        .client_address("203.0.113.9")
        .node_address("198.51.100.2")
        .build()
        .unwrap();
    let _servers = world
        .serve_all(
            Protocol::Tcp,
            ["10.244.0.5:80", "10.244.2.9:80", "198.51.100.2:80"],
        )
        .unwrap();
    let client = world.outside().from_address("203.0.113.9".parse().unwrap());
    for ip in ["10.244.0.5", "10.244.2.9", "198.51.100.2"] {
        let answer = client.tcp(at(ip, 80)).unwrap().result.unwrap();
        assert_eq!(answer.peer.ip().to_string(), "203.0.113.9");
    }
}

#[test]
fn pods_come_and_go() {
    let mut world = world();
    world.add_pod("10.244.0.99,fd00:10:244::99").unwrap();
    let server = world.serve(Protocol::Tcp, "[fd00:10:244::99]:80").unwrap();
    let target = at("fd00:10:244::99", 80);
    assert!(world.outside().tcp(target).unwrap().is_answered());
    assert_eq!(server.answered(), 1);
    world.remove_pod("10.244.0.99").unwrap();
    let client = world.outside().timeout(Duration::from_millis(300));
    assert!(!client.tcp(target).unwrap().is_answered());
    assert!(world.pod("10.244.0.99").is_err());
}

#[test]
fn mistakes_are_told() {
    require_privileges().unwrap();
    for (pod, told) in [
        ("10.245.0.1", "10.245.0.1"),
        ("10.244.0.1", "10.244.0.1"),
        ("10.244.0.5,fd00:10:244:1::5", "one node"),
        ("nonsense", "nonsense"),
    ] {
        let error = World::builder().pod(pod).build().unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    let error = World::builder()
        .pods(["10.244.0.5", "10.244.0.5"])
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
    let world = World::builder().build().unwrap();
    assert!(world.serve(Protocol::Tcp, "10.244.0.5:80").is_err());
    assert!(world.serve(Protocol::Tcp, "10.244.0.5").is_err());
    assert!(
        Client::new(world.client())
            .timeout(Duration::from_millis(300))
            .tcp(at("10.244.0.5", 80))
            .is_ok()
    );
}
