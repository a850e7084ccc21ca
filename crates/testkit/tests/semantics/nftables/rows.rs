//! How slots are drawn: exactly as often as eight draws and two more make it, in rows of all sizes
//! and kinds, and with and without session affinity.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use viprule_dataplane::nftables::{
    Chain, Desired, Key, LARGEST_LOCAL_ROW, LARGEST_ROW, Lookup, Object, Row,
};
use viprule_service::model::{Protocol, Service};
use viprule_testkit::objects;
use viprule_testkit::semantics::Cluster;
use viprule_testkit::walker::iptables::Unordered;
use viprule_testkit::walker::nftables::Walker;
use viprule_testkit::walker::{Distribution, Outcome, Packet, Remembered, Walk as _};

use super::Nftables;
use crate::agreement::Node;
use crate::contract::{CLUSTER_IP, NODE_PORT, OUTSIDE, POD, VIP};
use crate::world::{self, READY, empty_cluster, ip, packet};

/// Sums of some thousand probabilities.
const EXACTLY: f64 = 1e-9;

/// A Service of so many endpoints, all of them here, which is reached in every way.
fn cluster(endpoints: u16, sticky: bool) -> Cluster {
    let mut service = world::service("web", 1);
    service.load_balancer_ips = [ip("203.0.113.40")].into();
    service.external_policy_local = true;
    service.affinity_seconds = sticky.then_some(600);
    let endpoint = |n: u16| {
        let address = ip(&format!("10.244.{}.{}", 100 + n / 250, n % 250));
        objects::endpoint(address, Some("node-0"), READY)
    };
    let endpoints = (0..endpoints).map(endpoint).collect();
    let family = viprule_service::model::Family::Ipv4;
    let slice = objects::slice(&service.id, family, endpoints);
    Cluster {
        services: vec![service],
        slices: vec![slice],
        ..empty_cluster()
    }
}

/// The way into each kind of row.
fn ways(local_rows: bool) -> impl Iterator<Item = (Row, &'static str, &'static str)> {
    let row = |lookup, local| Row { lookup, local };
    [
        (row(Lookup::Address, false), POD, CLUSTER_IP),
        (row(Lookup::NodePort, false), POD, NODE_PORT),
        (row(Lookup::Address, true), OUTSIDE, VIP),
        (row(Lookup::NodePort, true), OUTSIDE, NODE_PORT),
    ]
    .into_iter()
    .filter(move |(row, ..)| local_rows || !row.local)
}

/// Of K slots in a row of M: eight draws below M, one below M/2, which has all of its slots.
fn exact(endpoints: &[SocketAddr]) -> Distribution {
    let slots = u32::try_from(endpoints.len()).expect("a row");
    let size = slots.next_power_of_two();
    let missed = (1.0 - f64::from(slots) / f64::from(size)).powi(8);
    let mut exact = Distribution::default();
    for (slot, endpoint) in (0_u32..).zip(endpoints) {
        let drawn = (1.0 - missed) / f64::from(slots);
        let second = if slot < size / 2 {
            missed * 2.0 / f64::from(size)
        } else {
            0.0
        };
        let outcome = Outcome::Delivered {
            endpoint: *endpoint,
            masqueraded: false,
        };
        exact.add(outcome, drawn + second);
    }
    exact
}

/// The Service's endpoints in the order of their texts.
fn endpoints(cluster: &Cluster) -> Vec<SocketAddr> {
    let all = cluster.slices.iter().flat_map(|slice| &slice.endpoints);
    let all = all.map(|it| SocketAddr::new(it.address, 8080));
    let named: BTreeMap<String, SocketAddr> = all.map(|it| (it.to_string(), it)).collect();
    named.into_values().collect()
}

fn remembered(service: &Service, packet: &Packet, endpoint: SocketAddr) -> Remembered {
    Remembered {
        service: service.id.clone(),
        port: "http".into(),
        protocol: Protocol::Tcp,
        client: packet.source.ip(),
        frontend: packet.destination,
        endpoint,
        seconds_ago: 1,
    }
}

/// True where a row is drawn from exactly as it should be, and clients come back to each endpoint of
/// a few.
fn is_exact(
    node: &Node<'_, Nftables>,
    state: &Desired,
    cluster: &Cluster,
    packet: &Packet,
) -> bool {
    let Ok(walker) = Walker::new(state, &node.host, Unordered::Forward) else {
        return false;
    };
    let endpoints = endpoints(cluster);
    let is = |remembered: &[Remembered], expected: &Distribution| {
        let found = walker.walk(packet, remembered);
        found.is_ok_and(|found| found.is_close_to(expected, EXACTLY))
    };
    let [service] = &cluster.services[..] else {
        return false;
    };
    let come_back = |endpoint: &SocketAddr| {
        let expected = exact(&[*endpoint]);
        is(&[remembered(service, packet, *endpoint)], &expected)
    };
    let is_sticky = service.affinity_seconds.is_some();
    is(&[], &exact(&endpoints)) && (!is_sticky || endpoints.iter().take(4).all(come_back))
}

#[test]
fn every_size_is_drawn_from_exactly() {
    let settings = world::settings();
    let sizes = (0..=LARGEST_ROW.ilog2()).map(|bits| 1_u16 << bits);
    let mut tried = 0;
    for size in sizes {
        // One more than half, three quarters, all.
        for slots in [size / 2 + 1, size / 2 + size / 4, size] {
            if slots == 0 || (slots == size / 2 && size > 1) {
                continue;
            }
            for sticky in [false, true] {
                // It is a lot of work, and the rules are alike.
                if size > 256 && (sticky || slots == size) {
                    continue;
                }
                let cluster = cluster(slots, sticky);
                let node = Node::<Nftables>::new(&cluster, &settings);
                for (row, from, to) in ways(size <= LARGEST_LOCAL_ROW) {
                    let packet = packet(&node.seen, from, to);
                    assert!(
                        is_exact(&node, &node.state, &cluster, &packet),
                        "{slots} slots of {size}, sticky {sticky}: {row:?}"
                    );
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 150, "only {tried}");
}

#[test]
fn every_draw_left_out_is_noticed() {
    let settings = world::settings();
    let mut unnoticed = Vec::new();
    let mut spoiled = 0;
    for (slots, sticky) in [
        (1, false),
        (2, false),
        (3, false),
        // One endpoint alone is found whoever draws.
        (2, true),
        (3, true),
    ] {
        let cluster = cluster(slots, sticky);
        let node = Node::<Nftables>::new(&cluster, &settings);
        let size = slots.next_power_of_two();
        for (row, from, to) in ways(true) {
            let packet = packet(&node.seen, from, to);
            let (draw, chain) = if sticky {
                (Chain::Draw(row), Chain::DrawSize { row, size })
            } else {
                (Chain::Pick(row), Chain::PickSize { row, size })
            };
            for chain in [draw, chain] {
                let key = Key::Chain {
                    family: nfnetlink::Family::Ipv4,
                    chain,
                };
                let Some(Object::Chain { base, rules }) = node.state.get(&key) else {
                    panic!("{key} is not there");
                };
                for (at, rule) in rules.iter().enumerate() {
                    let text = rule.text(key.family()).to_string();
                    // Those lead on in other cases, which other tests are about.
                    if text.starts_with("goto ") || text.starts_with("jump ") {
                        continue;
                    }
                    let leads = text.rsplit_once("goto ").map(|(_, to)| to);
                    let other = format!("-{size}");
                    if leads.is_some_and(|to| !to.ends_with(&other)) {
                        continue;
                    }
                    let mut rules = rules.clone();
                    rules.remove(at);
                    let object = Object::Chain { base: *base, rules };
                    let others = node.state.iter().filter(|(other, _)| *other != key);
                    let state = others.cloned().chain([(key, object)]).collect();
                    spoiled += 1;
                    if is_exact(&node, &state, &cluster, &packet) {
                        unnoticed.push(format!("{slots} {key}: {text}"));
                    }
                }
            }
        }
    }
    assert!(spoiled > 100, "only {spoiled}");
    // In a settled state a draw before has found something: certainly where all slots are there, and
    // where half of the row is drawn from.
    let is_needed = |text: &&String| {
        let (slots, rule) = text.split_once(' ').unwrap_or_default();
        let is_last = rule.contains("size-1 goto");
        let any = slots != "1" && rule.contains("mod 1 ");
        let all = slots == "2" && rule.contains("mod 2 ");
        !(is_last || any || all)
    };
    let others: Vec<&String> = unnoticed.iter().filter(is_needed).collect();
    assert!(others.is_empty(), "not noticed:\n{others:#?}");
    assert!(unnoticed.iter().any(|text| text.contains("mod 1 ")));
}
