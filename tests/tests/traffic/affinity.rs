//! `ClientIP` session affinity: who comes back finds the same endpoint, for as long as promised.

use crate::support::golden::Golden;
use crate::support::{CLUSTER_CIDR, Place, Stage, at, shared};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::Protocol::{self, Tcp, Udp};
use viprule_testkit::manifests::{join, service, slice};
use viprule_testkit::{Mode, World};

/// Clients told apart by address; so many agree on one of two endpoints once in 2 billion times.
const CLIENTS: u8 = 32;
/// Affinity of the Service `brief`.
const TIMEOUT: Duration = Duration::from_secs(4);

fn client_address(number: u8) -> IpAddr {
    IpAddr::from([203, 0, 113, number])
}

/// Two endpoints, TCP 80 and UDP 53, affinity for a short time.
fn brief() -> Stage {
    let builder = (0..CLIENTS).fold(World::builder(), |builder, number| {
        builder.client_address(&client_address(number).to_string())
    });
    let stage = Stage::new(shared(), builder.pods(["10.244.0.11", "10.244.1.11"]));
    let seconds = u32::try_from(TIMEOUT.as_secs()).unwrap();
    let service = service("brief")
        .cluster_ip("10.1.0.11")
        .tcp("http", 80, 8080)
        .node_port(30011);
    let service = service.udp("dns", 53, 5353).affinity(seconds);
    let slice = slice("brief-1", "brief").tcp("http", 8080).udp("dns", 5353);
    let slice = slice
        .ready("10.244.0.11", "node-0")
        .ready("10.244.1.11", "node-1");
    stage.write(
        "brief.yaml",
        &join([service.to_string(), slice.to_string()]),
    );
    stage.apply(CLUSTER_CIDR);
    stage
}

fn ask(stage: &Stage, client: u8, protocol: Protocol, target: SocketAddr) -> SocketAddr {
    let client = stage.world.outside().from_address(client_address(client));
    let client = client.timeout(Duration::from_secs(15));
    client
        .ask(protocol, target)
        .unwrap()
        .result
        .unwrap()
        .backend
}

/// Who answers each client.
fn round(stage: &Stage, protocol: Protocol, target: SocketAddr) -> Vec<SocketAddr> {
    (0..CLIENTS)
        .map(|client| ask(stage, client, protocol, target))
        .collect()
}

/// A client's last connection: who answered, and between which moments it was.
type Last = (SocketAddr, Instant, Instant);

fn dated_round(stage: &Stage, protocol: Protocol, target: SocketAddr) -> Vec<Last> {
    let dated = |client| {
        let before = Instant::now();
        (ask(stage, client, protocol, target), before, Instant::now())
    };
    (0..CLIENTS).map(dated).collect()
}

/// Fails unless each client finds its endpoint until the timeout after its last connection, and
/// some find another one later.
#[track_caller]
fn holds_for_its_timeout(protocol: Protocol, target: &str, endpoints: [&str; 2]) {
    /// The kernel counts in ticks.
    const TICKS: Duration = Duration::from_millis(100);
    let target = at(target);
    let stage = brief();
    let _servers = stage.world.serve_all(protocol, endpoints).unwrap();
    let mut last = dated_round(&stage, protocol, target);
    let used: BTreeSet<_> = last.iter().map(|(backend, ..)| *backend).collect();
    assert_eq!(used, endpoints.map(at).into(), "clients are spread");

    // Twice most of the timeout: each connection begins it anew. On a busy machine some come late
    // and are free to find another endpoint.
    for _ in 0..2 {
        sleep(TIMEOUT.mul_f32(0.65));
        let now = dated_round(&stage, protocol, target);
        let mut in_time = 0;
        for ((before, asked, _), (after, _, answered)) in last.iter().zip(&now) {
            if *answered - *asked + TICKS < TIMEOUT {
                in_time += 1;
                assert_eq!(after, before, "within the timeout");
            }
        }
        assert!(
            in_time >= CLIENTS / 2,
            "only {in_time} clients came in time"
        );
        last = now;
    }
    if Mode::of_this_run() == Mode::Ipvs {
        // IPVS remembers for as long as it knows a connection as well, closed ones for minutes.
        let servers = stage.servers().servers;
        let text = format!(" {target} -s rr -p {}", TIMEOUT.as_secs());
        let sticky = servers.iter().filter(|line| line.ends_with(&text));
        assert_eq!(sticky.count(), 1, "{servers:#?}");
        return;
    }
    sleep(TIMEOUT + TICKS);
    let first: Vec<_> = last.iter().map(|(backend, ..)| *backend).collect();
    let later = round(&stage, protocol, target);
    assert_ne!(later, first, "after the timeout nobody is remembered");
}

#[test]
fn tcp_affinity_holds_for_its_timeout_and_not_beyond() {
    holds_for_its_timeout(
        Tcp,
        "10.1.0.11:80",
        ["10.244.0.11:8080", "10.244.1.11:8080"],
    );
}

#[test]
fn udp_affinity_holds_for_its_timeout_and_not_beyond() {
    holds_for_its_timeout(
        Udp,
        "10.1.0.11:53",
        ["10.244.0.11:5353", "10.244.1.11:5353"],
    );
}

/// Not in IPVS mode, where each virtual server remembers for itself.
mod iptables {
    use super::*;

    #[test]
    fn affinity_is_the_same_by_cluster_ip_and_node_port() {
        let stage = brief();
        let endpoints = ["10.244.0.11:8080", "10.244.1.11:8080"];
        let _servers = stage.world.serve_all(Tcp, endpoints).unwrap();
        for client in 0..CLIENTS {
            let first = ask(&stage, client, Tcp, at("10.1.0.11:80"));
            let second = ask(&stage, client, Tcp, at("192.168.77.2:30011"));
            assert_eq!(first, second, "client {client}");
        }
    }
}

#[test]
fn affinity_to_an_endpoint_ends_with_the_endpoint() {
    let stage = brief();
    let endpoints = ["10.244.0.11:8080", "10.244.1.11:8080"];
    let _servers = stage.world.serve_all(Tcp, endpoints).unwrap();
    round(&stage, Tcp, at("10.1.0.11:80"));
    let left = slice("brief-1", "brief")
        .tcp("http", 8080)
        .ready("10.244.1.11", "node-1");
    let service = service("brief")
        .cluster_ip("10.1.0.11")
        .tcp("http", 80, 8080)
        .affinity(4);
    stage.write("brief.yaml", &join([service.to_string(), left.to_string()]));
    stage.apply(CLUSTER_CIDR);
    let after: BTreeSet<_> = round(&stage, Tcp, at("10.1.0.11:80")).into_iter().collect();
    assert_eq!(after, [at("10.244.1.11:8080")].into());
}

#[test]
fn the_golden_clusters_sticky_service_sticks_from_everywhere() {
    let golden = Golden::new(shared());
    golden.stage.apply(CLUSTER_CIDR);
    let ready = [
        (
            Tcp,
            at("10.1.0.20:80"),
            [at("10.244.0.10:8080"), at("10.244.1.10:8080")],
        ),
        (
            Udp,
            at("10.1.0.20:53"),
            [at("10.244.0.10:5353"), at("10.244.1.10:5353")],
        ),
    ];
    for (protocol, target, endpoints) in ready {
        for place in Place::ALL {
            let client = golden.stage.client(place, target);
            let spread = client.spread(protocol, target, 200).unwrap();
            assert_eq!(
                (spread.answered(), spread.backends.len()),
                (200, 1),
                "{place:?} {spread:?}"
            );
            let backend = spread.backends.keys().next().unwrap();
            assert!(endpoints.contains(backend), "{place:?} {spread:?}");
        }
    }
}
