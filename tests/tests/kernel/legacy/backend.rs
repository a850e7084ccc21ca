//! Which of the two a node uses, and going from one to the other.

use nfnetlink::Family;
use viprule_dataplane::Scope;
use viprule_writer::Writer as _;
use viprule_writer::backend::{Backend, Choice, HostWriter, choose};

use super::support::{blank, events, uncounted};
use crate::support::Place;

fn chosen(place: &Place, wanted: Option<Backend>) -> Choice {
    place.namespace.run(|| choose(wanted)).unwrap().unwrap()
}

/// The legacy tables that exist.
fn tables(place: &Place) -> Vec<String> {
    let read =
        |family| std::fs::read_to_string(format!("/proc/thread-self/net/{family}_tables_names"));
    let names = place
        .namespace
        .run(|| ["ip", "ip6"].map(|family| read(family).unwrap()));
    names.unwrap().concat().lines().map(str::to_owned).collect()
}

#[test]
fn a_node_without_rules_uses_nf_tables_and_gets_no_legacy_tables() {
    let place = Place::empty();
    let choice = chosen(&place, None);
    assert_eq!((choice.backend, choice.leftovers), (Backend::Nft, vec![]));
    assert_eq!(
        (choice.reason.as_str(), choice.warnings.len()),
        ("legacy tables hold no rules", 0)
    );
    assert_eq!(tables(&place), [""; 0]);
    assert_eq!(
        chosen(&place, Some(Backend::Legacy)).backend,
        Backend::Legacy
    );
    assert_eq!(tables(&place), [""; 0]);
}

#[test]
fn kubelet_s_chain_decides() {
    for hint in ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"] {
        for family in ["iptables", "ip6tables"] {
            let place = Place::empty();
            place.tool("iptables-nft -A INPUT -s 192.0.2.1 -j ACCEPT");
            place.tool(&format!("{family}-legacy -t mangle -N {hint}"));
            let choice = chosen(&place, None);
            assert_eq!(choice.backend, Backend::Legacy);
            assert_eq!(choice.reason, format!("kubelet's chain {hint} is there"));
            // In both: nf_tables, as the wrappers look there first.
            place.tool(&format!("{family}-nft -t mangle -N {hint}"));
            assert_eq!(chosen(&place, None).backend, Backend::Nft);
            assert_eq!(
                chosen(&place, Some(Backend::Legacy)).backend,
                Backend::Legacy
            );
        }
    }
}

#[test]
fn without_it_the_larger_number_of_rules_decides() {
    let place = Place::empty();
    let legacy = "iptables-legacy -A INPUT -s 192.0.2.1 -j ACCEPT";
    let nft = "iptables-nft -A INPUT -s 192.0.2.1 -j ACCEPT";
    for (line, expected) in [
        (legacy, Backend::Legacy),
        (nft, Backend::Nft),
        (legacy, Backend::Legacy),
        (nft, Backend::Nft),
        (nft, Backend::Nft),
    ] {
        place.tool(line);
        assert_eq!(chosen(&place, None).backend, expected);
    }
}

#[test]
fn what_the_other_one_holds_is_told_and_can_be_removed() {
    for backend in [Backend::Legacy, Backend::Nft] {
        let place = Place::golden();
        let events = events(&place);
        let namespace = &place.namespace;
        let open = |backend| {
            let writer = || HostWriter::open(backend, &Family::ALL).unwrap();
            blank(uncounted(), namespace.run(writer).unwrap())
        };
        // Another proxy was here and used the other one.
        let mut old = open(backend.other());
        for event in events.clone() {
            old.apply(event);
        }
        namespace
            .run(|| old.reconcile(Scope::Everything))
            .unwrap()
            .unwrap();
        let choice = chosen(&place, Some(backend.other()));
        assert_eq!(
            (choice.leftovers, choice.own),
            (vec![], Family::ALL.to_vec())
        );

        let choice = chosen(&place, Some(backend));
        assert!(
            !choice.leftovers.is_empty() && choice.own.is_empty() && choice.warnings.len() == 1,
            "{choice:?}"
        );
        let mut new = open(backend);
        assert_eq!(
            new.writer().notifications().len(),
            usize::from(backend == Backend::Nft)
        );
        for event in events {
            new.apply(event);
        }
        namespace
            .run(|| new.reconcile(Scope::Everything))
            .unwrap()
            .unwrap();
        assert!(chosen(&place, Some(backend)).warnings[0].contains("both hold"));

        // What is left is removed by the other writer, and by nobody else.
        let mut removal = open(backend.other());
        let report = namespace
            .run(|| removal.remove_everything())
            .unwrap()
            .unwrap();
        assert!(
            report.removed > 100 && report.refused.is_empty(),
            "{report:?}"
        );
        let choice = chosen(&place, Some(backend));
        assert!(
            choice.leftovers.is_empty() && choice.warnings.is_empty(),
            "{choice:?}"
        );
        let report = namespace
            .run(|| new.reconcile(Scope::Everything))
            .unwrap()
            .unwrap();
        assert!(report.is_empty(), "{report:?}");
    }
}
