//! Generated clusters.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use viprule_testkit::strategy::scenario;
use viprule_testkit::walker::{Origin, Outcome};

use super::agreement::Node;
use crate::generated::{PACKETS, all_were_met, config};

proptest! {
    #![proptest_config(config(300))]

    /// Planner and renderer against the independent statement.
    #[test]
    fn what_is_rendered_means_what_kubernetes_says(
        (cluster, settings, probes) in scenario(PACKETS),
        masquerade_bit in 0_u8..32,
    ) {
        let node = Node::with_settings(&cluster, &settings, |settings| {
            settings.common.masquerade_bit = masquerade_bit;
        });
        let walkers = node.walkers_of(&node.state);
        for probe in &probes {
            let (packet, affinity) = probe.resolve(&node.seen);
            node.agree(&walkers, &packet, &affinity)?;
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
        for (packet, affinity) in probes.iter().map(|probe| probe.resolve(&node.seen)) {
            total += 1;
            let mut count = |what, yes| *seen.entry(what).or_default() += usize::from(yes);
            let expected = node.expected(&packet, &affinity);
            let outcomes: Vec<&Outcome> = expected.iter().map(|(outcome, _)| outcome).collect();
            let delivered = |hidden| move |outcome: &&Outcome| matches!(outcome, Outcome::Delivered { masqueraded, .. } if *masqueraded == hidden);
            let hidden = outcomes.iter().copied().filter(delivered(true)).count();
            let plain = outcomes.iter().copied().filter(delivered(false)).count();
            let shares: Vec<f64> = expected.iter().map(|(_, share)| share).collect();
            let even = shares.iter().all(|share| (share - shares[0]).abs() < 1e-9);
            let from_itself = packet.source.ip() == packet.destination.ip();
            count("from the node", packet.origin == Origin::Node);
            count("from the address itself", from_itself);
            count("delivered masqueraded", hidden > 0);
            count("delivered as it came", plain > 0);
            count("balanced", outcomes.len() > 2);
            count("balanced by weight", !even);
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
}
