//! Commits while a packet is on its way: each lookup sees what was committed last, so a packet may
//! find some of what was before and some of what is new.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use proptest::prelude::*;
use proptest::sample::Index;
use viprule_service::model::Service;
use viprule_testkit::semantics::{Cluster, Settings};
use viprule_testkit::strategy::{self, Probe, probe, settings};
use viprule_testkit::walker::nftables::Walker;
use viprule_testkit::walker::{Distribution, Outcome, Packet, Remembered};

use super::Nftables;
use crate::agreement::Node;
use crate::contract::{CLUSTER_IP, OUTSIDE, POD, VIP, load_balancer};
use crate::generated::config;
use crate::world::{self, READY, packet};

/// Two clusters of which the second one differs in one Service: in its endpoints, and perhaps in its
/// weights and its affinity.
fn change() -> impl Strategy<Value = [Cluster; 2]> {
    let which = any::<Index>();
    (
        strategy::cluster(),
        strategy::cluster(),
        which,
        any::<bool>(),
    )
        .prop_map(|(before, other, which, also_itself)| {
            let common = before.services.len().min(other.services.len());
            let which = which.index(common);
            let id = before.services[which].id.clone();
            let mut after = before.clone();
            after.slices.retain(|slice| slice.id.service != id);
            let slices = other.slices.iter();
            let slices = slices.filter(|slice| slice.id.service == id).cloned();
            after.slices.extend(slices);
            if also_itself {
                let Service {
                    affinity_seconds,
                    balancing,
                    ..
                } = other.services[which].clone();
                after.services[which] = Service {
                    affinity_seconds,
                    balancing,
                    ..before.services[which].clone()
                };
            }
            [before, after]
        })
}

/// Where packets are delivered; `None` where some may not be.
fn endpoints(distribution: &Distribution) -> Option<BTreeSet<SocketAddr>> {
    let endpoint = |outcome: &Outcome| match outcome {
        Outcome::Delivered { endpoint, .. } => Some(*endpoint),
        _ => None,
    };
    distribution
        .iter()
        .map(|(outcome, _)| endpoint(outcome))
        .collect()
}

/// How many packets have endpoints before and after; fails where one of those finds none in between.
fn find_endpoints(
    clusters: &[Cluster; 2],
    settings: &Settings,
    packets: impl Fn(&Cluster) -> Vec<(Packet, Vec<Remembered>)>,
) -> Result<usize, TestCaseError> {
    let nodes = clusters
        .each_ref()
        .map(|cluster| Node::<Nftables>::new(cluster, settings));
    let [before, after] = &nodes;
    let host = &before.host;
    let ways = [
        Walker::between(&before.state, &after.state, host).expect("sound states"),
        Walker::between(&after.state, &before.state, host).expect("sound states"),
    ];
    let mut served = 0;
    for (packet, affinity) in packets(&before.seen) {
        let both = nodes
            .each_ref()
            .map(|node| endpoints(&node.expected(&packet, &[])));
        let [Some(old), Some(new)] = both else {
            continue;
        };
        served += 1;
        for walker in &ways {
            for ending in walker.endings(&packet, &affinity).expect("modelled") {
                let finds_one = match ending.outcome {
                    Outcome::Delivered { endpoint, .. } => {
                        old.contains(&endpoint) || new.contains(&endpoint)
                    }
                    _ => false,
                };
                prop_assert!(
                    finds_one,
                    "{packet}: {}, before {old:?}, after {new:?}",
                    ending.outcome
                );
            }
        }
    }
    Ok(served)
}

#[test]
fn whatever_is_found_before_and_after_is_found_while_endpoints_change() {
    let served = Cell::new(0);
    proptest!(config(60), |(
        clusters in change(),
        settings in settings(),
        probes in proptest::collection::vec(probe(), 25),
    )| {
        let probes = |seen: &Cluster| probes.iter().map(|probe: &Probe| probe.resolve(seen)).collect();
        served.set(served.get() + find_endpoints(&clusters, &settings, probes)?);
    });
    assert!(served.get() > 50, "only {}", served.get());
}

/// Every pair of small rows, across sizes, with and without affinity.
#[test]
fn rows_of_any_two_lengths_make_one_with_an_endpoint() {
    let settings = world::settings();
    let pods: Vec<String> = (0..9).map(|n| format!("10.244.{}.{n}", n % 2)).collect();
    let endpoints: Vec<_> = pods
        .iter()
        .map(|pod| {
            (
                &**pod,
                if pod.starts_with("10.244.0.") {
                    "node-0"
                } else {
                    "node-1"
                },
                READY,
            )
        })
        .collect();
    let mut served = 0;
    for sticky in [[false, false], [true, true], [false, true], [true, false]] {
        for before in 1..=9 {
            for after in [1, 2, 3, 5, 9] {
                let of = |slots: usize, sticky: bool| {
                    load_balancer(&endpoints[..slots], |service| {
                        service.affinity_seconds = sticky.then_some(600);
                        service.external_policy_local = true;
                    })
                };
                let clusters = [of(before, sticky[0]), of(after, sticky[1])];
                let packets = |seen: &Cluster| {
                    let ways = [(POD, CLUSTER_IP), (OUTSIDE, VIP)];
                    ways.map(|(from, to)| (packet(seen, from, to), Vec::new()))
                        .into()
                };
                served += find_endpoints(&clusters, &settings, packets).expect("one is found");
            }
        }
    }
    assert!(served > 200, "only {served}");
}
