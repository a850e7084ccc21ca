//! What nftables mode does otherwise than iptables mode (contract 4), and what its packets keep.

use proptest::prelude::*;
use viprule_service::model::{Balancing, Service, WeightKey};
use viprule_testkit::semantics::{Cluster, Settings};
use viprule_testkit::strategy::scenario;
use viprule_testkit::walker::iptables::Unordered;
use viprule_testkit::walker::nftables::Walker;
use viprule_testkit::walker::{Distribution, Outcome, Remembered};

use super::Nftables;
use crate::agreement::Node;
use crate::contract::{
    BOTH, CLUSTER_IP, LOCAL, NODE, NODE_PORT, OUTSIDE, POD, REMOTE, VIP, assert_ends,
    load_balancer, to,
};
use crate::generated::config;
use crate::world::{self, at, ip, packet};

fn ends(cluster: &Cluster, settings: &Settings, way: (&str, &str), expected: &Distribution) {
    assert_ends::<Nftables>(cluster, settings, way, &[], expected);
}

#[test]
fn other_ports_of_a_cluster_ip_are_refused_and_other_addresses_left_alone() {
    let settings = world::settings();
    let refused = Distribution::certain(Outcome::Rejected);
    let untouched = Distribution::certain(Outcome::Untouched);
    for endpoints in [&BOTH[..], &[]] {
        let cluster = load_balancer(endpoints, |_| ());
        for from in [POD, NODE, OUTSIDE] {
            ends(&cluster, &settings, (from, "10.1.0.1:81"), &refused);
            ends(&cluster, &settings, (from, "10.1.0.1:30001"), &refused);
            ends(&cluster, &settings, (from, "10.1.0.2:80"), &untouched);
            ends(&cluster, &settings, (from, "203.0.113.40:81"), &untouched);
        }
    }
}

#[test]
fn the_node_is_refused_what_others_are() {
    let cluster = load_balancer(&[], |_| ());
    let refused = Distribution::certain(Outcome::Rejected);
    for from in [POD, NODE, OUTSIDE] {
        for to in [CLUSTER_IP, VIP, NODE_PORT] {
            ends(&cluster, &world::settings(), (from, to), &refused);
        }
    }
}

#[test]
fn node_ports_answer_on_the_nodes_own_address_unless_told_otherwise() {
    use viprule_testkit::semantics::NodePorts;
    let served = to(&[LOCAL, REMOTE], true);
    let untouched = Distribution::certain(Outcome::Untouched);
    let all = NodePorts::Networks(vec!["0.0.0.0/0".parse().expect("a network")]);
    for endpoints in [&BOTH[..], &[]] {
        let cluster = load_balancer(endpoints, |_| ());
        let answer = if endpoints.is_empty() {
            Distribution::certain(Outcome::Rejected)
        } else {
            served.clone()
        };
        for (node_port_addresses, second) in [
            (NodePorts::Unset, &untouched),
            (NodePorts::Primary, &untouched),
            (all.clone(), &answer),
        ] {
            let settings = Settings {
                node_port_addresses,
                ..world::settings()
            };
            ends(&cluster, &settings, (OUTSIDE, NODE_PORT), &answer);
            ends(&cluster, &settings, (OUTSIDE, "192.168.78.2:30001"), second);
            ends(
                &cluster,
                &settings,
                ("127.0.0.1", "127.0.0.1:30001"),
                &untouched,
            );
        }
    }
}

fn restricted(service: &mut Service) {
    service.external_ips = service.load_balancer_ips.clone();
    service.source_ranges = ["192.0.2.0/25", "10.244.0.0/16"]
        .map(|net| net.parse().expect("a network"))
        .into();
}

#[test]
fn source_ranges_hold_whatever_else_an_address_is() {
    let cluster = load_balancer(&BOTH, restricted);
    let settings = world::settings();
    let dropped = Distribution::certain(Outcome::Dropped);
    let served = to(&[LOCAL, REMOTE], true);
    ends(&cluster, &settings, (OUTSIDE, VIP), &served);
    ends(&cluster, &settings, (POD, VIP), &served);
    ends(&cluster, &settings, ("192.0.2.200", VIP), &dropped);
    ends(&cluster, &settings, (NODE, VIP), &dropped);
    ends(&cluster, &settings, ("192.0.2.200", NODE_PORT), &served);
}

#[test]
fn source_ranges_hold_without_endpoints() {
    let cluster = load_balancer(&[], restricted);
    let settings = world::settings();
    let dropped = Distribution::certain(Outcome::Dropped);
    let refused = Distribution::certain(Outcome::Rejected);
    for source in [OUTSIDE, POD] {
        ends(&cluster, &settings, (source, VIP), &refused);
    }
    for source in ["192.0.2.200", NODE] {
        ends(&cluster, &settings, (source, VIP), &dropped);
    }
    ends(&cluster, &settings, ("192.0.2.200", NODE_PORT), &refused);
}

#[test]
fn weights_are_shares() {
    let cluster = load_balancer(&BOTH, |service| {
        service.balancing = Some(Box::new(Balancing {
            weights: [(WeightKey::Address(ip(REMOTE)), 3)].into(),
            ..Balancing::default()
        }));
    });
    let expected = to(&[LOCAL, REMOTE, REMOTE, REMOTE], false);
    ends(&cluster, &world::settings(), (POD, CLUSTER_IP), &expected);
}

#[test]
fn clients_come_back_through_the_same_address_for_the_time_of_the_service() {
    let cluster = load_balancer(&BOTH, |service| {
        service.affinity_seconds = Some(600);
        service.external_policy_local = true;
    });
    let settings = world::settings();
    let was_at = |frontend: &str, endpoint: &str, seconds_ago| Remembered {
        service: cluster.services[0].id.clone(),
        port: "http".into(),
        protocol: viprule_service::model::Protocol::Tcp,
        client: ip(POD),
        frontend: at(frontend),
        endpoint: at(&format!("{endpoint}:8080")),
        seconds_ago,
    };
    let assert_ends = |frontend, remembered: &[Remembered], expected: &[&str]| {
        let expected = to(expected, false);
        let way = (POD, frontend);
        assert_ends::<Nftables>(&cluster, &settings, way, remembered, &expected);
    };
    for frontend in [CLUSTER_IP, VIP, NODE_PORT] {
        for endpoint in [LOCAL, REMOTE] {
            assert_ends(frontend, &[was_at(frontend, endpoint, 599)], &[endpoint]);
            assert_ends(
                frontend,
                &[was_at(frontend, endpoint, 600)],
                &[LOCAL, REMOTE],
            );
        }
        // One that is gone.
        assert_ends(
            frontend,
            &[was_at(frontend, "10.244.3.3", 1)],
            &[LOCAL, REMOTE],
        );
        let both = [was_at(frontend, LOCAL, 7), was_at(frontend, REMOTE, 2)];
        assert_ends(frontend, &both, &[REMOTE]);
    }
    assert_ends(VIP, &[was_at(CLUSTER_IP, LOCAL, 1)], &[LOCAL, REMOTE]);
}

/// What tells endpoints apart on the way is nobody else's business, and where clients can't be
/// remembered they are served all the same.
#[test]
fn packets_leave_as_they_came_and_are_served_where_nobody_can_be_remembered() {
    proptest!(config(40), |((cluster, settings, probes) in scenario(20))| {
        let node = Node::<Nftables>::new(&cluster, &settings);
        let walker = || Walker::new(&node.state, &node.host, Unordered::Forward).expect("sound");
        let (walker, full) = (walker(), walker().full());
        for probe in &probes {
            let (packet, affinity) = probe.resolve(&node.seen);
            for ending in walker.endings(&packet, &affinity).expect("modelled") {
                // A connection to where it would have gone anyway is not translated, and of a
                // packet that ends here nobody sees the priority.
                let unseen = match ending.outcome {
                    Outcome::Delivered { endpoint, .. } => endpoint == packet.destination,
                    Outcome::Rejected | Outcome::Dropped => true,
                    Outcome::Untouched | Outcome::OnlyMasqueraded => false,
                };
                prop_assert!(unseen || ending.priority == 0, "{packet}: {ending:?}");
            }
            let expected = node.expected(&packet, &[]);
            let mut found = Distribution::default();
            for ending in full.endings(&packet, &[]).expect("modelled") {
                found.add(ending.outcome, ending.probability);
            }
            prop_assert!(
                found.is_close_to(&expected, <Nftables as crate::mode::Mode>::TOLERANCE),
                "{packet}: {expected}, full {found}"
            );
        }
    });
    // Nothing of the above would be noticed without a Service that has affinity.
    let cluster = load_balancer(&BOTH, |service| service.affinity_seconds = Some(600));
    let settings = world::settings();
    let node = Node::<Nftables>::new(&cluster, &settings);
    let walker = Walker::new(&node.state, &node.host, Unordered::Forward).expect("sound");
    let packet = packet(&node.seen, POD, CLUSTER_IP);
    assert_eq!(walker.endings(&packet, &[]).expect("modelled").len(), 2);
}
