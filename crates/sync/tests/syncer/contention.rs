//! Other programs at the same rules.

use std::collections::BTreeSet;

use viprule_dataplane::Scope;
use viprule_dataplane::netfilter::{BaseChain, Piece};
use viprule_dataplane::ownership::Chain;
use viprule_sync::SyncError;
use viprule_writer::Writer as _;

use crate::world::{FILTER, FakeSyncer, NAT, assert_in_sync, fragment, slice, synced};

/// What the agent does when it is told of foreign changes.
fn repair(syncer: &mut FakeSyncer) -> viprule_sync::Report {
    let changes = syncer.writer().foreign_changes().unwrap();
    assert_eq!(changes.by, ["somebody (7)"]);
    syncer.reconcile(changes.scope).unwrap()
}

fn shares(report: &viprule_sync::Report) -> Vec<&str> {
    report.touched.iter().map(|it| it.share.as_str()).collect()
}

/// The chain that balances Service b.
fn chain_of_b(syncer: &FakeSyncer) -> String {
    let names = fragment(syncer, "b");
    let names = names.iter().map(|(key, _)| key.chain_name());
    names
        .into_iter()
        .find(|name| name.starts_with("KUBE-SVC-"))
        .unwrap()
}

#[test]
fn a_flushed_chain_is_filled_again() {
    let mut syncer = synced();
    let chain = chain_of_b(&syncer);
    syncer.writer().foreign_flush(NAT, &chain);
    let report = repair(&mut syncer);
    assert_eq!(shares(&report), ["service shop/b"]);
    assert_eq!(report.replaced, 1);
    assert_in_sync(&mut syncer);
}

#[test]
fn a_foreign_rule_in_a_chain_of_ours_goes() {
    let mut syncer = synced();
    let chain = chain_of_b(&syncer);
    let whole = [
        (NAT, chain.as_str()),
        (NAT, "KUBE-MARK-MASQ"),
        (FILTER, "KUBE-FORWARD"),
    ];
    let shared = [
        (NAT, "KUBE-SERVICES"),
        (NAT, "KUBE-NODEPORTS"),
        (FILTER, "KUBE-SERVICES"),
    ];
    for (table, chain) in whole.into_iter().chain(shared) {
        syncer
            .writer()
            .foreign_insert(table, chain, 0, "-s 192.0.2.1/32 -j ACCEPT");
        repair(&mut syncer);
        assert_in_sync(&mut syncer);
    }
}

/// KUBE-FIREWALL is kubelet's as well, and other chains are none of ours.
#[test]
fn foreign_rules_elsewhere_stay() {
    let mut syncer = synced();
    let rule = "-s 192.0.2.1/32 -j ACCEPT";
    let places = [
        (FILTER, "KUBE-FIREWALL"),
        (FILTER, "INPUT"),
        (NAT, "CNI-HOSTPORT"),
    ];
    for (table, chain) in places {
        syncer.writer().foreign_insert(table, chain, 0, rule);
    }
    syncer.reconcile(Scope::Everything).unwrap();
    for (table, chain) in places {
        assert_eq!(
            syncer.writer().rules(table, chain)[0],
            rule,
            "{table} {chain}"
        );
    }
    assert_eq!(syncer.writer().transactions(), 0);
}

#[test]
fn a_deleted_jump_comes_back_to_its_place_among_ours() {
    let mut syncer = synced();
    let before = syncer.writer().rules(FILTER, "FORWARD");
    for lost in [
        "forwarding rules",
        "load balancer firewall",
        "externally-visible",
    ] {
        syncer.writer().foreign_delete(FILTER, "FORWARD", lost);
        let report = repair(&mut syncer);
        assert_eq!((shares(&report), report.created), (vec!["entry points"], 1));
        assert_eq!(syncer.writer().rules(FILTER, "FORWARD"), before);
    }
}

#[test]
fn a_jump_comes_back_next_to_ours_and_not_to_foreign_rules() {
    let mut syncer = synced();
    let foreign = "-s 192.0.2.1/32 -j ACCEPT";
    for at in [4, 2, 0] {
        syncer
            .writer()
            .foreign_insert(FILTER, "FORWARD", at, foreign);
    }
    repair(&mut syncer);
    let before = syncer.writer().rules(FILTER, "FORWARD");
    syncer
        .writer()
        .foreign_delete(FILTER, "FORWARD", "forwarding rules");
    repair(&mut syncer);
    let after = syncer.writer().rules(FILTER, "FORWARD");
    let ours = |rules: &[String]| -> Vec<String> {
        rules
            .iter()
            .filter(|rule| *rule != foreign)
            .cloned()
            .collect()
    };
    assert_eq!(ours(&after), ours(&before));
    assert_eq!(
        (&after[0], &after[6]),
        (&before[0], &before[6]),
        "{after:#?}"
    );
}

#[test]
fn a_rule_behind_the_node_ports_rule_makes_that_move() {
    let mut syncer = synced();
    let rules = syncer.writer().rules(NAT, "KUBE-SERVICES");
    let moved = rules
        .iter()
        .find(|rule| rule.contains("shop/d:http"))
        .unwrap();
    syncer
        .writer()
        .foreign_delete(NAT, "KUBE-SERVICES", "shop/d:http");
    syncer
        .writer()
        .foreign_insert(NAT, "KUBE-SERVICES", rules.len() - 1, moved);
    repair(&mut syncer);
    assert_in_sync(&mut syncer);
}

#[test]
fn copies_of_our_rules_go() {
    let mut syncer = synced();
    let rule = syncer.writer().rules(NAT, "KUBE-SERVICES").remove(0);
    let jump = syncer.writer().rules(NAT, "PREROUTING").remove(0);
    for _ in 0..3 {
        syncer
            .writer()
            .foreign_insert(NAT, "KUBE-SERVICES", 0, &rule);
        syncer.writer().foreign_insert(NAT, "PREROUTING", 0, &jump);
    }
    let report = repair(&mut syncer);
    assert_eq!((report.created, report.replaced, report.removed), (0, 0, 6));
    assert_in_sync(&mut syncer);
    assert_eq!(syncer.writer().rules(NAT, "PREROUTING"), [jump]);
}

#[test]
fn a_removed_table_comes_back() {
    let mut syncer = synced();
    syncer.writer().foreign_delete_table(NAT);
    repair(&mut syncer);
    assert_in_sync(&mut syncer);
}

#[test]
fn a_change_meets_foreign_ones_that_nobody_told_yet() {
    let mut syncer = synced();
    let chain = chain_of_b(&syncer);
    syncer.writer().foreign_flush(NAT, &chain);
    syncer.writer().foreign_flush(NAT, "KUBE-POSTROUTING");
    syncer.apply(slice("d", &["10.244.3.3"]));
    let report = syncer.sync().unwrap();
    assert_eq!(report.transactions, 1, "change and repair are one");
    assert_eq!(
        shares(&report),
        ["base", "service shop/b", "service shop/d"]
    );
    assert_in_sync(&mut syncer);
}

#[test]
fn somebody_who_interferes_a_few_times_is_outlived() {
    let parts = BTreeSet::from([
        Piece::Owned(NAT, Chain::Services),
        Piece::Base(NAT, BaseChain::Output),
    ]);
    let mut syncer = synced();
    syncer.writer().contend(Scope::Pieces(parts), 8);
    syncer.apply(slice("d", &["10.244.3.3"]));
    syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
}

#[test]
fn somebody_who_never_stops_is_an_error_that_leaves_nothing_half_done() {
    let mut syncer = synced();
    let before = syncer.writer().state();
    syncer.writer().contend(Scope::Everything, usize::MAX);
    syncer.apply(slice("d", &["10.244.3.3"]));
    let error = syncer.sync().unwrap_err();
    assert!(matches!(error, SyncError::Contended), "{error}");
    assert!(
        error.to_string().contains("second service proxy"),
        "{error}"
    );
    crate::world::assert_same(&syncer.writer().state(), &before);

    syncer.writer().contend(Scope::Everything, 0);
    syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
}
