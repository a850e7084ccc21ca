//! Services a, b, c … in namespace `shop`, and a node that syncs them into a kernel in memory.

use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_dataplane::netfilter::{Desired, Key, Kind, Table};
use viprule_dataplane::{Dataplane as _, Scope};
use viprule_service::model::{Event, Family};
use viprule_service::plan::{Budgets, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_sync::{Syncer, desired};
use viprule_testkit::fake::Kernel;
pub(crate) use viprule_testkit::objects::id;
use viprule_testkit::objects::{self, READY, endpoint, ip};
use viprule_testkit::strategy::NODE;

pub(crate) type FakeSyncer = Syncer<Iptables, Kernel>;

pub(crate) const NAT: Table = Table {
    family: nfnetlink::Family::Ipv4,
    kind: Kind::Nat,
};
pub(crate) const FILTER: Table = Table {
    family: nfnetlink::Family::Ipv4,
    kind: Kind::Filter,
};

/// A node with these settings, that has written nothing yet.
pub(crate) fn node(settings: Settings, kernel: Kernel) -> FakeSyncer {
    let tracker = Tracker::new(PlanConfig {
        node_name: NODE.to_owned(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
    });
    let dataplane = Iptables::new(settings, tracker.facts());
    Syncer::new(tracker, dataplane, kernel)
}

/// A node that knows Services a to e with two endpoints each, and has written nothing yet.
pub(crate) fn fresh(kernel: Kernel) -> FakeSyncer {
    let mut syncer = node(Settings::default(), kernel);
    for name in ["a", "b", "c", "d", "e"] {
        syncer.apply(service(name));
        syncer.apply(slice(name, &["10.244.0.5", "10.244.1.7"]));
    }
    syncer
}

/// The same node in sync.
pub(crate) fn synced() -> FakeSyncer {
    let mut syncer = fresh(Kernel::new());
    syncer.reconcile(Scope::Everything).unwrap();
    syncer.writer().forget();
    syncer
}

/// The agent ends; another one starts in front of the same kernel.
pub(crate) fn restarted(mut syncer: FakeSyncer) -> FakeSyncer {
    fresh(std::mem::take(syncer.writer()))
}

/// Everything that the node wants.
pub(crate) fn wanted(syncer: &FakeSyncer) -> Desired {
    desired(syncer.dataplane(), syncer.tracker())
}

/// What one Service wants.
pub(crate) fn fragment(syncer: &FakeSyncer, name: &str) -> Desired {
    let plan = syncer.tracker().plan(&id(name)).unwrap();
    syncer.dataplane().service(&plan)
}

/// Fails unless the kernel has exactly what the node wants, the node port rule of nat
/// `KUBE-SERVICES` behind all others.
#[track_caller]
pub(crate) fn assert_in_sync(syncer: &mut FakeSyncer) {
    let wanted = wanted(syncer);
    assert!(!wanted.is_empty());
    assert_same(&syncer.writer().state(), &wanted);
    let rules = syncer.writer().rules(NAT, "KUBE-SERVICES");
    let last = rules
        .iter()
        .position(|rule| rule.contains("must be the last rule"));
    assert_eq!(last, Some(rules.len() - 1), "{rules:#?}");
}

/// Fails with the keys that differ.
#[track_caller]
pub(crate) fn assert_same(found: &Desired, wanted: &Desired) {
    let diff = viprule_dataplane::diff(found, wanted);
    let missing: Vec<_> = diff.writes.iter().map(|it| describe(it.key)).collect();
    let surplus: Vec<_> = diff.deletes.iter().map(|(key, _)| describe(key)).collect();
    assert!(
        diff.is_empty(),
        "to write {missing:#?}\nto delete {surplus:#?}"
    );
}

fn describe(key: &Key) -> String {
    format!("{key} {key:?}")
}

/// A Service with one TCP port, an address that its name tells, and a node port.
pub(crate) fn service(name: &str) -> Event {
    let number = name
        .bytes()
        .fold(0_u16, |sum, byte| sum.wrapping_mul(31) + u16::from(byte));
    let [high, low] = number.to_be_bytes();
    let mut service = objects::service(name, &[[10, 1, high, low].into()]);
    service.ports[0].node_port = 30_000 + number % 2000;
    Event::ServiceApplied(service)
}

/// The chain in which a Service chooses among its endpoints.
pub(crate) fn balancing_chain(syncer: &FakeSyncer, name: &str) -> String {
    let mut names = fragment(syncer, name)
        .into_iter()
        .map(|(key, _)| key.chain_name());
    names.find(|name| name.starts_with("KUBE-SVC-")).unwrap()
}

/// Its endpoints, on port 8080.
pub(crate) fn slice(name: &str, endpoints: &[&str]) -> Event {
    let endpoints = endpoints.iter();
    let endpoints = endpoints.map(|address| endpoint(ip(address), None, READY));
    let slice = objects::slice(&id(name), Family::Ipv4, endpoints.collect());
    Event::SliceApplied(slice)
}
