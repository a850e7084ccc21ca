//! Whatever happens on the way in IPVS mode, the end is what one sync of the end would have made.

use std::collections::BTreeMap;

use proptest::prelude::*;
use viprule::agent::{Syncer, desired};
use viprule_dataplane::Scope;
use viprule_dataplane::ipvs::{Ipvs, Key, Object, Part, Settings};
use viprule_service::model::Event;
use viprule_service::plan::PlanConfig;
use viprule_service::tracker::Tracker;
use viprule_testkit::strategy::{NODE, Path, ipvs_settings, path};

use crate::memory::Memory;

type IpvsSyncer = Syncer<Ipvs, Memory<Key, Object>>;

fn node(settings: &Settings, kernel: Memory<Key, Object>) -> IpvsSyncer {
    let tracker = Tracker::new(PlanConfig {
        node_name: NODE.to_owned(),
        bind_address: None,
        allow_external_ips: true,
    });
    let dataplane = Ipvs::new(settings.clone(), tracker.facts());
    Syncer::new(tracker, dataplane, kernel)
}

/// What a node that starts now would want.
fn wanted(syncer: &IpvsSyncer, settings: &Settings) -> BTreeMap<Key, Object> {
    let tracker = syncer.tracker();
    let dataplane = Ipvs::new(settings.clone(), tracker.facts());
    desired(&dataplane, tracker).into_iter().collect()
}

fn ensure_in_sync(syncer: &mut IpvsSyncer, settings: &Settings) -> Result<(), TestCaseError> {
    let wanted = wanted(syncer, settings);
    let found = &syncer.writer().objects;
    let keys = |a: &BTreeMap<Key, Object>, b: &BTreeMap<Key, Object>| -> Vec<_> {
        let of_b = |key: &Key, object| b.get(key) == Some(object);
        let differ = a.iter().filter(|(key, object)| !of_b(key, object));
        differ.map(|(key, _)| key.to_string()).collect()
    };
    let (surplus, missing) = (keys(found, &wanted), keys(&wanted, found));
    prop_assert!(
        surplus.is_empty() && missing.is_empty(),
        "there are {surplus:#?}\nthere should be {missing:#?}"
    );
    Ok(())
}

fn check(path: &Path, settings: &Settings, parts: &[bool]) -> Result<(), TestCaseError> {
    let mut syncer = node(settings, Memory::default());
    syncer.reconcile(Scope::Everything).unwrap();
    let mut told: Vec<Event> = Vec::new();
    let mut takes = parts.iter().cycle();
    for (event, look) in &path.steps {
        told.push(event.clone());
        syncer.apply(event.clone());
        if !look {
            continue;
        }
        syncer.sync().unwrap();
        ensure_in_sync(&mut syncer, settings)?;
        // Somebody takes some of it away, which nobody tells.
        syncer.writer().objects.retain(|key, _| match key {
            Key::Entry { .. } | Key::Destination { .. } => *takes.next().unwrap(),
            _ => true,
        });
        let scope = Scope::Parts([Part::Sets, Part::Servers].into());
        syncer.reconcile(scope).unwrap();
        ensure_in_sync(&mut syncer, settings)?;
    }
    syncer.sync().unwrap();
    ensure_in_sync(&mut syncer, settings)?;

    // Nothing is left to do, whoever asks, be it somebody new.
    syncer.writer().commits.clear();
    syncer.reconcile(Scope::Everything).unwrap();
    let mut next = node(settings, std::mem::take(syncer.writer()));
    told.iter().cloned().for_each(|event| next.apply(event));
    next.reconcile(Scope::Everything).unwrap();
    prop_assert!(next.writer().commits.is_empty());

    // What nobody wants any more goes.
    next.remove_everything().unwrap();
    prop_assert!(next.writer().objects.keys().all(|key| matches!(
        key,
        Key::Netfilter(key) if !viprule_dataplane::ObjectKey::is_removable(key)
    )));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_path_ends_in_the_same_kernel(
        path in path(),
        settings in ipvs_settings(),
        parts in prop::collection::vec(prop::bool::weighted(0.8), 7),
    ) {
        check(&path, &settings, &parts)?;
    }
}
