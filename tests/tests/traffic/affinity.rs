//! `ClientIP` session affinity: who comes back finds the same endpoint, for as long as promised.

use crate::support::golden::Golden;
use crate::support::{CLUSTER_CIDR, Place, Stage, at, shared};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::Protocol::{self, Tcp, Udp};
use viprule_testkit::dump::Family;
use viprule_testkit::manifests::{join, service, slice};
use viprule_testkit::{LIMIT, Mode, World};

/// Clients told apart by address; so many agree on one of two endpoints once in 2 billion times.
const CLIENTS: u8 = 32;
/// An affinity that outlasts any test, in seconds: kube-proxy's default.
const LONG: u32 = 10_800;
/// An affinity that is waited out, in seconds.
const SHORT: u32 = 1;
/// Where the Service is found and who serves it, by protocol.
const ADDRESSES: [(Protocol, &str, [&str; 2]); 2] = [
    (
        Tcp,
        "10.1.0.11:80",
        ["10.244.0.11:8080", "10.244.1.11:8080"],
    ),
    (
        Udp,
        "10.1.0.11:53",
        ["10.244.0.11:5353", "10.244.1.11:5353"],
    ),
];

fn client_address(number: u8) -> IpAddr {
    IpAddr::from([203, 0, 113, number])
}

/// Two endpoints, TCP 80 and UDP 53, affinity for so many seconds.
fn sticky(seconds: u32) -> Stage {
    let builder = (0..CLIENTS).fold(World::builder(), |builder, number| {
        builder.client_address(&client_address(number).to_string())
    });
    let stage = Stage::new(shared(), builder.pods(["10.244.0.11", "10.244.1.11"]));
    let service = service("sticky")
        .cluster_ip("10.1.0.11")
        .tcp("http", 80, 8080)
        .node_port(30011);
    let service = service.udp("dns", 53, 5353).affinity(seconds);
    let slice = slice("sticky-1", "sticky")
        .tcp("http", 8080)
        .udp("dns", 5353);
    let slice = slice
        .ready("10.244.0.11", "node-0")
        .ready("10.244.1.11", "node-1");
    stage.write(
        "sticky.yaml",
        &join([service.to_string(), slice.to_string()]),
    );
    stage.apply(CLUSTER_CIDR);
    stage
}

fn ask(stage: &Stage, client: u8, protocol: Protocol, target: SocketAddr) -> SocketAddr {
    let client = stage.world.outside().from_address(client_address(client));
    let client = client.timeout(LIMIT);
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

/// Fails unless each client finds its endpoint again.
#[track_caller]
fn holds((protocol, target, endpoints): (Protocol, &str, [&str; 2])) {
    let target = at(target);
    let stage = sticky(LONG);
    let _servers = stage.world.serve_all(protocol, endpoints).unwrap();
    let first = round(&stage, protocol, target);
    let used: BTreeSet<_> = first.iter().copied().collect();
    assert_eq!(used, endpoints.map(at).into(), "clients are spread");
    assert_eq!(round(&stage, protocol, target), first);
    lasts(&stage, protocol, target);
}

/// Fails unless the kernel remembers clients of this address for as long as was asked for.
#[track_caller]
fn lasts(stage: &Stage, protocol: Protocol, target: SocketAddr) {
    if Mode::of_this_run() == Mode::Iptables {
        let rules = stage.dump(Family::V4).to_string();
        let text = format!("--rcheck --seconds {LONG} --reap");
        // Of each of two ports, one for each endpoint.
        let found = rules.lines().filter(|line| line.contains(&text)).count();
        assert_eq!(found, 4, "{rules}");
        return;
    }
    if Mode::of_this_run() == Mode::Nftables {
        let list = stage.world.node().command("nft");
        let list = list.args(["list", "map", "ip", "viprule", "affinity"]);
        let clients = list.text().unwrap();
        let protocol = protocol.to_string().to_lowercase();
        let frontend = format!(" . {} . {protocol} . {} ", target.ip(), target.port());
        let own = clients.lines().filter(|line| line.contains(&frontend));
        let lasting = own.filter(|line| {
            let (_, left) = line.split_once(" timeout 3h expires ").unwrap_or_default();
            left.starts_with("2h5") || left.starts_with("3h")
        });
        assert_eq!(lasting.count(), usize::from(CLIENTS), "{clients}");
        return;
    }
    let servers = stage.servers().servers;
    let text = format!(" {target} -s rr -p {LONG}");
    let sticky = servers.iter().filter(|line| line.ends_with(&text));
    assert_eq!(sticky.count(), 1, "{servers:#?}");
    let end = Instant::now() + LIMIT;
    let mut remembered = BTreeMap::new();
    // One reading may lack some: the kernel gives a page at a time and counts its way back to where it
    // was, past connections of every namespace, which go as other tests end.
    while remembered.len() < usize::from(CLIENTS) && Instant::now() < end {
        remembered.extend(remembered_clients(stage, protocol));
    }
    assert_eq!(remembered.len(), usize::from(CLIENTS), "{remembered:?}");
    for (client, left) in remembered {
        assert!((LONG / 2..=LONG).contains(&left), "{client}: {left} s");
    }
}

/// Clients that IPVS remembers, as it names them, and for how many seconds more: what it remembers of
/// a client is a connection from port 0, whose time each connection begins anew.
fn remembered_clients(stage: &Stage, protocol: Protocol) -> BTreeMap<String, u32> {
    let connections = stage.world.node().command("cat");
    let connections = connections.args(["/proc/net/ip_vs_conn"]).text().unwrap();
    let name = protocol.to_string();
    let clients = connections.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_template = fields.first() == Some(&name.as_str()) && fields.get(2) == Some(&"0000");
        is_template.then(|| (fields[1].to_owned(), fields[8].parse().unwrap()))
    });
    clients.collect()
}

#[test]
fn tcp_affinity_holds_for_its_timeout() {
    holds(ADDRESSES[0]);
}

#[test]
fn udp_affinity_holds_for_its_timeout() {
    holds(ADDRESSES[1]);
}

/// In IPVS mode each virtual server remembers for itself, and for as long as it knows a connection as
/// well, closed ones for minutes.
mod iptables {
    use super::*;

    /// Fails unless clients are free again when the time is over.
    #[track_caller]
    fn ends((protocol, target, endpoints): (Protocol, &str, [&str; 2])) {
        let target = at(target);
        let stage = sticky(SHORT);
        let _servers = stage.world.serve_all(protocol, endpoints).unwrap();
        let first = round(&stage, protocol, target);
        // Nobody may be remembered any more; however much longer it takes does no harm.
        sleep(Duration::from_secs(SHORT.into()) * 2);
        let later = round(&stage, protocol, target);
        assert_ne!(later, first, "after the timeout nobody is remembered");
    }

    #[test]
    fn tcp_affinity_ends_with_its_timeout() {
        ends(ADDRESSES[0]);
    }

    #[test]
    fn udp_affinity_ends_with_its_timeout() {
        ends(ADDRESSES[1]);
    }

    #[test]
    fn affinity_is_the_same_by_cluster_ip_and_node_port() {
        let stage = sticky(LONG);
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
    let stage = sticky(LONG);
    let endpoints = ["10.244.0.11:8080", "10.244.1.11:8080"];
    let _servers = stage.world.serve_all(Tcp, endpoints).unwrap();
    round(&stage, Tcp, at("10.1.0.11:80"));
    let left = slice("sticky-1", "sticky")
        .tcp("http", 8080)
        .ready("10.244.1.11", "node-1");
    let service = service("sticky")
        .cluster_ip("10.1.0.11")
        .tcp("http", 80, 8080)
        .affinity(LONG);
    stage.write(
        "sticky.yaml",
        &join([service.to_string(), left.to_string()]),
    );
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
