//! Cases of the contract (3.3 to 3.6), through the renderer and through the independent statement.

use viprule_service::model::{Balancing, Service, WeightKey};
use viprule_testkit::semantics::{Cluster, Settings};
use viprule_testkit::walker::{Affinity, Distribution, Outcome};

use super::Ipvs;
use crate::agreement::Node;
use crate::contract::{self, BOTH, LOCAL, NODE, OUTSIDE, POD, REMOTE, load_balancer, to};
use crate::world::{self, DEAD, DRAINING, READY, at, packet};

/// The load balancer's address, which the node has as well.
const VIP: &str = "203.0.113.40";

#[track_caller]
fn assert_ends(cluster: &Cluster, from: &str, to: &str, expected: &Distribution) {
    assert_ends_with(cluster, &world::settings(), from, to, &[], expected);
}

#[track_caller]
fn assert_ends_with(
    cluster: &Cluster,
    settings: &Settings,
    from: &str,
    to: &str,
    affinity: &Affinity,
    expected: &Distribution,
) {
    contract::assert_ends::<Ipvs>(cluster, settings, (from, to), affinity, expected);
}

fn surely(outcome: Outcome) -> Distribution {
    Distribution::certain(outcome)
}

#[test]
fn sources_are_kept_and_hidden_as_the_table_says() {
    let cluster = load_balancer(&BOTH, |_| ());
    let both = [LOCAL, REMOTE];
    for (from, hidden) in [(POD, false), (OUTSIDE, true), (NODE, true)] {
        assert_ends(&cluster, from, "10.1.0.1:80", &to(&both, hidden));
    }
    // What the node sends by default comes from the address itself.
    assert_ends(&cluster, "10.1.0.1", "10.1.0.1:80", &to(&both, true));
    for from in [POD, OUTSIDE, NODE] {
        for frontend in ["203.0.113.40:80", "192.168.77.2:30001"] {
            assert_ends(&cluster, from, frontend, &to(&both, true));
        }
    }
}

#[test]
fn without_a_detector_only_the_nodes_own_traffic_is_hidden() {
    let mut settings = world::settings();
    settings.detectors = [None, None];
    let cluster = load_balancer(&BOTH, |_| ());
    let both = [LOCAL, REMOTE];
    for (from, hidden) in [("10.1.0.1", true), (OUTSIDE, false), (NODE, false)] {
        let expected = to(&both, hidden);
        assert_ends_with(&cluster, &settings, from, "10.1.0.1:80", &[], &expected);
    }
}

#[test]
fn under_the_local_policy_sources_are_kept_and_local_endpoints_go_first() {
    let local =
        |endpoints: &[_]| load_balancer(endpoints, |service| service.external_policy_local = true);
    for from in [POD, OUTSIDE, NODE] {
        for frontend in ["203.0.113.40:80", "192.168.77.2:30001"] {
            assert_ends(&local(&BOTH), from, frontend, &to(&[LOCAL], false));
            // Contract 12.7: the others serve where iptables mode drops.
            assert_ends(&local(&BOTH[1..]), from, frontend, &to(&[REMOTE], false));
        }
    }
    let draining = [(LOCAL, "node-0", DRAINING), (REMOTE, "node-1", READY)];
    assert_ends(
        &local(&draining),
        OUTSIDE,
        "203.0.113.40:80",
        &to(&[LOCAL], false),
    );
}

#[test]
fn the_internal_policy_falls_back_only_where_others_are_served_at_all() {
    let internal = |change: fn(&mut Service)| {
        load_balancer(&BOTH[1..], |service| {
            service.internal_policy_local = true;
            change(service);
        })
    };
    assert_ends(&internal(|_| ()), POD, "10.1.0.1:80", &to(&[REMOTE], false));
    let alone = internal(|service| {
        service.load_balancer_ips = [].into();
        service.ports[0].node_port = 0;
    });
    assert_ends(&alone, POD, "10.1.0.1:80", &surely(Outcome::Rejected));
}

#[test]
fn without_endpoints_ports_are_unreachable() {
    let cluster = load_balancer(&[(LOCAL, "node-0", DEAD)], |_| ());
    for from in [POD, OUTSIDE, NODE] {
        for frontend in ["10.1.0.1:80", "203.0.113.40:80", "192.168.77.2:30001"] {
            assert_ends(&cluster, from, frontend, &surely(Outcome::Rejected));
        }
    }
}

#[test]
fn virtual_addresses_show_nothing_else_of_the_host() {
    let cluster = load_balancer(&BOTH, |service| {
        service.external_policy_local = true;
        service.health_check_node_port = 32_000;
    });
    for from in [OUTSIDE, NODE] {
        for frontend in ["10.1.0.1:22", "203.0.113.40:22"] {
            assert_ends(&cluster, from, frontend, &surely(Outcome::Rejected));
        }
        assert_ends(
            &cluster,
            from,
            "203.0.113.40:32000",
            &surely(Outcome::Untouched),
        );
        assert_ends(
            &cluster,
            from,
            "192.168.77.2:22",
            &surely(Outcome::Untouched),
        );
    }
}

#[test]
fn source_ranges_keep_out_everybody_else() {
    let ranges = |text: &str| {
        let range = text.parse().expect("a network");
        load_balancer(&BOTH, |service| service.source_ranges = [range].into())
    };
    let both = [LOCAL, REMOTE];
    let vip = "203.0.113.40:80";
    let outside = ranges("192.0.2.0/24");
    assert_ends(&outside, OUTSIDE, vip, &to(&both, true));
    assert_ends(&outside, POD, vip, &surely(Outcome::Dropped));
    assert_ends(&outside, VIP, vip, &surely(Outcome::Dropped));
    let node = ranges("192.168.77.0/24");
    assert_ends(&node, OUTSIDE, vip, &surely(Outcome::Dropped));
    assert_ends(&node, VIP, vip, &to(&both, true));
    // Other frontends are everybody's.
    assert_ends(&node, OUTSIDE, "10.1.0.1:80", &to(&both, true));
}

#[test]
fn node_ports_do_not_answer_on_loopback_addresses() {
    let cluster = load_balancer(&BOTH, |_| ());
    assert_ends(
        &cluster,
        "127.0.0.1",
        "127.0.0.1:30001",
        &surely(Outcome::Untouched),
    );
}

#[test]
fn a_pod_that_reaches_itself_is_hidden_behind_the_node() {
    let cluster = load_balancer(&BOTH[..1], |_| ());
    assert_ends(&cluster, LOCAL, "10.1.0.1:80", &to(&[LOCAL], true));
    assert_ends(&cluster, POD, "10.1.0.1:80", &to(&[LOCAL], false));
}

#[test]
fn clients_come_back_through_the_same_address_only() {
    let cluster = load_balancer(&BOTH, |service| service.affinity_seconds = Some(600));
    let settings = world::settings();
    let node = Node::<Ipvs>::new(&cluster, &settings);
    let first = packet(&node.seen, OUTSIDE, "10.1.0.1:80");
    let known = world::memories(&cluster, &first, 1);
    let back = to(&[REMOTE], true);
    assert_ends_with(&cluster, &settings, OUTSIDE, "10.1.0.1:80", &known, &back);
    let anew = to(&[LOCAL, REMOTE], true);
    assert_ends_with(
        &cluster,
        &settings,
        OUTSIDE,
        "203.0.113.40:80",
        &known,
        &anew,
    );
}

#[test]
fn weights_are_shares() {
    let cluster = load_balancer(&BOTH, |service| {
        let weights = [(WeightKey::Node("node-1".into()), 3)].into();
        service.balancing = Some(Box::new(Balancing {
            weights,
            ..Balancing::default()
        }));
    });
    let mut expected = Distribution::default();
    for (endpoint, share) in [(LOCAL, 0.25), (REMOTE, 0.75)] {
        let endpoint = at(&format!("{endpoint}:8080"));
        let outcome = Outcome::Delivered {
            endpoint,
            masqueraded: false,
        };
        expected.add(outcome, share);
    }
    assert_ends(&cluster, POD, "10.1.0.1:80", &expected);
}
