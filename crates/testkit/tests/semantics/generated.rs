//! Generated clusters.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use viprule_dataplane::CommonSettings;
use viprule_testkit::strategy::{scenario, source_ports};
use viprule_testkit::walker::{Distribution, Origin, Outcome, Packet};

use crate::agreement::Node;
use crate::mode::Mode;

/// Packets tried with each cluster.
const PACKETS: usize = 40;

/// So many clusters, or as many as `PROPTEST_CASES` says.
pub(crate) fn config(clusters: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = clusters;
    }
    config
}

/// Planner and renderer against the independent statement.
pub(crate) fn what_is_rendered_means_what_kubernetes_says<M: Mode>() {
    proptest!(config(M::CLUSTERS), |(
        (cluster, settings, probes) in scenario(PACKETS),
        masquerade_bit in 0_u8..32,
        source_ports in source_ports(),
        unnoticed in M::unnoticed(),
    )| {
        let masquerading = CommonSettings {
            masquerade_bit,
            source_ports,
            ..CommonSettings::default()
        };
        let node = Node::<M>::with(&cluster, &settings, &masquerading, &unnoticed);
        let walkers = node.walkers();
        for probe in &probes {
            let (packet, affinity) = probe.resolve(&node.seen);
            walkers.agree(&packet, &affinity)?;
        }
    });
}

/// What can happen to a packet, and whether it does. `anew` is how it ends where affinity remembers
/// nothing.
fn happens(
    packet: &Packet,
    expected: &Distribution,
    anew: &Distribution,
) -> [(&'static str, bool); 11] {
    let outcomes: Vec<&Outcome> = expected.iter().map(|(outcome, _)| outcome).collect();
    let delivered = |hidden: bool| {
        let is = |outcome: &&Outcome| matches!(outcome, Outcome::Delivered { masqueraded, .. } if *masqueraded == hidden);
        outcomes.iter().any(is)
    };
    let (hidden, plain) = (delivered(true), delivered(false));
    let shares: Vec<f64> = expected.iter().map(|(_, share)| share).collect();
    let even = shares.iter().all(|share| (share - shares[0]).abs() < 1e-9);
    [
        ("from the node", packet.origin == Origin::Node),
        (
            "from the address itself",
            packet.source.ip() == packet.destination.ip(),
        ),
        ("delivered masqueraded", hidden),
        ("delivered as it came", plain),
        ("hairpin among others", hidden && plain),
        ("balanced", outcomes.len() > 2),
        ("balanced by weight", !even),
        ("rejected", outcomes.contains(&&Outcome::Rejected)),
        ("dropped", outcomes.contains(&&Outcome::Dropped)),
        ("untouched", outcomes.contains(&&Outcome::Untouched)),
        ("sent back by affinity", expected != anew),
    ]
}

/// The property above says little if all packets ended alike.
pub(crate) fn generated_packets_meet_everything<M: Mode>() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::<&str, usize>::new();
    let mut total = 0;
    for _ in 0..100 {
        let (cluster, settings, probes) = scenario(PACKETS)
            .new_tree(&mut runner)
            .expect("no filters")
            .current();
        let node = Node::<M>::new(&cluster, &settings);
        for (packet, affinity) in probes.iter().map(|probe| probe.resolve(&node.seen)) {
            total += 1;
            let expected = node.expected(&packet, &affinity);
            let anew = node.expected(&packet, &[]);
            for (what, happens) in happens(&packet, &expected, &anew) {
                *seen.entry(what).or_default() += usize::from(happens);
            }
        }
    }
    for (what, seen) in &seen {
        if M::NEVER.contains(what) {
            assert_eq!(*seen, 0, "{what}: of {total} packets");
        } else {
            assert!(
                seen * 100 >= total,
                "{what}: only {seen} of {total} packets"
            );
        }
    }
    for what in M::NEVER {
        assert!(seen.contains_key(what), "{what} is none of {seen:?}");
    }
    assert!(
        seen["untouched"] * 2 <= total,
        "most packets mean nothing: {seen:?}"
    );
}
