//! Objects that several Services want, in a dataplane whose transactions take effect object by
//! object.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use proptest::prelude::*;
use viprule_dataplane::{Content, Dataplane, Fingerprint, NodeEffect, ObjectKey, Scope, State};
use viprule_service::model::{Event, ServiceId};
use viprule_service::plan::{Budgets, FlowDestination, NodeFacts, PlanConfig, ServicePlan};
use viprule_service::tracker::Tracker;
use viprule_sync::{Syncer, desired};
use viprule_testkit::strategy::{NODE, Path, path};

use crate::memory;
use crate::world::{id, service, slice};

/// Few, so that Services have many in common.
const ELEMENTS: u8 = 4;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    Set,
    /// An endpoint's, whoever has it.
    Element(u8),
    /// A Service's own.
    Own(ServiceId),
    Link,
}

/// A number that says enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number(usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Elements,
    Rest,
}

impl ObjectKey for Key {
    type Piece = Piece;

    fn piece(&self) -> Piece {
        match self {
            Self::Element(_) => Piece::Elements,
            _ => Piece::Rest,
        }
    }

    fn is_removable(&self) -> bool {
        true
    }

    fn is_common(&self) -> bool {
        matches!(self, Self::Element(_))
    }

    /// Each element is one of its own.
    fn container(&self) -> Option<Self> {
        self.is_common().then(|| self.clone())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl From<(Key, Self)> for Number {
    fn from((_, number): (Key, Self)) -> Self {
        number
    }
}

impl Content for Number {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0)
    }
}

/// Its link says how many different elements there are.
#[derive(Debug, Default)]
struct Shared {
    /// This element stays.
    excluded: Option<u8>,
}

impl Dataplane for Shared {
    type Key = Key;
    type Object = Number;
    type Settings = ();
    type Counts = usize;

    fn set_node(&mut self, _: &NodeFacts) -> NodeEffect {
        NodeEffect::Nothing
    }

    fn configure(&mut self, (): (), _: &NodeFacts) -> NodeEffect {
        NodeEffect::Nothing
    }

    fn base(&self) -> State<Key, Number> {
        [(Key::Set, Number(0))].into_iter().collect()
    }

    fn service(&self, plan: &ServicePlan) -> State<Key, Number> {
        let endpoints = plan.ports.iter().flat_map(|port| &port.endpoints);
        let last = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(ip) => ip.octets()[15],
        };
        let elements: BTreeSet<u8> = endpoints
            .map(|endpoint| last(endpoint.address.ip()) % ELEMENTS)
            .collect();
        let own = (Key::Own(plan.service.clone()), Number(elements.len()));
        let elements = elements.into_iter();
        elements
            .map(|element| (Key::Element(element), Number(0)))
            .chain([own])
            .collect()
    }

    fn entry_points(&self, has: &dyn Fn(&Key) -> bool) -> State<Key, Number> {
        let elements = (0..ELEMENTS).map(Key::Element);
        let elements = elements.filter(has).count();
        [(Key::Link, Number(elements))].into_iter().collect()
    }

    fn flushed(&self, _: &Key) -> Option<Number> {
        None
    }

    fn is_excluded(&self, key: &Key) -> bool {
        self.excluded
            .is_some_and(|element| *key == Key::Element(element))
    }

    fn frontends() -> BTreeSet<<Key as ObjectKey>::Piece> {
        BTreeSet::new()
    }

    fn served(_: &State<Key, Number>) -> usize {
        0
    }

    fn objections(&self, plan: &ServicePlan) -> Vec<String> {
        let many = plan.ports.iter().any(|port| port.endpoints.len() > 2);
        many.then(|| "too many endpoints".to_owned())
            .into_iter()
            .collect()
    }

    fn udp_frontend(_: &Key, _: &Number) -> Option<FlowDestination> {
        None
    }

    fn counts(_: &Key, _: &Number) -> usize {
        1
    }
}

type Memory = memory::Memory<Key, Number>;
type SharedSyncer = Syncer<Shared, Memory>;

fn node(kernel: Memory) -> SharedSyncer {
    let tracker = Tracker::new(PlanConfig {
        node_name: NODE.to_owned(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
    });
    Syncer::new(tracker, Shared::default(), kernel)
}

/// Services with these endpoints, in sync.
fn synced(services: &[(&str, &[&str])]) -> SharedSyncer {
    let mut syncer = node(Memory::default());
    for (name, endpoints) in services {
        syncer.apply(service(name));
        syncer.apply(slice(name, endpoints));
    }
    syncer.reconcile(Scope::Everything).unwrap();
    assert_in_sync(&mut syncer);
    syncer.writer().commits.clear();
    syncer
}

fn restarted(mut syncer: SharedSyncer, told: &[Event]) -> SharedSyncer {
    let mut next = node(std::mem::take(syncer.writer()));
    told.iter().cloned().for_each(|event| next.apply(event));
    next
}

fn wanted(syncer: &SharedSyncer) -> BTreeMap<Key, Number> {
    let wanted = desired(syncer.dataplane(), syncer.tracker());
    wanted.into_iter().collect()
}

#[track_caller]
fn assert_in_sync(syncer: &mut SharedSyncer) {
    let wanted = wanted(syncer);
    assert_eq!(syncer.writer().objects, wanted);
    let objects = &syncer.writer().objects;
    let elements = objects.keys().filter(|key| key.is_common()).count();
    assert_eq!(objects.get(&Key::Link), Some(&Number(elements)));
}

const A: (&str, &[&str]) = ("a", &["10.244.0.5"]);
const B: (&str, &[&str]) = ("b", &["10.244.0.5", "10.244.0.6"]);

#[test]
fn what_two_want_is_written_once_and_goes_with_the_last() {
    let mut syncer = synced(&[A]);
    syncer.apply(service("b"));
    syncer.apply(slice("b", &["10.244.0.5"]));
    syncer.sync().unwrap();
    assert_eq!(syncer.writer().commits, [[Key::Own(id("b"))]]);
    syncer.apply(Event::ServiceDeleted(id("a")));
    let report = syncer.sync().unwrap();
    assert_eq!(report.removed, 1);
    assert_in_sync(&mut syncer);
    syncer.apply(Event::ServiceDeleted(id("b")));
    let report = syncer.sync().unwrap();
    assert_eq!(report.removed, 2);
    assert_in_sync(&mut syncer);
}

#[test]
fn two_that_let_it_go_at_once_remove_it_once() {
    let mut syncer = synced(&[A, B]);
    syncer.apply(slice("a", &[]));
    syncer.apply(slice("b", &["10.244.0.6"]));
    let report = syncer.sync().unwrap();
    assert_eq!(report.removed, 1);
    assert_in_sync(&mut syncer);
}

#[test]
fn what_moves_to_another_service_is_not_touched() {
    let mut syncer = synced(&[A]);
    syncer.apply(Event::ServiceDeleted(id("a")));
    syncer.apply(service("b"));
    syncer.apply(slice("b", &["10.244.0.5"]));
    syncer.sync().unwrap();
    let written = syncer.writer().commits.concat();
    assert!(written.iter().all(|key| !key.is_common()), "{written:?}");
    assert_in_sync(&mut syncer);
}

/// What leads to Services depends on what they have, and comes behind it.
#[test]
fn links_come_behind_services_as_for_what_those_have() {
    let syncer = synced(&[A, B]);
    let mut syncer = restarted(syncer, &[service("c"), slice("c", &["10.244.0.7"])]);
    syncer.reconcile(Scope::Everything).unwrap();
    let commits = &syncer.writer().commits;
    let written = [
        Key::Element(3),
        Key::Own(id("c")),
        Key::Link,
        Key::Own(id("b")),
        Key::Own(id("a")),
        Key::Element(2),
        Key::Element(1),
    ];
    assert_eq!(*commits, [written]);
    assert_in_sync(&mut syncer);
}

#[test]
fn links_are_as_for_what_was_written_of_a_refused_service() {
    let mut syncer = node(Memory::default());
    for (name, endpoints) in [A, ("b", &["10.244.0.6"])] {
        syncer.apply(service(name));
        syncer.apply(slice(name, endpoints));
    }
    syncer.writer().refused = Some(Key::Own(id("b")));
    syncer.reconcile(Scope::Everything).unwrap();
    assert!(syncer.quarantined().contains_key(&id("b")));
    // The element was written before the rest was refused, and stays.
    let link = |syncer: &mut SharedSyncer| syncer.writer().objects[&Key::Link];
    assert_eq!(link(&mut syncer), Number(2));
    assert!(syncer.writer().objects.contains_key(&Key::Element(2)));
    syncer.writer().refused = None;
    syncer.release_refused();
    syncer.sync().unwrap();
    assert_eq!(link(&mut syncer), Number(2));
    assert_in_sync(&mut syncer);
}

/// An attempt whose answer was lost may have written all of it, before another one was refused.
#[test]
fn what_the_kernel_has_of_a_refused_service_stays() {
    let mut syncer = node(Memory::default());
    for (name, endpoints) in [A, B] {
        syncer.apply(service(name));
        syncer.apply(slice(name, endpoints));
    }
    syncer.writer().refused = Some(Key::Own(id("b")));
    syncer.reconcile(Scope::Everything).unwrap();
    assert!(syncer.quarantined().contains_key(&id("b")));
    let all = synced(&[A, B]).writer().objects.clone();
    syncer.writer().objects = all.clone();
    syncer.reconcile(Scope::Everything).unwrap();
    assert_eq!(syncer.writer().objects, all);
    assert!(syncer.quarantined().contains_key(&id("b")));
}

#[test]
fn a_start_on_a_full_kernel_writes_nothing() {
    let told = [A, B].map(|(name, endpoints)| [service(name), slice(name, endpoints)]);
    let mut syncer = restarted(synced(&[A, B]), &told.concat());
    assert!(syncer.reconcile(Scope::Everything).unwrap().is_empty());
    assert_eq!(syncer.writer().commits, [[]; 0]);
    assert_in_sync(&mut syncer);
    // Taken over is as good as written.
    syncer.apply(Event::ServiceDeleted(id("b")));
    syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
}

#[test]
fn what_somebody_took_away_is_back_for_all() {
    let mut syncer = synced(&[A, B]);
    syncer.writer().objects.remove(&Key::Element(1));
    let scope = Scope::Pieces([Piece::Elements].into());
    syncer.reconcile(scope).unwrap();
    assert_eq!(syncer.writer().commits.concat(), [Key::Element(1)]);
    assert_in_sync(&mut syncer);
    syncer.apply(Event::ServiceDeleted(id("a")));
    syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
}

#[test]
fn a_refused_service_takes_nothing_from_another() {
    let mut syncer = synced(&[A, B]);
    syncer.writer().refused = Some(Key::Own(id("b")));
    syncer.apply(slice("b", &[]));
    syncer.apply(Event::ServiceDeleted(id("a")));
    syncer.sync().unwrap();
    assert!(syncer.quarantined().contains_key(&id("b")));
    // What it had is still there.
    for element in [1, 2] {
        let kept = &syncer.writer().objects;
        assert!(kept.contains_key(&Key::Element(element)), "{kept:?}");
    }
    syncer.writer().refused = None;
    syncer.release_refused();
    syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
}

#[test]
fn what_an_operator_spares_stays() {
    let mut kernel = Memory::default();
    for element in [1, 2] {
        kernel.objects.insert(Key::Element(element), Number(0));
    }
    let mut syncer = Syncer::new(
        Tracker::new(node(Memory::default()).tracker().config().clone()),
        Shared { excluded: Some(1) },
        kernel,
    );
    syncer.reconcile(Scope::Everything).unwrap();
    let left: Vec<_> = syncer.writer().objects.keys().cloned().collect();
    assert_eq!(left, [Key::Set, Key::Element(1), Key::Link]);
    syncer.remove_everything().unwrap();
    let left: Vec<_> = syncer.writer().objects.keys().cloned().collect();
    assert_eq!(left, [Key::Element(1)]);
}

#[test]
fn objections_are_told_when_they_change() {
    let mut syncer = synced(&[A, B]);
    assert!(syncer.ledger().take_objections().is_empty());
    let many = ["10.244.0.5", "10.244.0.6", "10.244.0.7"];
    syncer.apply(slice("a", &many));
    syncer.sync().unwrap();
    let told = syncer.ledger().take_objections();
    assert_eq!(
        told,
        [(id("a"), vec!["too many endpoints".to_owned()])].into()
    );
    assert_eq!(syncer.ledger().totals().objected, 1);
    syncer.reconcile(Scope::Everything).unwrap();
    assert!(syncer.ledger().take_objections().is_empty());
    syncer.apply(Event::ServiceDeleted(id("a")));
    syncer.sync().unwrap();
    assert_eq!(
        syncer.ledger().take_objections(),
        [(id("a"), vec![])].into()
    );
    assert_eq!(syncer.ledger().totals().objected, 0);
}

/// What happens besides events.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    LoseAnswer(bool),
    TakeAway(u8),
    Add(u8),
    Refuse(usize),
    Restart,
}

fn troubled(path: &Path, troubles: &[Option<Trouble>]) -> Result<(), TestCaseError> {
    let mut syncer = node(Memory::default());
    syncer.reconcile(Scope::Everything).unwrap();
    let mut told = Vec::new();
    let mut troubles = troubles.iter().cycle();
    for (event, look) in &path.steps {
        told.push(event.clone());
        syncer.apply(event.clone());
        if !look {
            continue;
        }
        let elements = || Scope::Pieces([Piece::Elements].into());
        match troubles.next().copied().flatten() {
            Some(Trouble::LoseAnswer(applied)) => syncer.writer().lost = Some(applied),
            Some(Trouble::TakeAway(element)) => {
                syncer.writer().objects.remove(&Key::Element(element));
                syncer.reconcile(elements()).unwrap();
            }
            Some(Trouble::Add(element)) => {
                let objects = &mut syncer.writer().objects;
                objects.insert(Key::Element(element), Number(0));
                syncer.reconcile(elements()).unwrap();
            }
            Some(Trouble::Refuse(at)) => {
                let services = syncer.tracker().services();
                let victim = services.get(at).cloned().map(Key::Own);
                syncer.writer().refused = victim;
                syncer.sync().unwrap();
                syncer.writer().refused = None;
                syncer.release_refused();
            }
            Some(Trouble::Restart) => {
                syncer = restarted(syncer, &told);
                syncer.reconcile(Scope::Everything).unwrap();
            }
            None => {}
        }
        syncer.sync().unwrap();
        prop_assert_eq!(&syncer.writer().objects.clone(), &wanted(&syncer));
    }
    syncer.writer().lost = None;
    syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
    // Nothing is left to do, whoever asks.
    syncer.writer().commits.clear();
    syncer.reconcile(Scope::Everything).unwrap();
    let mut syncer = restarted(syncer, &told);
    syncer.reconcile(Scope::Everything).unwrap();
    prop_assert!(syncer.writer().commits.is_empty());
    Ok(())
}

fn trouble() -> impl Strategy<Value = Option<Trouble>> {
    let any = prop_oneof![
        any::<bool>().prop_map(Trouble::LoseAnswer),
        (0..ELEMENTS).prop_map(Trouble::TakeAway),
        (0..ELEMENTS).prop_map(Trouble::Add),
        (0..4_usize).prop_map(Trouble::Refuse),
        Just(Trouble::Restart),
    ];
    prop::option::of(any)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_kernel_has_what_the_services_want_together(
        path in path(),
        troubles in prop::collection::vec(trouble(), 1..6),
    ) {
        troubled(&path, &troubles)?;
    }
}
