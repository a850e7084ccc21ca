//! The source ports that masqueraded connections get: with node ports left out none of them is one.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use crate::support::{CLUSTER_CIDR, Place, Stage, at, shared};
use viprule_testkit::Protocol::{self, Sctp, Tcp, Udp};
use viprule_testkit::manifests::{join, service, slice};
use viprule_testkit::server::Server;
use viprule_testkit::{Mode, World};

/// The API server's range where it is given none.
const NODE_PORTS: RangeInclusive<u16> = 30000..=32767;
/// Of these connections about 13 would have one of them as source port: all miss it by chance once
/// in 400,000 times.
const CONNECTIONS: usize = 300;
/// Leaves 4536 of 64512 ports: a connection misses it by chance once in 14 times.
const LARGE_RANGE: RangeInclusive<u16> = 2000..=61975;
/// Few enough to leave free ports, and enough for both ranges that are left.
const FEW: usize = 60;
const PROTOCOLS: [Protocol; 3] = [Tcp, Udp, Sctp];
const TARGETS: [&str; 2] = ["10.1.0.71:80", "[fd00:10:1::71]:80"];

struct Scene {
    stage: Stage,
    _servers: Vec<Server>,
}

impl Scene {
    fn new() -> Self {
        let pod = "10.244.0.71,fd00:10:244::71";
        let stage = Stage::new(shared(), World::builder().pod(pod));
        let endpoints = ["10.244.0.71:8080", "[fd00:10:244::71]:8080"];
        let servers = endpoints.into_iter().flat_map(|endpoint| {
            PROTOCOLS.map(|protocol| stage.world.serve(protocol, endpoint).unwrap())
        });
        let servers = servers.collect();
        let web = service("hidden")
            .cluster_ip("10.1.0.71")
            .cluster_ip("fd00:10:1::71")
            .tcp("t", 80, 8080)
            .udp("u", 80, 8080)
            .sctp("s", 80, 8080);
        let slices = ["10.244.0.71", "fd00:10:244::71"].map(|address| {
            let name = format!("hidden-{}", if address.contains(':') { 6 } else { 4 });
            slice(&name, "hidden")
                .tcp("t", 8080)
                .udp("u", 8080)
                .sctp("s", 8080)
                .ready(address, "node-0")
                .to_string()
        });
        let all = std::iter::once(web.to_string()).chain(slices);
        stage.write("hidden.yaml", &join(all));
        Self {
            stage,
            _servers: servers,
        }
    }

    /// The source ports that the endpoint sees of what comes from outside.
    #[track_caller]
    fn seen(&self, protocol: Protocol, target: SocketAddr, times: usize) -> BTreeSet<u16> {
        let client = self.stage.client(Place::Outside, target);
        let node: IpAddr = match target {
            SocketAddr::V4(_) => "10.244.0.1".parse().unwrap(),
            SocketAddr::V6(_) => "fd00:10:244::1".parse().unwrap(),
        };
        let ports = (0..times).map(|_| {
            let answer = client.ask(protocol, target).unwrap().result;
            let answer = answer.unwrap_or_else(|failure| panic!("{protocol} {target}: {failure}"));
            assert_eq!(answer.peer.ip(), node, "{protocol} {target}");
            answer.peer.port()
        });
        ports.collect()
    }
}

/// Settings that leave out this range in any mode.
fn outside(range: &RangeInclusive<u16>) -> String {
    let (first, last) = (range.start(), range.end());
    format!(
        "{CLUSTER_CIDR} --masquerade-outside-node-ports --service-node-port-range={first}-{last}"
    )
}

fn among(ports: &BTreeSet<u16>, range: &RangeInclusive<u16>) -> Vec<u16> {
    ports.range(range.clone()).copied().collect()
}

#[test]
fn no_masqueraded_connection_has_a_node_port_as_source_port() {
    let scene = Scene::new();
    let flags = match Mode::of_this_run() {
        Mode::Iptables | Mode::Ipvs => format!("{CLUSTER_CIDR} --masquerade-outside-node-ports"),
        Mode::Nftables => CLUSTER_CIDR.to_owned(),
    };
    scene.stage.apply(&flags);
    scene.stage.assert_in_sync(&flags);
    let seen = scene.seen(Tcp, at(TARGETS[0]), CONNECTIONS);
    assert_eq!(among(&seen, &NODE_PORTS), [0_u16; 0]);
    // Both of what is left is used.
    assert!(!among(&seen, &(1024..=29999)).is_empty(), "{seen:?}");
    assert!(!among(&seen, &(32768..=65535)).is_empty(), "{seen:?}");
}

#[test]
fn a_range_is_left_out_in_each_protocol_and_family() {
    let scene = Scene::new();
    scene.stage.apply(&outside(&LARGE_RANGE));
    for target in TARGETS {
        for protocol in PROTOCOLS {
            let seen = scene.seen(protocol, at(target), FEW);
            let inside = among(&seen, &LARGE_RANGE);
            assert_eq!(inside, [0_u16; 0], "{protocol} {target}");
            let low = among(&seen, &(0..=1023));
            assert_eq!(low, [0_u16; 0], "{protocol} {target}");
        }
    }
}

/// Some servers answer to these ports only.
#[test]
fn connections_from_low_ports_keep_a_low_port() {
    let scene = Scene::new();
    scene.stage.apply(&outside(&NODE_PORTS));
    let target = at(TARGETS[0]);
    let client = scene.stage.client(Place::Outside, target);
    let own = "192.168.77.100".parse().unwrap();
    for port in 701..=720 {
        let attempt = client.tcp_from(SocketAddr::new(own, port), target).unwrap();
        let peer = attempt.result.unwrap().peer;
        assert!((1..=1023).contains(&peer.port()), "{port}: {peer}");
    }
}

/// What the others show would be so by itself otherwise.
#[test]
fn without_the_setting_the_kernel_chooses_any_port() {
    let scene = Scene::new();
    let off = format!("{CLUSTER_CIDR} --masquerade-outside-node-ports=false");
    scene.stage.apply(&off);
    let seen = scene.seen(Tcp, at(TARGETS[0]), FEW);
    assert!(!among(&seen, &LARGE_RANGE).is_empty(), "{seen:?}");
}
