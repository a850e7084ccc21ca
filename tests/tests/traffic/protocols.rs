//! Every protocol and family by every kind of address.

use crate::support::golden::Golden;
use crate::support::{CLUSTER_CIDR, Place, Stage, at, even, shared};
use viprule_testkit::Protocol::{self, Sctp, Tcp, Udp};
use viprule_testkit::World;
use viprule_testkit::manifests::{join, service, slice};

const ATTEMPTS: u32 = 300;

const V4: [&str; 2] = ["10.244.0.51:8080", "10.244.1.51:8080"];
const V6: [&str; 2] = ["[fd00:10:244::51]:8080", "[fd00:10:244:1::51]:8080"];
/// Addresses of the Service `echo` and who is behind them.
const TARGETS: [(&str, [&str; 2]); 8] = [
    ("10.1.0.51:80", V4),
    ("192.168.77.2:30051", V4),
    ("203.0.113.51:80", V4),
    ("198.51.100.51:80", V4),
    ("[fd00:10:1::51]:80", V6),
    ("[fd00:77::2]:30051", V6),
    ("[2001:db8::51]:80", V6),
    ("[2001:db8:1::51]:80", V6),
];

/// A dual-stack Service with the same port numbers for each protocol.
fn echo() -> Stage {
    let pods = [
        "10.244.0.51,fd00:10:244::51",
        "10.244.1.51,fd00:10:244:1::51",
    ];
    let stage = Stage::new(shared(), World::builder().pods(pods));
    let service = service("echo")
        .cluster_ip("10.1.0.51")
        .cluster_ip("fd00:10:1::51");
    let service = service
        .load_balancer("203.0.113.51")
        .load_balancer("2001:db8::51");
    let service = service
        .external_ip("198.51.100.51")
        .external_ip("2001:db8:1::51");
    let service = service
        .tcp("t", 80, 8080)
        .node_port(30051)
        .udp("u", 80, 8080)
        .node_port(30051);
    let service = service.sctp("s", 80, 8080).node_port(30051);
    let families = [
        ("echo-4", "10.244.0.51", "10.244.1.51"),
        ("echo-6", "fd00:10:244::51", "fd00:10:244:1::51"),
    ];
    let slices = families.map(|(name, local, remote)| {
        let slice = slice(name, "echo")
            .tcp("t", 8080)
            .udp("u", 8080)
            .sctp("s", 8080);
        slice
            .ready(local, "node-0")
            .ready(remote, "node-1")
            .to_string()
    });
    stage.write(
        "echo.yaml",
        &join([service.to_string()].iter().chain(&slices)),
    );
    stage.apply(CLUSTER_CIDR);
    stage
}

#[track_caller]
fn works_everywhere(protocol: Protocol) {
    let stage = echo();
    let _servers = stage
        .world
        .serve_all(protocol, V4.into_iter().chain(V6))
        .unwrap();
    for (target, backends) in TARGETS {
        for place in Place::ALL {
            let client = stage.client(place, at(target));
            even(
                client,
                (protocol, at(target), ATTEMPTS),
                &backends,
                &format!("{place:?}"),
            );
        }
    }
}

#[test]
fn tcp_works_by_every_address_of_both_families() {
    works_everywhere(Tcp);
}

#[test]
fn udp_works_by_every_address_of_both_families() {
    works_everywhere(Udp);
}

#[test]
fn sctp_works_by_every_address_of_both_families() {
    works_everywhere(Sctp);
}

#[test]
fn protocols_on_the_same_port_are_told_apart() {
    let stage = echo();
    let _tcp = stage.world.serve_all(Tcp, V4).unwrap();
    let target = at("10.1.0.51:80");
    assert!(stage.world.outside().tcp(target).unwrap().is_answered());
    let attempt = stage.world.outside().udp(target).unwrap();
    let refused = Some(&viprule_testkit::client::Failure::Refused);
    assert_eq!(attempt.failure(), refused, "no endpoint listens on UDP");
}

#[test]
fn the_golden_clusters_sctp_port_works_in_both_families() {
    let golden = Golden::new(shared());
    golden.stage.apply(CLUSTER_CIDR);
    let v4 = ["10.244.0.80:132", "10.244.1.80:132"];
    let v6 = ["[fd00:10:244::80]:132", "[fd00:10:244:1::80]:132"];
    let targets = [
        ("10.1.0.80:132", v4),
        ("192.168.77.2:30132", v4),
        ("[fd00:10:1::80]:132", v6),
        ("[fd00:77::2]:30132", v6),
    ];
    for (target, backends) in targets {
        for place in Place::ALL {
            let client = golden.stage.client(place, at(target));
            even(
                client,
                (Sctp, at(target), 500),
                &backends,
                &format!("{place:?}"),
            );
        }
    }
}
