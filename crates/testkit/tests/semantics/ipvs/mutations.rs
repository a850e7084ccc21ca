//! Spoiled states are found out: every object that can matter to a new connection does.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipvs_netlink::{Scheduler, ServerFlags, ServerId};
use nfnetlink::xtables::Rule;
use viprule_dataplane::family::in_plans;
use viprule_dataplane::ipvs::{Desired, Key, Object, line};
use viprule_dataplane::netfilter;
use viprule_service::model::{Balancing, Family, WeightKey};
use viprule_testkit::semantics::{Cluster, Settings};
use viprule_testkit::strategy::every_packet;
use viprule_testkit::walker::Packet;
use viprule_testkit::walker::iptables::Unordered;
use viprule_testkit::walker::ipvs::Walker;

use super::agreement::{Node, known_clients};
use crate::mutations::{Question, cluster as every_kind_of_service};
use crate::world::{self, READY};

type Entries = Vec<(Key, Object)>;

/// Where the Service with affinity stands in the cluster.
const STICKY: usize = 2;

/// A cluster that needs every kind of object.
fn cluster() -> Cluster {
    let mut cluster = every_kind_of_service();
    let weights = [(WeightKey::Node("node-1".into()), 3)].into();
    cluster.services[STICKY].balancing = Some(Box::new(Balancing {
        weights,
        ..Balancing::default()
    }));
    let far = &mut cluster.services[4];
    far.external_ips = ["198.51.100.5", "fd00:198::5"].map(world::ip).into();
    // The number of another Service's node port.
    far.ports[0].port = 30_001;
    // One that keeps the node off.
    let mut closed = world::service("closed", 7);
    closed.load_balancer_ips = ["203.0.113.7", "fd00:203::7"].map(world::ip).into();
    closed.source_ranges = ["192.0.2.0/25", "fd00:201::/64"]
        .map(|text| text.parse().expect("a network"))
        .into();
    for pod in ["10.244.9.71", "fd00:10:244::71"] {
        let slice = world::slice(&closed, &[(pod, "node-1", READY)]);
        cluster.slices.push(slice);
    }
    cluster.services.push(closed);
    cluster
}

/// Packets that only matter here: to other ports of every virtual address, and from the node's
/// network.
fn more_packets(seen: &Cluster) -> Vec<Packet> {
    let mut packets = Vec::new();
    for service in &seen.services {
        let external = service
            .external_ips
            .iter()
            .chain(&service.load_balancer_ips);
        for to in service.cluster_ips.iter().chain(external) {
            let (outside, beside) = match to {
                IpAddr::V4(_) => ("198.18.0.9", "192.168.77.9"),
                IpAddr::V6(_) => ("fd00:202::9", "fd00:77::9"),
            };
            for port in [7, 32_000, service.ports[0].port] {
                let to = SocketAddr::new(*to, port).to_string();
                packets.push(world::packet(seen, outside, &to));
                packets.push(world::packet(seen, beside, &to));
            }
        }
    }
    packets
}

struct Fixture<'a> {
    node: Node<'a>,
    questions: Vec<Question>,
}

impl<'a> Fixture<'a> {
    fn new(cluster: &'a Cluster, settings: &'a Settings) -> Self {
        let node = Node::new(cluster, settings);
        let mut questions = Vec::new();
        let packets = every_packet(&node.seen).into_iter();
        for packet in packets.chain(more_packets(&node.seen)) {
            for memories in [vec![], known_clients(cluster, &packet)] {
                let expected = node.expected(&packet, &memories);
                questions.push(Question {
                    packet: packet.clone(),
                    memories,
                    expected,
                });
            }
        }
        Self { node, questions }
    }

    fn entries(&self) -> Entries {
        self.node.state.iter().cloned().collect()
    }

    /// True where some packet tells this state from a right one.
    fn finds_out(&self, entries: Entries, family: Family) -> bool {
        let state: Desired = entries.into_iter().collect();
        let Ok(walker) = Walker::new(&state, self.node.bare(), Unordered::Forward) else {
            return true;
        };
        let of_family = |question: &&Question| question.packet.family() == family;
        let mut questions = self.questions.iter().filter(of_family);
        questions.any(|question| question.tells_from_right(&walker))
    }

    /// Spoils one object after the other. Returns those of which nothing was noticed.
    fn unnoticed(&self, spoil: impl Fn(&Key, &Object) -> Option<Vec<Object>>) -> BTreeSet<String> {
        let mut unnoticed = BTreeSet::new();
        let mut spoiled = 0;
        for (position, (key, object)) in self.node.state.iter().enumerate() {
            let Some(left) = spoil(key, object) else {
                continue;
            };
            spoiled += 1;
            let mut entries = self.entries();
            entries.remove(position);
            entries.extend(left.into_iter().map(|object| (*key, object)));
            if !self.finds_out(entries, family(key)) {
                unnoticed.insert(line(key, object).unwrap_or_else(|| key.to_string()));
            }
        }
        assert!(spoiled >= 8, "only {spoiled}");
        unnoticed
    }

    /// The same rule by rule.
    fn unnoticed_rules(
        &self,
        spoil: impl Fn(&[Rule], usize) -> Option<Vec<Rule>>,
    ) -> BTreeSet<String> {
        let mut unnoticed = BTreeSet::new();
        for (position, (key, object)) in self.node.state.iter().enumerate() {
            let (Key::Netfilter(name), Object::Netfilter(object)) = (key, object) else {
                continue;
            };
            for at in 0..object.rules().len() {
                let Some(rules) = spoil(object.rules(), at) else {
                    continue;
                };
                let mut entries = self.entries();
                if let netfilter::Object::Rules(_) = object {
                    entries[position].1 = Object::Netfilter(netfilter::Object::Rules(rules));
                } else {
                    entries.remove(position);
                    let left = rules.into_iter().map(netfilter::Object::Rule);
                    entries.extend(left.map(|rule| (*key, Object::Netfilter(rule))));
                }
                if !self.finds_out(entries, family(key)) {
                    unnoticed.insert(format!("{name}: {}", object.rules()[at]));
                }
            }
        }
        unnoticed
    }
}

/// The family of the packets that an object concerns.
fn family(key: &Key) -> Family {
    let of = |ip: &IpAddr| Family::of(ip);
    match key {
        Key::Set(set) | Key::Entry { set, .. } => in_plans(set.family),
        Key::Server(server) | Key::Destination { server, .. } => match server {
            ServerId::Address { address, .. } => of(address),
            ServerId::Fwmark { .. } => Family::Ipv4,
        },
        Key::Address(address) => of(address),
        Key::Netfilter(key) => in_plans(key.table().family),
        Key::Link => Family::Ipv4,
    }
}

/// Fails where something else than `known` was not noticed, or something of it was.
#[track_caller]
fn assert_known(unnoticed: &BTreeSet<String>, known: &[(&str, &str)]) {
    for (pattern, why) in known {
        assert!(
            unnoticed.iter().any(|text| text.contains(pattern)),
            "{pattern} matters: {why}?"
        );
    }
    let is_known = |text: &&String| known.iter().any(|(pattern, _)| text.contains(pattern));
    let others: Vec<&String> = unnoticed.iter().filter(|text| !is_known(text)).collect();
    assert!(others.is_empty(), "not noticed:\n{others:#?}");
}

#[test]
fn the_state_is_right_before_it_is_spoiled() {
    let (cluster, settings) = (cluster(), world::settings());
    let fixture = Fixture::new(&cluster, &settings);
    let walkers = fixture.node.walkers_of(&fixture.node.state);
    assert!(fixture.questions.len() > 1000);
    for question in &fixture.questions {
        let (packet, memories) = (&question.packet, &question.memories);
        fixture
            .node
            .agree(&walkers, packet, memories)
            .expect("a right state");
    }
}

#[test]
fn every_object_left_out_is_noticed() {
    let (cluster, settings) = (cluster(), world::settings());
    let fixture = Fixture::new(&cluster, &settings);
    let unnoticed = fixture.unnoticed(|key, _| match key {
        Key::Link | Key::Netfilter(_) => None,
        _ => Some(Vec::new()),
    });
    let known = [
        ("tcp:8000", "without endpoints all is refused anyway"),
        (
            "-LOAD-BALANCER 192.168.78.2,",
            "the node's own address, and its traffic keeps its source",
        ),
        (
            "-LOAD-BALANCER fd00:78::2,",
            "the node's own address, and its traffic keeps its source",
        ),
        (
            "-LOAD-BALANCER-SOURCE-IP ",
            "what the node sends does not come in",
        ),
        ("-NODE-PORT-TCP 30002", "it keeps its source"),
        ("-NODE-PORT-TCP 30005", "it keeps its source"),
        ("create KUBE", "no rule looks into it"),
        (
            "-LOCAL 203.0.113.5,tcp:30001",
            "its number is a node port, which is marked anyway",
        ),
    ];
    assert_known(&unnoticed, &known);
}

#[test]
fn every_change_of_balancing_is_noticed() {
    let (cluster, settings) = (cluster(), world::settings());
    let fixture = Fixture::new(&cluster, &settings);
    let weights = fixture.unnoticed(|key, object| match (key, object) {
        (Key::Destination { .. }, Object::Destination(content)) => {
            let mut other = *content;
            other.weight = 0;
            Some(vec![Object::Destination(other)])
        }
        _ => None,
    });
    assert_known(&weights, &[]);
    let servers = fixture.unnoticed(|_, object| match object {
        Object::Server(content) if content.flags.contains(ServerFlags::PERSISTENT) => {
            let mut other = *content;
            other.flags = ServerFlags::empty();
            Some(vec![Object::Server(other)])
        }
        _ => None,
    });
    assert_known(&servers, &[]);
    let schedulers = fixture.unnoticed(|_, object| match object {
        Object::Server(content) if content.scheduler == Scheduler::WRR => {
            let mut other = *content;
            other.scheduler = Scheduler::RR;
            Some(vec![Object::Server(other)])
        }
        _ => None,
    });
    assert_known(&schedulers, &[]);
}

/// Rules that change nothing for new connections, on a host that has no others.
const WITHOUT_EFFECT: [(&str, &str); 9] = [
    ("FORWARD: ", "all is forwarded anyway"),
    (
        "INPUT: -m comment --comment \"kubernetes health check",
        "all is let in",
    ),
    ("filter KUBE-FORWARD: ", "all is forwarded anyway"),
    ("filter KUBE-NODE-PORT: ", "all is let in anyway"),
    (
        "LOAD-BALANCER-SOURCE-IP",
        "what the node sends does not come in",
    ),
    (
        "KUBE-POSTROUTING: -j MARK",
        "nobody looks at the mark any more",
    ),
    ("--physdev-is-in", "the next rule accepts that as well"),
    (
        "KUBE-SERVICES: -m set --match-set",
        "it is the end of the chain",
    ),
    (
        "EXTERNAL-IP dst,dst -m addrtype --dst-type LOCAL",
        "it is marked already",
    ),
];

#[test]
fn every_rule_left_out_is_noticed() {
    let (cluster, settings) = (cluster(), world::settings());
    let fixture = Fixture::new(&cluster, &settings);
    let unnoticed = fixture.unnoticed_rules(|rules, at| {
        let mut rules = rules.to_vec();
        rules.remove(at);
        Some(rules)
    });
    assert_known(&unnoticed, &WITHOUT_EFFECT);
}

#[test]
fn swapped_rules_are_noticed() {
    let (cluster, settings) = (cluster(), world::settings());
    let fixture = Fixture::new(&cluster, &settings);
    let unnoticed = fixture.unnoticed_rules(|rules, at| {
        let mut rules = rules.to_vec();
        (at + 1 < rules.len()).then(|| rules.swap(at, at + 1))?;
        Some(rules)
    });
    let known = [
        ("filter KUBE-FORWARD: ", "all is forwarded anyway"),
        ("KUBE-IPVS-FILTER: -m set", "they all let through"),
        ("KUBE-SOURCE-RANGES-FIREWALL: ", "they all let through"),
        (
            "KUBE-POSTROUTING: -j MARK",
            "nobody looks at the mark any more",
        ),
        ("KUBE-SERVICES: ! -s", "each set is of other addresses"),
        ("--physdev-is-in", "both accept"),
        ("lb portal", "each set is of other addresses"),
        ("KUBE-SERVICES: -m set", "it is the end of the chain"),
        (
            "EXTERNAL-IP dst,dst -m addrtype --dst-type LOCAL",
            "each set is of other addresses",
        ),
    ];
    assert_known(&unnoticed, &known);
}

/// Only what is there in each family's own right can be told from the other's.
#[test]
fn both_families_are_asked() {
    let (cluster, settings) = (cluster(), world::settings());
    let fixture = Fixture::new(&cluster, &settings);
    for family in Family::ALL {
        let of_family = |question: &&Question| question.packet.family() == family;
        assert!(fixture.questions.iter().filter(of_family).count() > 500);
    }
}
