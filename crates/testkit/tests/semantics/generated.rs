//! Generated clusters.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use viprule_testkit::strategy::scenario;
use viprule_testkit::walker::{Origin, Outcome};

use crate::agreement::Node;

/// Packets tried with each cluster.
pub(crate) const PACKETS: usize = 40;

/// So many clusters, or as many as `PROPTEST_CASES` says.
pub(crate) fn config(clusters: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = clusters;
    }
    config
}

/// Fails unless each of these things happened to one packet in a hundred.
#[track_caller]
pub(crate) fn all_were_met(seen: &BTreeMap<&str, usize>, total: usize) {
    for (what, seen) in seen {
        assert!(
            seen * 100 >= total,
            "{what}: only {seen} of {total} packets"
        );
    }
}

proptest! {
    #![proptest_config(config(1000))]

    /// Planner and renderer against the independent statement, for iptables mode.
    #[test]
    fn rendered_chains_mean_what_kubernetes_says(
        (cluster, settings, probes) in scenario(PACKETS),
        mark_bit in 0_u32..32,
        nfacct: bool,
        drop_invalid: bool,
    ) {
        let node = Node::with_options(&cluster, &settings, |options| {
            options.masquerade.mark = 1 << mark_bit;
            options.nfacct = nfacct;
            options.drop_invalid = drop_invalid;
        });
        let walkers = node.walkers();
        for probe in &probes {
            let (packet, affinity) = probe.resolve(&cluster);
            walkers.agree(&packet, &affinity)?;
        }
    }
}

/// The property above says little if all packets ended alike.
#[test]
fn generated_packets_meet_everything() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::<&str, usize>::new();
    let mut total = 0;
    for _ in 0..100 {
        let (cluster, settings, probes) = scenario(PACKETS)
            .new_tree(&mut runner)
            .expect("no filters")
            .current();
        let node = Node::new(&cluster, &settings);
        for (packet, affinity) in probes.iter().map(|probe| probe.resolve(&cluster)) {
            total += 1;
            let mut count = |what, yes| *seen.entry(what).or_default() += usize::from(yes);
            let expected = node.expected(&packet, &affinity);
            let outcomes: Vec<&Outcome> = expected.iter().map(|(outcome, _)| outcome).collect();
            let masqueraded = |yes| move |outcome: &&Outcome| matches!(outcome, Outcome::Delivered { masqueraded, .. } if *masqueraded == yes);
            let masked = outcomes.iter().copied().filter(masqueraded(true)).count();
            let plain = outcomes.iter().copied().filter(masqueraded(false)).count();
            count("from the node", packet.origin == Origin::Node);
            count("delivered masqueraded", masked > 0);
            count("delivered as it came", plain > 0);
            count("hairpin among others", masked > 0 && plain > 0);
            count("balanced", outcomes.len() > 2);
            count("rejected", outcomes.contains(&&Outcome::Rejected));
            count("dropped", outcomes.contains(&&Outcome::Dropped));
            count("untouched", outcomes.contains(&&Outcome::Untouched));
            count(
                "sent back by affinity",
                expected != node.expected(&packet, &[]),
            );
        }
    }
    all_were_met(&seen, total);
    assert!(
        seen["untouched"] * 2 <= total,
        "most packets mean nothing: {seen:?}"
    );
}
