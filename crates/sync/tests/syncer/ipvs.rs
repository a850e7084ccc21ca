//! Whatever happens on the way in IPVS mode, the end is what one sync of the end would have made.

use std::collections::BTreeMap;

use ipvs_netlink::Scheduler;
use proptest::prelude::*;
use viprule_dataplane::ipvs::{Ipvs, Key, Object, Piece, Settings};
use viprule_dataplane::{Feature, Scope};
use viprule_service::model::{Balancing, Event, SchedulerName, Service};
use viprule_service::plan::{Budgets, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_sync::{Syncer, desired};
use viprule_testkit::objects::{READY, endpoint, id, ip, service, slice};
use viprule_testkit::strategy::{NODE, Path, ipvs_settings, path};

use crate::memory::Memory;

type IpvsSyncer = Syncer<Ipvs, Memory<Key, Object>>;

fn node(settings: &Settings, kernel: Memory<Key, Object>) -> IpvsSyncer {
    let tracker = Tracker::new(PlanConfig {
        node_name: NODE.to_owned(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
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
        let scope = Scope::Pieces([Piece::Sets, Piece::Servers].into());
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

const LACKING: &str = "twos";

/// A Service whose annotation asks for a scheduler, with these endpoints.
fn asking(scheduler: &str, endpoints: &[&str]) -> [Event; 2] {
    let service = Service {
        balancing: Some(Box::new(Balancing {
            scheduler: SchedulerName::new(scheduler),
            ..Balancing::default()
        })),
        ..service("web", &[ip("10.1.0.1")])
    };
    let endpoints = endpoints.iter();
    let endpoints = endpoints.map(|address| endpoint(ip(address), Some(NODE), READY));
    let family = viprule_service::model::Family::Ipv4;
    let slice = slice(&service.id, family, endpoints.collect());
    [Event::ServiceApplied(service), Event::SliceApplied(slice)]
}

fn tell(syncer: &mut IpvsSyncer, events: [Event; 2]) {
    for event in events {
        syncer.apply(event);
    }
}

/// Schedulers and destinations' addresses.
fn served(syncer: &mut IpvsSyncer) -> (Vec<String>, Vec<String>) {
    let objects = &syncer.writer().objects;
    let schedulers = objects.values().filter_map(|object| match object {
        Object::Server(server) => Some(server.scheduler.to_string()),
        _ => None,
    });
    let destinations = objects.keys().filter_map(|key| match key {
        Key::Destination { destination, .. } => Some(destination.address.to_string()),
        _ => None,
    });
    (schedulers.collect(), destinations.collect())
}

/// A kernel without that scheduler.
fn kernel() -> Memory<Key, Object> {
    let mut kernel = Memory::<Key, Object>::default();
    kernel.lacks = [Feature::Scheduler(LACKING.parse().unwrap())].into();
    kernel.needs = |object| match object {
        Object::Server(server) => Some(Feature::Scheduler(server.scheduler)),
        _ => None,
    };
    kernel
}

#[test]
fn a_scheduler_that_the_kernel_lacks_is_replaced_until_it_has_it() {
    let settings = Settings::default();
    let mut syncer = node(&settings, kernel());
    tell(&mut syncer, asking("rr", &["10.2.0.5"]));
    syncer.reconcile(Scope::Everything).unwrap();
    tell(&mut syncer, asking(LACKING, &["10.2.0.6"]));
    syncer.sync().unwrap();
    let rr = |address: &str| (vec!["rr".to_owned()], vec![address.to_owned()]);
    assert_eq!(served(&mut syncer), rr("10.2.0.6"), "endpoints follow");
    assert!(syncer.quarantined().is_empty());
    let told = syncer.ledger().take_objections();
    assert!(
        told[&id("web")][0].contains("no scheduler twos"),
        "{told:?}"
    );
    syncer.reconcile(Scope::Everything).unwrap();
    assert!(!syncer.ask_again().unwrap());
    assert!(syncer.sync().unwrap().is_empty());
    assert!(syncer.ledger().take_objections().is_empty(), "told once");

    // A restart.
    let mut syncer = node(&settings, std::mem::take(syncer.writer()));
    tell(&mut syncer, asking(LACKING, &["10.2.0.6"]));
    syncer.reconcile(Scope::Everything).unwrap();
    assert_eq!(served(&mut syncer), rr("10.2.0.6"));

    syncer.writer().lacks.clear();
    assert!(syncer.ask_again().unwrap());
    syncer.sync().unwrap();
    assert_eq!(served(&mut syncer).0, [LACKING]);
    assert_eq!(
        syncer.ledger().take_objections(),
        [(id("web"), vec![])].into()
    );
}

#[test]
fn without_the_configured_scheduler_there_is_round_robin() {
    let settings = Settings {
        scheduler: LACKING.parse().unwrap(),
        ..Settings::default()
    };
    let mut syncer = node(&settings, kernel());
    tell(&mut syncer, asking("wlcc", &["10.2.0.5"]));
    syncer.reconcile(Scope::Everything).unwrap();
    assert_eq!(served(&mut syncer).0, [Scheduler::RR.to_string()]);
}

#[test]
fn what_the_kernel_refuses_keeps_the_destinations_that_an_earlier_process_wrote() {
    let settings = Settings::default();
    let mut syncer = node(&settings, Memory::default());
    tell(&mut syncer, asking("rr", &["10.2.0.5", "10.2.0.6"]));
    syncer.reconcile(Scope::Everything).unwrap();
    let server = syncer.writer().objects.keys().find_map(|key| match key {
        Key::Server(_) => Some(*key),
        _ => None,
    });

    let mut syncer = node(&settings, std::mem::take(syncer.writer()));
    syncer.writer().refused = server;
    tell(&mut syncer, asking("lc", &["10.2.0.6", "10.2.0.7"]));
    syncer.reconcile(Scope::Everything).unwrap();
    assert_eq!(syncer.quarantined().len(), 1);
    let (_, destinations) = served(&mut syncer);
    assert!(
        destinations.contains(&"10.2.0.5".to_owned()),
        "{destinations:?}"
    );
    // What is taken in the end leaves nothing behind.
    syncer.writer().refused = None;
    syncer.release_refused();
    syncer.sync().unwrap();
    assert_eq!(served(&mut syncer).1, ["10.2.0.6", "10.2.0.7"]);
}

/// Virtual servers and their destinations on excluded addresses stay, but for what a Service that is
/// there says.
#[test]
fn excluded_virtual_servers_outlive_their_service_and_follow_it_while_it_is_there() {
    let settings = Settings {
        exclude_cidrs: vec!["10.1.0.0/16".parse().unwrap()],
        ..Settings::default()
    };
    let mut syncer = node(&settings, Memory::default());
    tell(&mut syncer, asking("rr", &["10.2.0.5", "10.2.0.6"]));
    syncer.reconcile(Scope::Everything).unwrap();
    // Endpoints follow, over a restart too.
    tell(&mut syncer, asking("rr", &["10.2.0.6"]));
    syncer.sync().unwrap();
    assert_eq!(served(&mut syncer).1, ["10.2.0.6"]);
    let mut syncer = node(&settings, std::mem::take(syncer.writer()));
    tell(&mut syncer, asking("rr", &["10.2.0.7"]));
    syncer.reconcile(Scope::Everything).unwrap();
    assert_eq!(served(&mut syncer).1, ["10.2.0.7"]);

    // Without it they stay, also when everything goes. Its address and its elements do not.
    let there = served(&mut syncer);
    syncer.apply(Event::ServiceDeleted(id("web")));
    syncer.sync().unwrap();
    assert_eq!(served(&mut syncer), there);
    syncer.reconcile(Scope::Everything).unwrap();
    syncer.remove_everything().unwrap();
    assert_eq!(served(&mut syncer), there);
    let others = syncer.writer().objects.keys().filter(|key| {
        let excluded = matches!(key, Key::Server(_) | Key::Destination { .. });
        !excluded && viprule_dataplane::ObjectKey::is_removable(*key)
    });
    assert_eq!(others.count(), 0);
}
