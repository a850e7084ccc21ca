//! The link, and what others do to it.

use std::collections::BTreeSet;

use viprule_dataplane::ipvs::{Desired, Key, Piece};
use viprule_dataplane::ownership::leftovers::IPVS_LINK;
use viprule_dataplane::{Fingerprint, Scope, State, diff};
use viprule_testkit::Namespace;
use viprule_writer::ipvs::IpvsWriter;
use viprule_writer::{ApplyError, Writer as _};

use crate::common::{Node, Service, desired, require_ipvs, text};

fn service() -> Vec<Service> {
    vec![
        Service::tcp("10.1.0.20:80", &["10.244.0.5:8080"]),
        Service::tcp("[fd00:10:1::80]:80", &["[fd00:10:244::5]:8080"]),
    ]
}

fn touched(node: &mut Node<'_>) -> bool {
    let changes = node.run(IpvsWriter::foreign_changes).unwrap();
    match changes.scope {
        Scope::Everything => true,
        Scope::Pieces(parts) => parts.contains(&Piece::Link),
    }
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_link_of_another_kind_is_refused_and_stays() {
    require_ipvs();
    let namespace = Namespace::new("kind").unwrap();
    text(&namespace, "ip link add kube-ipvs0 type bridge");
    let mut node = Node::start(&namespace);
    let error = node.try_sync(&desired(&service())).unwrap_err();
    let ApplyError::Refused { refusals, partly } = error else {
        panic!("{error}");
    };
    assert!(partly);
    let reason = &refusals[0].reason;
    assert!(
        reason.contains("kube-ipvs0") && reason.contains("dummy"),
        "{reason}"
    );
    let link = text(&namespace, "ip -d addr show kube-ipvs0");
    assert!(
        link.contains("bridge") && !link.contains("10.1.0.20"),
        "{link}"
    );
    let seen = node.observe();
    assert!(seen.get(&Key::Link).is_none());
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn our_own_changes_wake_nobody_and_those_of_others_do() {
    require_ipvs();
    let namespace = Namespace::new("watch").unwrap();
    let mut node = Node::start(&namespace);
    let wanted = desired(&service());
    node.reconcile(&wanted);
    // Legacy tables are looked at again after a multiple of what a look takes: one at full tables.
    node.observe();
    assert!(!touched(&mut node));
    node.sync(&desired(&service()[..1]));
    node.sync(&wanted);
    // The kernel tells of IPv6 addresses in its own time.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!touched(&mut node));
    text(&namespace, "ip link set kube-ipvs0 up");
    text(&namespace, "ip link add br0 type bridge");
    text(&namespace, "ip addr add 10.9.9.9/32 dev br0");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!touched(&mut node), "no business of ours");

    for line in [
        "ip addr del 10.1.0.20/32 dev kube-ipvs0",
        "ip addr add 10.1.0.99/32 dev kube-ipvs0",
        "ip link del kube-ipvs0",
    ] {
        text(&namespace, line);
        assert!(touched(&mut node), "{line}");
        let scope = Scope::Pieces(BTreeSet::from([Piece::Link]));
        let seen: viprule_dataplane::ipvs::Desired =
            node.run(|writer| writer.observe(&scope)).unwrap();
        assert!(
            seen.iter()
                .all(|(key, _)| matches!(key, Key::Link | Key::Address(_)))
        );
        assert!(!touched(&mut node));
        node.reconcile(&wanted);
        assert_eq!(node.observe(), wanted);
        assert!(!touched(&mut node));
    }
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_link_that_vanished_is_made_again_for_an_address() {
    require_ipvs();
    let namespace = Namespace::new("vanished").unwrap();
    let mut node = Node::start(&namespace);
    node.reconcile(&desired(&service()[..1]));
    text(&namespace, "ip link del kube-ipvs0");
    node.sync(&desired(&service()));
    assert!(text(&namespace, "ip addr show kube-ipvs0").contains("fd00:10:1::80/128"));
    assert!(touched(&mut node), "the other address is gone");
    node.reconcile(&desired(&service()));
    assert_eq!(node.observe(), desired(&service()));
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn other_addresses_on_the_link_are_left_alone() {
    require_ipvs();
    let namespace = Namespace::new("others").unwrap();
    let mut node = Node::start(&namespace);
    node.reconcile(&desired(&service()));
    text(&namespace, "ip addr add 10.7.0.1/24 dev kube-ipvs0");
    text(&namespace, "ip link set kube-ipvs0 up");
    node.reconcile(&desired(&service()[..1]));
    assert_eq!(node.observe(), desired(&service()[..1]));
    let addresses = text(&namespace, "ip addr show kube-ipvs0");
    assert!(
        addresses.contains("10.7.0.1/24") && addresses.contains("fe80::"),
        "{addresses}"
    );
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn many_addresses_at_once_wake_nobody_either() {
    require_ipvs();
    let namespace = Namespace::new("many").unwrap();
    let mut node = Node::start(&namespace);
    // More than are sent at once.
    let many = (0..3000).map(|n| Service::tcp(&format!("10.2.{}.{}:80", n / 256, n % 256), &[]));
    let six = (1..300).map(|n| Service::tcp(&format!("[fd00:10:1::{n}]:80"), &[]));
    let wanted = desired(&many.chain(six).chain(service()).collect::<Vec<_>>());
    node.reconcile(&wanted);
    node.observe();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!touched(&mut node));
    assert_eq!(node.observe(), wanted);
    text(&namespace, "ip addr del 10.2.1.7/32 dev kube-ipvs0");
    assert!(touched(&mut node));
    node.reconcile(&wanted);
    node.sync(&desired(&service()));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!touched(&mut node));
    assert_eq!(node.observe(), desired(&service()));
}

fn chains(all: &Desired) -> State<Key, Fingerprint> {
    let all = all.fingerprints();
    all.filter(|key| matches!(key, Key::Netfilter(_)))
}

/// The chains after a commit in which no address could be written, as there is a link of this name
/// that is somebody else's.
fn chains_without_addresses(wanted: &Desired, before: &Desired) -> State<Key, Fingerprint> {
    let namespace = Namespace::new("order").unwrap();
    let mut node = Node::start(&namespace);
    let before = before.clone();
    let held = before.filter(|key| matches!(key, Key::Netfilter(_) | Key::Set(_)));
    node.reconcile(&held);
    text(&namespace, &format!("ip link add {IPVS_LINK} type bridge"));
    let (held, wanted) = (
        held.fingerprints(),
        wanted.clone().filter(|key| *key != Key::Link),
    );
    let error = node.write(&[diff(&held, &wanted)]).unwrap_err();
    assert!(error.to_string().contains(IPVS_LINK), "{error}");
    chains(&node.observe())
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn chains_come_before_addresses_where_they_take_nobodys_place() {
    require_ipvs();
    let nothing = State::default();
    let wanted = desired(&[Service::tcp("10.1.0.20:80", &["10.244.0.5:8080"])]);
    assert_eq!(chains_without_addresses(&wanted, &nothing), chains(&wanted));
    // Others may lead packets elsewhere until the addresses are there.
    let other = desired(&[Service::tcp(
        "[fd00:10:1::80]:80",
        &["[fd00:10:244::5]:8080"],
    )]);
    assert_ne!(chains(&other), chains(&wanted));
    assert_eq!(chains_without_addresses(&wanted, &other), chains(&other));
}
