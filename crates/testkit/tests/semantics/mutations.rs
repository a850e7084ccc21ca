//! Spoiled states are found out: every rule that can matter to a new connection does.

use std::collections::BTreeSet;

use ipnet::IpNet;
use nfnetlink::xtables::{Match, Rule, Target};
use viprule_dataplane::State;
use viprule_dataplane::family::in_netfilter;
use viprule_dataplane::netfilter::{Key, Object};
use viprule_service::model::Service;
use viprule_testkit::semantics::{Cluster, Settings};
use viprule_testkit::strategy::every_packet;
use viprule_testkit::walker::iptables::{Unordered, Walker};
use viprule_testkit::walker::{Distribution, Packet, Remembered, Walk};

use crate::agreement::{Node, TOLERANCE};
use crate::world::{self, READY, empty_cluster, ip, service, slice};

type Entries = Vec<(Key, Object)>;

/// A cluster that needs every kind of rule.
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

/// What each packet must come to.
pub(crate) struct Question {
    pub(crate) packet: Packet,
    pub(crate) memories: Vec<Remembered>,
    pub(crate) expected: Distribution,
}

impl Question {
    /// True where the walk ends otherwise, or nowhere.
    pub(crate) fn tells_from_right(&self, walker: &impl Walk) -> bool {
        walker
            .walk(&self.packet, &self.memories)
            .map_or(true, |walked| {
                !walked.is_close_to(&self.expected, TOLERANCE)
            })
    }
}

struct Fixture<'a> {
    node: Node<'a>,
    questions: Vec<Question>,
}

impl<'a> Fixture<'a> {
    fn new(cluster: &'a Cluster, settings: &'a Settings) -> Self {
        let node = Node::new(cluster, settings);
        let mut questions = Vec::new();
        for packet in every_packet(cluster) {
            let sticky = cluster.services[2]
                .cluster_ips
                .contains(&packet.destination.ip());
            let mut memories = vec![vec![]];
            if sticky {
                let at = |position| world::memories(cluster, &packet, position);
                memories.extend([at(0), at(1), [at(1), at(0)].concat()]);
            }
            for memories in memories {
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

    /// True where some packet tells this state from a right one.
    fn finds_out(&self, entries: Entries, family: nfnetlink::Family) -> bool {
        let state: State<Key, Object> = entries.into_iter().collect();
        let Ok(walker) = Walker::new(&state, &self.node.host, Unordered::Forward) else {
            return true;
        };
        let of_family = |question: &&Question| in_netfilter(question.packet.family()) == family;
        let mut questions = self.questions.iter().filter(of_family);
        questions.any(|question| question.tells_from_right(&walker))
    }

    fn entries(&self) -> Entries {
        self.node.state.iter().cloned().collect()
    }

    /// Spoils one rule after the other in every way that `spoil` offers. Returns those of which
    /// nothing was noticed.
    fn unnoticed(&self, spoil: impl Fn(&[Rule], usize) -> Option<Vec<Rule>>) -> BTreeSet<String> {
        let mut unnoticed = BTreeSet::new();
        for (position, (key, object)) in self.node.state.iter().enumerate() {
            for at in 0..object.rules().len() {
                let Some(rules) = spoil(object.rules(), at) else {
                    continue;
                };
                let mut entries = self.entries();
                match object {
                    Object::Rules(_) => entries[position].1 = Object::Rules(rules),
                    Object::Rule(_) | Object::Shared => {
                        entries.remove(position);
                        let left = rules.into_iter().map(|rule| (*key, Object::Rule(rule)));
                        entries.extend(left);
                    }
                }
                if !self.finds_out(entries, key.table().family) {
                    unnoticed.insert(format!("{key}: {}", object.rules()[at]));
                }
            }
        }
        unnoticed
    }
}

#[test]
fn the_state_is_right_before_it_is_spoiled() {
    let (cluster, settings) = (cluster(), world::settings());
    let fixture = Fixture::new(&cluster, &settings);
    let walkers = fixture.node.walkers();
    assert!(
        fixture.questions.len() > 1000,
        "only {}",
        fixture.questions.len()
    );
    for question in &fixture.questions {
        walkers
            .agree(&question.packet, &question.memories)
            .expect("a right state");
    }
}

/// Rules that change nothing for new connections, on a host that has no others.
const WITHOUT_EFFECT: [(&str, &str); 12] = [
    (
        "-s 10.244.9.42/32",
        "reached from outside only, which is masqueraded anyway",
    ),
    (
        "-s fd00:10:244::42/128",
        "reached from outside only, which is masqueraded anyway",
    ),
    (
        "FORWARD: -m comment --comment \"kubernetes forwarding rules\"",
        "all is forwarded anyway",
    ),
    ("filter KUBE-FORWARD: ", "all is forwarded anyway"),
    (
        "INPUT: -m comment --comment \"kubernetes health check service ports\"",
        "all is let in",
    ),
    ("filter KUBE-NODEPORTS: ", "all is let in anyway"),
    (
        "localhost_nps_accepted_pkts",
        "counts, and does what the next rule does",
    ),
    ("will be dropped by KUBE-PROXY-FIREWALL", "tells the reader"),
    (
        "KUBE-POSTROUTING: -j MARK",
        "nobody looks at the mark any more",
    ),
    ("ip filter OUTPUT: -j KUBE-FIREWALL", "INPUT asks again"),
    ("ip6 filter OUTPUT: -j KUBE-FIREWALL", "the chain is empty"),
    ("ip6 filter INPUT: -j KUBE-FIREWALL", "the chain is empty"),
];

#[test]
fn every_rule_left_out_is_noticed() {
    let (cluster, settings) = (cluster(), world::settings());
    let unnoticed = Fixture::new(&cluster, &settings).unnoticed(|rules, at| {
        let mut rules = rules.to_vec();
        rules.remove(at);
        Some(rules)
    });
    for (pattern, why) in WITHOUT_EFFECT {
        assert!(
            unnoticed.iter().any(|rule| rule.contains(pattern)),
            "{pattern} matters: {why}?"
        );
    }
    let known = |rule: &&String| {
        WITHOUT_EFFECT
            .iter()
            .any(|(pattern, _)| rule.contains(pattern))
    };
    let others: Vec<&String> = unnoticed.iter().filter(|rule| !known(rule)).collect();
    assert!(
        others.is_empty(),
        "left out without being missed:\n{others:#?}"
    );
}

#[test]
fn every_changed_probability_is_noticed() {
    let (cluster, settings) = (cluster(), world::settings());
    let changed = std::cell::Cell::new(0);
    let unnoticed = Fixture::new(&cluster, &settings).unnoticed(|rules, at| {
        let mut rules = rules.to_vec();
        let random = rules[at].matches.iter_mut().find_map(|part| match part {
            Match::Random { probability, .. } => Some(probability),
            _ => None,
        })?;
        *random += 1 << 16;
        changed.set(changed.get() + 1);
        Some(rules)
    });
    assert!(changed.get() >= 5);
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

#[test]
fn swapped_rules_are_noticed() {
    let (cluster, settings) = (cluster(), world::settings());
    let fixture = Fixture::new(&cluster, &settings);
    let unnoticed = fixture.unnoticed(|rules, at| {
        let mut rules = rules.to_vec();
        (at + 1 < rules.len()).then(|| rules.swap(at, at + 1))?;
        Some(rules)
    });
    // Conditions that exclude each other, or lead to the same, may come in any order.
    let indifferent = ["KUBE-FW-"]
        .into_iter()
        .chain(WITHOUT_EFFECT.map(|(pattern, _)| pattern));
    let indifferent: Vec<&str> = indifferent.collect();
    let known = |rule: &&String| indifferent.iter().any(|pattern| rule.contains(pattern));
    let others: Vec<&String> = unnoticed.iter().filter(|rule| !known(rule)).collect();
    assert!(
        others.is_empty(),
        "swapped with the next without a difference:\n{others:#?}"
    );
}

#[test]
fn exchanged_jumps_are_noticed() {
    let (cluster, settings) = (cluster(), world::settings());
    let fixture = Fixture::new(&cluster, &settings);
    let per_service = |target: &Target| {
        matches!(target, Target::Jump(chain) if chain.starts_with("KUBE-SVC")
            || chain.starts_with("KUBE-SVL") || chain.starts_with("KUBE-EXT")
            || chain.starts_with("KUBE-SEP"))
    };
    let entries = fixture.entries();
    let jumps: Vec<(usize, usize)> = entries
        .iter()
        .enumerate()
        .flat_map(|(position, (_, object))| (0..object.rules().len()).map(move |at| (position, at)))
        .filter(|(position, at)| per_service(&entries[*position].1.rules()[*at].target))
        .collect();
    let has = |(position, at): (usize, usize), part: fn(&Match) -> bool| {
        entries[position].1.rules()[at].matches.iter().any(part)
    };
    let counts = |rule| has(rule, |part| matches!(part, Match::Nfacct(_)));
    let is_sticky = |rule| has(rule, |part| matches!(part, Match::Recent(_)));
    let is_endpoint =
        |target: &Target| matches!(target, Target::Jump(to) if to.starts_with("KUBE-SEP"));
    let name = |(position, at): (usize, usize)| {
        format!(
            "{}: {}",
            entries[position].0,
            entries[position].1.rules()[at]
        )
    };
    let mut exchanged = 0;
    for pair in jumps.windows(2) {
        let [one, other] = [pair[0], pair[1]].map(|(position, at)| {
            let (key, object) = &entries[position];
            (key.table(), object.rules()[at].target.clone())
        });
        // Two endpoints that a chain balances over are as good as each other.
        let balanced = pair[0].0 == pair[1].0 && !is_sticky(pair[0]) && is_endpoint(&other.1);
        if one == other || one.0 != other.0 || balanced || counts(pair[0]) || counts(pair[1]) {
            continue;
        }
        let mut spoiled = entries.clone();
        for ((position, at), target) in [(pair[0], other.1), (pair[1], one.1.clone())] {
            match &mut spoiled[position].1 {
                Object::Rules(rules) => rules[at].target = target,
                Object::Rule(rule) => rule.target = target,
                Object::Shared => {}
            }
        }
        exchanged += 1;
        assert!(
            fixture.finds_out(spoiled, one.0.family),
            "{}\n{}",
            name(pair[0]),
            name(pair[1])
        );
    }
    assert!(exchanged > 15, "only {exchanged}");
}
