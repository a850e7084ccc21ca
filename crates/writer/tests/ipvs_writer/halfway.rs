//! Syncs that were cut short: whatever was written, the next start puts it right.

use viprule_dataplane::ipvs::Desired;
use viprule_dataplane::{Diff, State, diff};
use viprule_testkit::Namespace;
use viprule_testkit::steps::{OF_IPVS as STEPS, of_ipvs as step};

use crate::common::{Node, Service, desired, require_ipvs};

fn before() -> Desired {
    desired(&[
        Service::tcp("10.1.0.20:80", &["10.244.0.5:8080", "10.244.0.6:8080"]),
        Service::tcp("10.1.0.21:80", &["10.244.0.5:8081"]),
    ])
}

fn after() -> Desired {
    desired(&[
        Service::tcp("10.1.0.20:80", &["10.244.0.6:8080", "10.244.0.7:8080"]).scheduled_by("wrr"),
        Service::tcp("10.1.0.22:80", &["10.244.0.5:8082"]),
    ])
}

/// Writes the first steps only: all writes up to one, or all writes and the deletes down to one.
fn write_until(node: &mut Node<'_>, to: &Desired, writes: usize, deletes: usize) {
    let held = node.observe().fingerprints();
    let all = diff(&held, to);
    let part = Diff {
        writes: all
            .writes
            .into_iter()
            .filter(|it| step(it.key) < writes)
            .collect(),
        deletes: all
            .deletes
            .into_iter()
            .filter(|(key, _)| step(key) >= STEPS - deletes)
            .collect(),
    };
    node.write(&[part]).unwrap();
}

fn cut_short(from: &Desired, to: &Desired) {
    require_ipvs();
    let cuts = (0..=STEPS)
        .map(|writes| (writes, 0))
        .chain((1..STEPS).map(|deletes| (STEPS, deletes)));
    for (writes, deletes) in cuts {
        let namespace = Namespace::new("halfway").unwrap();
        let mut node = Node::start(&namespace);
        node.reconcile(from);
        // Rules go with the step that writes rules.
        write_until(&mut node, to, writes, deletes);
        let mut next = Node::start(&namespace);
        next.reconcile(to);
        assert_eq!(
            next.observe(),
            *to,
            "after {writes} writes, {deletes} deletes"
        );
        assert_eq!(next.writer.draining(), 0);
        let servers = to
            .iter()
            .filter(|(key, _)| step(key) == 3 || step(key) == 4);
        assert_eq!(next.ipvsadm().len(), servers.count());
    }
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_first_sync_that_was_cut_short_is_completed() {
    cut_short(&State::default(), &before());
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_change_that_was_cut_short_is_completed() {
    cut_short(&before(), &after());
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_removal_that_was_cut_short_is_completed() {
    cut_short(&before(), &State::default());
}
