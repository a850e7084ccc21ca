//! The masquerade table and the golden cases of contract 1.7, through the renderer and through the
//! independent statement. Modes that say otherwise have a contract of their own.

use viprule_service::model::{Conditions, Service};
use viprule_testkit::semantics::{Cluster, Settings};
use viprule_testkit::walker::{Affinity, Distribution, Outcome};

use crate::agreement::Node;
use crate::mode::Mode;
use crate::world::{self, DEAD, DRAINING, READY, at, empty_cluster, ip, packet, slice};

pub(crate) const LOCAL: &str = "10.244.0.5";
pub(crate) const REMOTE: &str = "10.244.1.7";
/// A local and a remote endpoint.
pub(crate) const BOTH: [(&str, &str, Conditions); 2] =
    [(LOCAL, "node-0", READY), (REMOTE, "node-1", READY)];

pub(crate) const POD: &str = "10.244.0.9";
pub(crate) const NODE: &str = "192.168.77.2";
pub(crate) const OUTSIDE: &str = "192.0.2.7";
pub(crate) const CLUSTER_IP: &str = "10.1.0.1:80";
pub(crate) const NODE_PORT: &str = "192.168.77.2:30001";
pub(crate) const VIP: &str = "203.0.113.40:80";

/// A load balancer at [`CLUSTER_IP`], [`NODE_PORT`] and [`VIP`].
pub(crate) fn load_balancer(
    endpoints: &[(&str, &str, Conditions)],
    change: impl FnOnce(&mut Service),
) -> Cluster {
    let mut service = world::service("web", 1);
    service.load_balancer_ips = [ip("203.0.113.40")].into();
    change(&mut service);
    let mut cluster = empty_cluster();
    cluster.slices.push(slice(&service, endpoints));
    cluster.services.push(service);
    cluster
}

/// Fails unless both ways of working it out come to `expected`.
#[track_caller]
pub(crate) fn assert_ends<M: Mode>(
    cluster: &Cluster,
    settings: &Settings,
    (from, to): (&str, &str),
    affinity: &Affinity,
    expected: &Distribution,
) {
    let node = Node::<M>::new(cluster, settings);
    let packet = packet(&node.seen, from, to);
    let stated = node.expected(&packet, affinity);
    assert!(
        stated.is_close_to(expected, M::TOLERANCE),
        "{packet}: {expected}, stated {stated}"
    );
    for walked in node
        .walkers()
        .walk(&packet, affinity)
        .expect("a sound state")
    {
        assert!(
            walked.is_close_to(expected, M::TOLERANCE),
            "{packet}: {expected}, walked {walked}"
        );
    }
}

/// To each of these endpoints' port 8080 as often as to any other.
pub(crate) fn to(endpoints: &[&str], masqueraded: bool) -> Distribution {
    let endpoint = |ip: &&str| Outcome::Delivered {
        endpoint: at(&format!("{ip}:8080")),
        masqueraded,
    };
    Distribution::uniform(&endpoints.iter().map(endpoint).collect::<Vec<_>>())
}

/// What a cell of the table says: the endpoints, and whether the source is masqueraded.
fn cell(text: &str) -> Distribution {
    match text {
        "L,R" => to(&[LOCAL, REMOTE], false),
        "L" => to(&[LOCAL], false),
        "L,R SNAT" => to(&[LOCAL, REMOTE], true),
        "L SNAT" => to(&[LOCAL], true),
        other => panic!("{other} is no cell"),
    }
}

/// Source, destination, and the cells of policies Cluster, external Local, internal Local.
pub(crate) type Row = (&'static str, &'static str, [&'static str; 3]);

pub(crate) fn assert_table<M: Mode>(settings: &Settings, rows: &[Row]) {
    let clusters = [
        load_balancer(&BOTH, |_| ()),
        load_balancer(&BOTH, |service| service.external_policy_local = true),
        load_balancer(&BOTH, |service| service.internal_policy_local = true),
    ];
    for (from, to, cells) in rows {
        for (cluster, text) in clusters.iter().zip(cells) {
            assert_ends::<M>(cluster, settings, (from, to), &[], &cell(text));
        }
    }
}

pub(crate) fn masquerade_table<M: Mode>() {
    assert_table::<M>(
        &world::settings(),
        &[
            (POD, CLUSTER_IP, ["L,R", "L,R", "L"]),
            (NODE, CLUSTER_IP, ["L,R SNAT", "L,R SNAT", "L SNAT"]),
            (OUTSIDE, CLUSTER_IP, ["L,R SNAT", "L,R SNAT", "L SNAT"]),
            (POD, NODE_PORT, ["L,R SNAT", "L,R", "L,R SNAT"]),
            (POD, VIP, ["L,R SNAT", "L,R", "L,R SNAT"]),
            (NODE, NODE_PORT, ["L,R SNAT", "L,R SNAT", "L,R SNAT"]),
            (NODE, VIP, ["L,R SNAT", "L,R SNAT", "L,R SNAT"]),
            (OUTSIDE, NODE_PORT, ["L,R SNAT", "L", "L,R SNAT"]),
            (OUTSIDE, VIP, ["L,R SNAT", "L", "L,R SNAT"]),
        ],
    );
}

pub(crate) fn without_a_detector_pods_are_not_told_from_others<M: Mode>() {
    let mut settings = world::settings();
    settings.detectors = [None, None];
    assert_table::<M>(
        &settings,
        &[
            (POD, CLUSTER_IP, ["L,R", "L,R", "L"]),
            (NODE, CLUSTER_IP, ["L,R", "L,R", "L"]),
            (OUTSIDE, CLUSTER_IP, ["L,R", "L,R", "L"]),
            (POD, NODE_PORT, ["L,R SNAT", "L", "L,R SNAT"]),
            (POD, VIP, ["L,R SNAT", "L", "L,R SNAT"]),
            (NODE, VIP, ["L,R SNAT", "L,R SNAT", "L,R SNAT"]),
        ],
    );
}

pub(crate) fn masquerade_all_hides_every_client_of_cluster_ips<M: Mode>() {
    let mut settings = world::settings();
    settings.masquerade_all = true;
    assert_table::<M>(
        &settings,
        &[
            (POD, CLUSTER_IP, ["L,R SNAT", "L,R SNAT", "L SNAT"]),
            (OUTSIDE, CLUSTER_IP, ["L,R SNAT", "L,R SNAT", "L SNAT"]),
            (POD, VIP, ["L,R SNAT", "L,R", "L,R SNAT"]),
            (OUTSIDE, VIP, ["L,R SNAT", "L", "L,R SNAT"]),
        ],
    );
}

pub(crate) fn an_endpoint_that_reaches_itself_is_always_masqueraded<M: Mode>() {
    let cluster = load_balancer(&BOTH, |service| service.external_policy_local = true);
    let expected = Distribution::uniform(&[
        Outcome::Delivered {
            endpoint: at("10.244.0.5:8080"),
            masqueraded: true,
        },
        Outcome::Delivered {
            endpoint: at("10.244.1.7:8080"),
            masqueraded: false,
        },
    ]);
    for to in [CLUSTER_IP, NODE_PORT, VIP] {
        assert_ends::<M>(&cluster, &world::settings(), (LOCAL, to), &[], &expected);
    }
}

/// Which endpoints the golden cases of contract 1.7 are about.
fn golden_case(endpoints: &[(&str, &str, Conditions)]) -> Cluster {
    load_balancer(endpoints, |service| service.external_policy_local = true)
}

const A: (&str, &str, Conditions) = ("10.244.0.11", "node-0", READY);
const B: (&str, &str, Conditions) = ("10.244.0.12", "node-0", READY);
const C: (&str, &str, Conditions) = ("10.244.0.13", "node-0", DRAINING);
const D: (&str, &str, Conditions) = ("10.244.0.14", "node-0", DEAD);
const E: (&str, &str, Conditions) = ("10.244.1.15", "node-1", READY);
const E_DRAINING: (&str, &str, Conditions) = ("10.244.1.15", "node-1", DRAINING);

fn assert_golden<M: Mode>(
    endpoints: &[(&str, &str, Conditions)],
    cluster_ip: &Distribution,
    outside: &Distribution,
) {
    let (cluster, settings) = (golden_case(endpoints), world::settings());
    assert_ends::<M>(&cluster, &settings, (POD, CLUSTER_IP), &[], cluster_ip);
    assert_ends::<M>(&cluster, &settings, (OUTSIDE, VIP), &[], outside);
    assert_ends::<M>(&cluster, &settings, (OUTSIDE, NODE_PORT), &[], outside);
}

pub(crate) fn ready_endpoints_come_before_terminating_ones<M: Mode>() {
    let everywhere = to(&[A.0, B.0, E.0], false);
    assert_golden::<M>(&[A, B, C, D, E], &everywhere, &to(&[A.0, B.0], false));
    assert_golden::<M>(&[C, D, E], &to(&[E.0], false), &to(&[C.0], false));
}

pub(crate) fn a_remote_terminating_endpoint_serves_cluster_traffic_only<M: Mode>() {
    let dropped = Distribution::certain(Outcome::Dropped);
    assert_golden::<M>(&[E_DRAINING], &to(&[E.0], false), &dropped);
    assert_golden::<M>(&[D, E], &to(&[E.0], false), &dropped);
}

pub(crate) fn endpoints_that_do_not_serve_are_none<M: Mode>() {
    let rejected = Distribution::certain(Outcome::Rejected);
    assert_golden::<M>(&[D], &rejected, &rejected);
    assert_golden::<M>(&[], &rejected, &rejected);
}
