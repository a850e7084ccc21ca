//! What belongs to nobody any more.

use viprule_dataplane::{ObjectKey as _, Scope};
use viprule_service::model::Event;
use viprule_testkit::fake::{Blame, Kernel};

use crate::world::{
    FILTER, FakeSyncer, NAT, assert_in_sync, balancing_chain, id, restarted, service, slice, synced,
};

/// A node that starts in front of a kernel with a Service that is gone by now.
fn with_leftovers() -> FakeSyncer {
    let mut syncer = synced();
    syncer.apply(service("gone"));
    syncer.apply(slice("gone", &["10.244.0.6", "10.244.0.7"]));
    syncer.sync().unwrap();
    let mut syncer = restarted(syncer);
    syncer.writer().forget();
    syncer
}

#[test]
fn leftovers_of_an_earlier_run_go() {
    let mut syncer = with_leftovers();
    let report = syncer.reconcile(Scope::Everything).unwrap();
    assert_in_sync(&mut syncer);
    let shares: Vec<_> = report.touched.iter().map(|it| it.share.as_str()).collect();
    assert_eq!(shares, ["leftovers"]);
    // Three rules in shared chains, and the chains of the Service, its node port and endpoints.
    assert_eq!((report.removed, report.transactions), (7, 1));
}

#[test]
fn a_leftover_that_is_stuck_holds_up_nothing_else() {
    let mut syncer = synced();
    syncer.apply(service("gone"));
    syncer.apply(slice("gone", &["10.244.0.6", "10.244.0.7"]));
    syncer.sync().unwrap();
    let chain = balancing_chain(&syncer, "gone");
    let mut syncer = restarted(syncer);
    syncer
        .writer()
        .foreign_insert(NAT, "CNI-OTHER", 0, &format!("-j {chain}"));
    syncer.apply(slice("b", &["10.244.2.9"]));
    let report = syncer.reconcile(Scope::Everything).unwrap();
    // The chain that is held, and the two endpoints' chains that it leads to.
    assert_eq!(report.refused.len(), 3, "{:?}", report.refused);
    assert!(report.refused.iter().all(|line| line.ends_with("EBUSY")));
    assert!(report.refused.iter().any(|line| line.contains(&chain)));
    assert_eq!(syncer.writer().rules(NAT, &chain).len(), 2);
    assert!(syncer.quarantined().is_empty(), "no Service is to blame");

    // They wait without being asked for again; the rest is right.
    syncer.writer().forget();
    syncer.apply(slice("b", &["10.244.2.10"]));
    syncer.sync().unwrap();
    assert_eq!(syncer.writer().transactions(), 1);
    let rules = syncer.writer().rules(NAT, "KUBE-SERVICES");
    assert!(
        !rules.iter().any(|rule| rule.contains("shop/gone")),
        "{rules:#?}"
    );

    // Nobody tells us when a foreign chain changes: the timer asks again.
    syncer.writer().foreign_flush(NAT, "CNI-OTHER");
    assert!(syncer.has_refused());
    syncer.release_refused();
    let report = syncer.sync().unwrap();
    assert_eq!(report.refused, [] as [&str; 0]);
    assert_in_sync(&mut syncer);
}

#[test]
fn a_service_goes_even_if_somebody_holds_a_chain_of_it() {
    let mut syncer = synced();
    let chain = balancing_chain(&syncer, "b");
    syncer
        .writer()
        .foreign_insert(NAT, "CNI-OTHER", 0, &format!("-j {chain}"));
    syncer.apply(Event::ServiceDeleted(id("b")));
    syncer.apply(slice("d", &["10.244.2.9"]));
    let report = syncer.sync().unwrap();
    assert!(
        report.refused.iter().any(|line| line.contains(&chain)),
        "{:?}",
        report.refused
    );
    // Nothing leads there any more but the foreign rule.
    for (table, shared) in [(NAT, "KUBE-SERVICES"), (NAT, "KUBE-NODEPORTS")] {
        let rules = syncer.writer().rules(table, shared);
        assert!(
            !rules.iter().any(|rule| rule.contains("shop/b:")),
            "{rules:#?}"
        );
    }
    syncer.writer().foreign_flush(NAT, "CNI-OTHER");
    syncer.reconcile(Scope::Everything).unwrap();
    assert_in_sync(&mut syncer);
}

#[test]
fn a_service_that_comes_back_takes_over_what_was_stuck() {
    let mut syncer = synced();
    let chain = balancing_chain(&syncer, "b");
    syncer
        .writer()
        .foreign_insert(NAT, "CNI-OTHER", 0, &format!("-j {chain}"));
    syncer.apply(Event::ServiceDeleted(id("b")));
    syncer.sync().unwrap();
    syncer.apply(service("b"));
    syncer.sync().unwrap();
    assert_in_sync(&mut syncer);
    assert!(!syncer.has_refused(), "{:?}", syncer.quarantined());
}

#[test]
fn everything_of_ours_goes_and_nothing_else() {
    let mut syncer = synced();
    let foreign = "-s 192.0.2.1/32 -j ACCEPT";
    let kept = [
        (FILTER, "KUBE-FIREWALL"),
        (FILTER, "INPUT"),
        (NAT, "CNI-HOSTPORT"),
    ];
    for (table, chain) in kept {
        syncer.writer().foreign_insert(table, chain, 0, foreign);
    }
    syncer.writer().forget();
    let report = syncer.remove_everything().unwrap();
    assert_eq!(
        (report.created, report.replaced, report.transactions),
        (0, 0, 1)
    );
    assert!(
        syncer
            .writer()
            .state()
            .iter()
            .all(|(key, _)| !key.is_removable())
    );
    for (table, chain) in kept {
        assert_eq!(syncer.writer().rules(table, chain)[0], foreign);
    }
    assert!(syncer.remove_everything().unwrap().is_empty());
}

#[test]
fn removal_goes_on_whatever_others_do_and_makes_nothing() {
    let troubles: [fn(&mut Kernel); 5] = [
        |kernel| kernel.contend(Scope::Everything, 3),
        |kernel| kernel.lose_the_next_answer(true),
        |kernel| kernel.lose_the_next_answer(false),
        |kernel| kernel.foreign_flush(NAT, "KUBE-POSTROUTING"),
        |kernel| kernel.foreign_delete(NAT, "KUBE-SERVICES", "shop/b"),
    ];
    for trouble in troubles {
        let mut syncer = synced();
        trouble(syncer.writer());
        let report = syncer.remove_everything().unwrap();
        assert_eq!((report.created, report.replaced), (0, 0));
        assert!(
            syncer
                .writer()
                .state()
                .iter()
                .all(|(key, _)| !key.is_removable())
        );
    }
}

#[test]
fn a_chain_that_somebody_else_leads_to_is_left_empty_by_removal() {
    let mut syncer = synced();
    let chain = balancing_chain(&syncer, "b");
    for held in [chain.as_str(), "KUBE-SERVICES"] {
        syncer
            .writer()
            .foreign_insert(NAT, "CNI-OTHER", 0, &format!("-j {held}"));
    }
    let report = syncer.remove_everything().unwrap();
    let [first, second] = &report.refused[..] else {
        panic!("{:?}", report.refused);
    };
    assert!(first.contains(&chain) && second.contains("KUBE-SERVICES"));
    let left: Vec<String> = syncer
        .writer()
        .state()
        .into_iter()
        .filter(|(key, _)| key.is_removable())
        .map(|(key, _)| key.chain_name())
        .collect();
    assert_eq!(left, [chain.as_str(), "KUBE-SERVICES"]);
    for held in [&chain, "KUBE-SERVICES"] {
        assert_eq!(syncer.writer().rules(NAT, held), [] as [&str; 0]);
    }
}

#[test]
fn nothing_is_written_after_removal() {
    let mut syncer = synced();
    syncer.remove_everything().unwrap();
    syncer.apply(slice("d", &["10.244.2.9"]));
    syncer.sync().unwrap();
    syncer.reconcile(Scope::Everything).unwrap();
    assert!(
        syncer
            .writer()
            .state()
            .iter()
            .all(|(key, _)| !key.is_removable())
    );
}

#[test]
fn removal_leaves_what_somebody_holds_and_says_so() {
    for blame in [Blame::Told, Blame::Untold] {
        let mut syncer = synced();
        let chain = balancing_chain(&syncer, "b");
        let held = chain.clone();
        syncer.writer().refuse(blame, move |request| {
            request.deletes && request.key.chain_name() == held
        });
        let report = syncer.remove_everything().unwrap();
        assert!(
            report.refused.iter().any(|line| line.contains(&chain)),
            "{:?}",
            report.refused
        );
        assert!(syncer.writer().has(NAT, &chain));
        assert!(!syncer.writer().has(NAT, "KUBE-SERVICES"), "{blame:?}");
    }
}
