//! The writer in this process, its transactions cut into small parts.

use std::collections::BTreeSet;
use std::path::PathBuf;

use nfnetlink::Family;
use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_dataplane::netfilter::Desired;
use viprule_dataplane::{Scope, diff};
use viprule_service::model::Event;
use viprule_service::tracker::Tracker;
use viprule_source::manifest::Manifests;
use viprule_sync::{Syncer, desired};
use viprule_testkit::manifests::Bulk;
use viprule_testkit::objects;
use viprule_writer::Writer as _;
use viprule_writer::netfilter::NftWriter;

use crate::support::{Place, golden};

type Real = Syncer<Iptables, NftWriter>;

fn events(path: PathBuf) -> Vec<Event> {
    let load = Manifests::new([path], Some("node-0".to_owned())).load();
    assert_eq!(load.problems, []);
    load.events
}

/// A node that sends at most this much at once.
fn node(place: &Place, bytes: usize) -> Real {
    let tracker = Tracker::new(objects::plan_config("node-0"));
    let settings = Settings {
        nfacct: false,
        ..Settings::default()
    };
    let dataplane = Iptables::new(settings, tracker.facts());
    let writer = place.namespace.run(|| NftWriter::open(&Family::ALL));
    Syncer::new(
        tracker,
        dataplane,
        writer.unwrap().unwrap().with_parts_of(bytes),
    )
}

/// Reads the kernel with another writer.
#[track_caller]
fn assert_in_sync(place: &Place, syncer: &Real) {
    let wanted = desired(syncer.dataplane(), syncer.tracker());
    let other = place.namespace.run(|| NftWriter::open(&Family::ALL));
    let seen: Desired = other.unwrap().unwrap().observe(&Scope::Everything).unwrap();
    let diff = diff(&seen, &wanted);
    let missing: Vec<String> = diff.writes.iter().map(|it| it.key.to_string()).collect();
    let surplus: Vec<String> = diff
        .deletes
        .iter()
        .map(|(key, _)| key.to_string())
        .collect();
    assert!(diff.is_empty(), "-{surplus:#?}\n+{missing:#?}");
}

#[test]
fn parts_of_any_size_end_in_the_same_rules() {
    for bytes in [1, 3000, 20_000] {
        let place = Place::empty();
        let mut syncer = node(&place, bytes);
        let before = place.generation();
        for event in events(golden().join("cluster.yaml")) {
            syncer.apply(event);
        }
        let report = syncer.reconcile(Scope::Everything).unwrap();
        let commits = usize::try_from(place.generation() - before).unwrap();
        assert_eq!(report.transactions, commits);
        assert!(commits > 3, "{commits} parts of {bytes} bytes");
        assert_in_sync(&place, &syncer);
        assert!(syncer.sync().unwrap().is_empty());

        // Two removals and a change, in parts as well, of what packets can reach by now.
        let services = syncer.tracker().services();
        for id in &services[..2] {
            syncer.apply(Event::ServiceDeleted(id.clone()));
        }
        let gone = syncer.tracker().slices(&services[3])[0].id.clone();
        syncer.apply(Event::SliceDeleted(gone));
        let report = syncer.sync().unwrap();
        assert!(
            report.removed > 5 && report.refused.is_empty(),
            "{report:?}"
        );
        assert_in_sync(&place, &syncer);

        let report = syncer.remove_everything().unwrap();
        assert_eq!(report.refused, [] as [&str; 0]);
        assert!(report.transactions > 1 || bytes > 10_000);
        let empty: Vec<_> = place
            .dump()
            .iter()
            .map(|dump| dump.ours().rule_count())
            .collect();
        assert_eq!(empty, [3, 2], "KUBE-FIREWALL and what leads there");
    }
}

/// An agent is killed in the middle of its first sync: the base is there and half of the
/// Services, and nothing leads to them.
#[test]
fn a_first_sync_in_parts_is_taken_up_where_it_was_left() {
    const SERVICES: u32 = 60;
    let place = Place::empty();
    let file = place.folder.path().join("bulk.yaml");
    let bulk = Bulk::new(SERVICES, 5);
    bulk.write_file(&file).unwrap();
    let all = events(file);
    let half: BTreeSet<String> = (0..SERVICES / 2).map(|number| bulk.name(number)).collect();
    let mut first = node(&place, 10_000);
    for event in &all {
        let id = match event {
            Event::ServiceApplied(service) => &service.id,
            Event::SliceApplied(slice) => &slice.id.service,
            other => panic!("{other:?}"),
        };
        if half.contains(id.as_str()) {
            first.apply(event.clone());
        }
    }
    first.reconcile(Scope::Everything).unwrap();
    for (table, chains) in [
        ("nat", ["PREROUTING", "OUTPUT", "POSTROUTING"]),
        ("filter", ["INPUT", "FORWARD", "OUTPUT"]),
    ] {
        for chain in chains {
            place.tool(&format!("iptables-nft -t {table} -F {chain}"));
        }
    }
    let mut second = node(&place, 10_000);
    for event in all {
        second.apply(event);
    }
    let report = second.reconcile(Scope::Everything).unwrap();
    assert_eq!((report.replaced, report.removed), (0, 0), "{report:?}");
    assert_eq!(
        report.touched.len(),
        31,
        "the other half and the entry points"
    );
    assert_in_sync(&place, &second);
}
