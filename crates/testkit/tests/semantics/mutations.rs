//! Spoiled states are found out: everything that can matter to a new connection does.

use std::cell::Cell;
use std::collections::BTreeSet;

use ipnet::IpNet;
use viprule_service::model::{Family, Service, ServiceCidr};
use viprule_testkit::semantics::{Cluster, Settings};
use viprule_testkit::strategy::every_packet;
use viprule_testkit::walker::iptables::Unordered;
use viprule_testkit::walker::{Distribution, Packet, Remembered};

use crate::agreement::Node;
use crate::mode::{KeyOf, Mode, ObjectOf, StateOf};
use crate::world::{self, READY, empty_cluster, ip, service, slice};

/// What may be spoiled without being noticed: a part of the text, and why.
pub(crate) type Known = [(&'static str, &'static str)];

/// A mode whose rules can be spoiled.
pub(crate) trait Rules: Mode {
    /// A rule of a chain.
    type Rule: Clone;

    /// Rules that change nothing for new connections, on a host that has no others.
    const WITHOUT_EFFECT: &'static Known;
    /// Rules that may change places with the next.
    const INTERCHANGEABLE: &'static Known;

    /// A cluster that needs every kind of object.
    fn cluster() -> Cluster {
        cluster()
    }

    /// Packets that meet every kind of object.
    fn packets(seen: &Cluster) -> Vec<Packet> {
        every_packet(seen)
    }

    /// The family of the packets that an object concerns.
    fn family(key: &KeyOf<Self>) -> Family;

    /// The rules of an object, in their order.
    fn rules(object: &ObjectOf<Self>) -> &[Self::Rule];

    /// A rule as its tool prints it.
    fn line(key: &KeyOf<Self>, rule: &Self::Rule) -> String;

    /// False for a rule that a test of the mode's own spoils.
    fn is_spoiled(_key: &KeyOf<Self>, _rule: &Self::Rule) -> bool {
        true
    }

    /// Objects in place of one, with these rules.
    fn with_rules(object: &ObjectOf<Self>, rules: Vec<Self::Rule>) -> Vec<ObjectOf<Self>>;
}

/// Where the Service with affinity stands in [`cluster`].
pub(crate) const STICKY: usize = 2;

/// A cluster of Services of every kind.
pub(crate) fn cluster() -> Cluster {
    let net = |text: &str| -> IpNet { text.parse().expect("a network") };
    let balanced = |service: &mut Service| {
        service.external_ips = ["198.51.100.1", "fd00:198::1"].map(ip).into();
        service.load_balancer_ips = ["203.0.113.1", "fd00:203::1"].map(ip).into();
    };
    let edge = |service: &mut Service| {
        service.external_policy_local = true;
        service.health_check_node_port = 32_000;
        service.load_balancer_ips = ["203.0.113.2", "192.168.78.2", "fd00:203::2", "fd00:78::2"]
            .map(ip)
            .into();
        service.source_ranges = [
            "192.0.2.0/25",
            "192.168.77.0/24",
            "fd00:201::/64",
            "fd00:77::/64",
        ]
        .map(net)
        .into();
        service.ports[0].port = 443;
    };
    let sticky = |service: &mut Service| service.affinity_seconds = Some(600);
    let internal = |service: &mut Service| service.internal_policy_local = true;
    let far = |service: &mut Service| {
        service.external_policy_local = true;
        service.internal_policy_local = true;
        service.external_ips = [ip("198.51.100.5")].into();
        service.load_balancer_ips = [ip("203.0.113.5")].into();
    };
    let mut cluster = empty_cluster();
    cluster.service_cidrs = vec![ServiceCidr {
        name: "kubernetes".into(),
        networks: ["10.1.0.0/16", "fd00:10:1::/64"].map(net).into(),
    }];
    let mut add = |name, number, change: &dyn Fn(&mut Service), nodes: &[&str]| {
        let mut service = service(name, number);
        change(&mut service);
        for pods in ["10.244.9.", "fd00:10:244::"] {
            let addresses: Vec<String> = (1..=nodes.len())
                .map(|pod| format!("{pods}{number}{pod}"))
                .collect();
            let endpoints: Vec<_> = addresses
                .iter()
                .zip(nodes)
                .map(|(pod, node)| (&**pod, *node, READY))
                .collect();
            if !endpoints.is_empty() {
                cluster.slices.push(slice(&service, &endpoints));
            }
        }
        cluster.services.push(service);
    };
    add("balanced", 1, &balanced, &["node-0", "node-1", "node-2"]);
    add("edge", 2, &edge, &["node-0", "node-1"]);
    add("sticky", 3, &sticky, &["node-0", "node-1"]);
    add("internal", 4, &internal, &["node-0", "node-1"]);
    add("far", 5, &far, &["node-1"]);
    add("empty", 6, &balanced, &[]);
    // Ports are unique for each external address.
    cluster.services[5].ports[0].port = 8000;
    cluster
}

/// What a packet must come to.
struct Question {
    packet: Packet,
    memories: Vec<Remembered>,
    expected: Distribution,
}

/// A node, and packets that tell whether its state is right.
pub(crate) struct Fixture<'a, M: Mode> {
    pub(crate) node: Node<'a, M>,
    questions: Vec<Question>,
    /// The one that told last: a neighbour of what is spoiled next.
    last: Cell<usize>,
}

impl<'a, M: Rules> Fixture<'a, M> {
    pub(crate) fn new(cluster: &'a Cluster, settings: &'a Settings) -> Self {
        let node = Node::<M>::new(cluster, settings);
        let sticky = &cluster.services[STICKY].cluster_ips;
        let mut questions = Vec::new();
        for packet in M::packets(&node.seen) {
            let at = |position| M::memories(cluster, &packet, position);
            let mut memories = vec![vec![], at(1)];
            if sticky.contains(&packet.destination.ip()) {
                memories.extend([at(0), [at(1), at(0)].concat()]);
            }
            memories.dedup();
            for memories in memories {
                let expected = node.expected(&packet, &memories);
                questions.push(Question {
                    packet: packet.clone(),
                    memories,
                    expected,
                });
            }
        }
        let last = Cell::new(0);
        Self {
            node,
            questions,
            last,
        }
    }

    fn questions_of(&self, family: Family) -> impl Iterator<Item = &Question> {
        let questions = self.questions.iter();
        questions.filter(move |question| question.packet.family() == family)
    }

    /// The state, to be spoiled.
    pub(crate) fn entries(&self) -> Vec<(KeyOf<M>, ObjectOf<M>)> {
        self.node.state.iter().cloned().collect()
    }

    /// True where some packet tells this state from a right one.
    pub(crate) fn finds_out(&self, entries: Vec<(KeyOf<M>, ObjectOf<M>)>, family: Family) -> bool {
        let state: StateOf<M> = entries.into_iter().collect();
        let Ok(walker) = M::walker(&state, &self.node.host, Unordered::Forward) else {
            return true;
        };
        let is_right = |question: &Question| {
            let ends = walker.walk(&question.packet, &question.memories);
            ends.is_ok_and(|ends| ends.is_close_to(&question.expected, M::TOLERANCE))
        };
        let mut questions: Vec<_> = self.questions_of(family).enumerate().collect();
        let len = questions.len().max(1);
        questions.rotate_left(self.last.get() % len);
        let told = questions.into_iter().find(|(_, it)| !is_right(it));
        if let Some((at, _)) = told {
            self.last.set(at);
        }
        told.is_some()
    }

    /// True where some packet tells the state with `left` in place of one object from a right one.
    fn misses(&self, position: usize, left: Vec<ObjectOf<M>>) -> bool {
        let mut entries = self.entries();
        let (key, _) = entries.remove(position);
        entries.extend(left.into_iter().map(|object| (key.clone(), object)));
        self.finds_out(entries, M::family(&key))
    }

    /// Spoils one object after the other. Returns those of which nothing was noticed.
    pub(crate) fn unnoticed(
        &self,
        spoil: impl Fn(&KeyOf<M>, &ObjectOf<M>) -> Option<Vec<ObjectOf<M>>>,
    ) -> StateOf<M> {
        let mut spoiled = 0;
        let mut unnoticed = Vec::new();
        for (position, (key, object)) in self.node.state.iter().enumerate() {
            let Some(left) = spoil(key, object) else {
                continue;
            };
            spoiled += 1;
            if !self.misses(position, left) {
                unnoticed.push((key.clone(), object.clone()));
            }
        }
        assert!(spoiled >= 8, "only {spoiled}");
        unnoticed.into_iter().collect()
    }

    /// Spoils the rules of one object after the other, at each of them. Returns those at which
    /// nothing was noticed.
    pub(crate) fn unnoticed_rules(
        &self,
        spoil: impl Fn(&[M::Rule], usize) -> Option<Vec<M::Rule>>,
    ) -> BTreeSet<String> {
        let mut spoiled = 0;
        let mut unnoticed = BTreeSet::new();
        for (position, (key, object)) in self.node.state.iter().enumerate() {
            let rules = M::rules(object);
            let spoiled_ones = rules.iter().enumerate();
            for (at, rule) in spoiled_ones.filter(|(_, rule)| M::is_spoiled(key, rule)) {
                let Some(rules) = spoil(rules, at) else {
                    continue;
                };
                spoiled += 1;
                if !self.misses(position, M::with_rules(object, rules)) {
                    unnoticed.insert(format!("{key}: {}", M::line(key, rule)));
                }
            }
        }
        assert!(spoiled >= 8, "only {spoiled}");
        unnoticed
    }
}

/// Fails where something else than `known` was not noticed, or something of it was.
#[track_caller]
pub(crate) fn assert_known(unnoticed: &BTreeSet<String>, known: &Known) {
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

pub(crate) fn the_state_is_right_before_it_is_spoiled<M: Rules>() {
    let (cluster, settings) = (M::cluster(), world::settings());
    let fixture = Fixture::<M>::new(&cluster, &settings);
    let walkers = fixture.node.walkers();
    let questions = &fixture.questions;
    assert!(questions.len() > 1000, "only {}", questions.len());
    for question in questions {
        walkers
            .agree(&question.packet, &question.memories)
            .expect("a right state");
    }
}

/// Only what is there in each family's own right can be told from the other's.
pub(crate) fn both_families_are_asked<M: Rules>() {
    let (cluster, settings) = (M::cluster(), world::settings());
    let fixture = Fixture::<M>::new(&cluster, &settings);
    for family in Family::ALL {
        assert!(fixture.questions_of(family).count() > 500);
    }
}

pub(crate) fn every_rule_left_out_is_noticed<M: Rules>() {
    let (cluster, settings) = (M::cluster(), world::settings());
    let unnoticed = Fixture::<M>::new(&cluster, &settings).unnoticed_rules(|rules, at| {
        let mut rules = rules.to_vec();
        rules.remove(at);
        Some(rules)
    });
    assert_known(&unnoticed, M::WITHOUT_EFFECT);
}

pub(crate) fn swapped_rules_are_noticed<M: Rules>() {
    let (cluster, settings) = (M::cluster(), world::settings());
    let unnoticed = Fixture::<M>::new(&cluster, &settings).unnoticed_rules(|rules, at| {
        let mut rules = rules.to_vec();
        (at + 1 < rules.len()).then(|| rules.swap(at, at + 1))?;
        Some(rules)
    });
    assert_known(&unnoticed, M::INTERCHANGEABLE);
}
