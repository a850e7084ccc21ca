//! What is noted about Services once they are written.

use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_dataplane::netfilter::RuleCounts;
use viprule_dataplane::{CommonSettings, Dataplane as _, Scope};
use viprule_service::model::{CreationTime, Event, ServiceType};
use viprule_sync::NoLocal;
use viprule_sync::ServiceCheck;
use viprule_testkit::fake::Blame;

use crate::world::{FakeSyncer, NAT, balancing_chain, id, service, slice, synced, wanted};

fn noted(syncer: &mut FakeSyncer) -> RuleCounts {
    syncer.ledger().totals().counts
}

fn counted(syncer: &FakeSyncer) -> RuleCounts {
    let mut counts = RuleCounts::default();
    for (key, object) in &wanted(syncer) {
        counts += Iptables::counts(key, object);
    }
    counts
}

fn local_load_balancer(name: &str) -> Event {
    let Event::ServiceApplied(mut service) = service(name) else {
        unreachable!("it is a Service");
    };
    service.kind = ServiceType::LoadBalancer;
    service.external_policy_local = true;
    service.health_check_node_port = 32_000;
    service.created = CreationTime::at(1);
    Event::ServiceApplied(service)
}

#[test]
fn rules_are_counted_as_they_come_and_go() {
    let mut syncer = synced();
    assert_eq!(noted(&mut syncer), counted(&syncer));
    assert_ne!(syncer.ledger().take_written(), RuleCounts::default());
    syncer.apply(slice("a", &["10.244.0.5"]));
    syncer.apply(Event::ServiceDeleted(id("b")));
    syncer.sync().unwrap();
    assert_eq!(noted(&mut syncer), counted(&syncer));
    // Two rules of the endpoint's chain stay; the Service's chain has one jump now.
    assert_eq!(syncer.ledger().take_written().nat, [1, 0]);
    syncer.reconcile(Scope::Everything).unwrap();
    assert_eq!(syncer.ledger().take_written(), RuleCounts::default());
    assert_eq!(noted(&mut syncer), counted(&syncer));
}

#[test]
fn health_checks_are_told_when_they_change() {
    let mut syncer = synced();
    assert!(syncer.ledger().take_checks().is_empty());
    syncer.apply(local_load_balancer("a"));
    syncer.sync().unwrap();
    let check = ServiceCheck {
        created: CreationTime::at(1),
        port: 32_000,
        local_endpoints: [Some(0), None],
    };
    let told = syncer.ledger().take_checks();
    assert_eq!(told, [(id("a"), Some(check))].into());
    // The endpoints are none of this node's.
    let no_local = NoLocal {
        internal: [0, 0],
        external: [1, 0],
    };
    assert_eq!(syncer.ledger().totals().no_local, no_local);
    syncer.apply(slice("a", &["10.244.0.7"]));
    syncer.sync().unwrap();
    assert!(syncer.ledger().take_checks().is_empty());
    syncer.apply(Event::ServiceDeleted(id("a")));
    syncer.sync().unwrap();
    let told = syncer.ledger().take_checks();
    assert_eq!(told, [(id("a"), None)].into());
    assert_eq!(syncer.ledger().totals().no_local, NoLocal::default());
}

#[test]
fn ipvs_mode_counts_services_where_others_count_their_ports() {
    for (by_service, expected) in [(false, 2), (true, 1)] {
        let mut syncer = synced();
        if by_service {
            syncer.ledger().count_services();
        }
        let Event::ServiceApplied(mut service) = local_load_balancer("a") else {
            unreachable!("it is a Service");
        };
        let mut second = service.ports[0].clone();
        (second.port, second.node_port) = (81, 0);
        service.ports = [service.ports[0].clone(), second].into();
        syncer.apply(Event::ServiceApplied(service));
        syncer.sync().unwrap();
        let no_local = syncer.ledger().totals().no_local;
        assert_eq!(no_local.external, [expected, 0], "{by_service}");
        syncer.apply(Event::ServiceDeleted(id("a")));
        syncer.sync().unwrap();
        assert_eq!(syncer.ledger().totals().no_local, NoLocal::default());
    }
}

/// A foreign rule leads to its chain; the rest of it is removed.
#[test]
fn a_service_whose_chain_is_held_is_gone_all_the_same() {
    for blame in [Blame::Told, Blame::Untold] {
        let mut syncer = synced();
        syncer.apply(local_load_balancer("b"));
        syncer.sync().unwrap();
        syncer.ledger().take_checks();
        let chain = balancing_chain(&syncer, "b");
        let held = chain.clone();
        syncer.writer().refuse(blame, move |request| {
            request.deletes && request.key.chain_name() == held
        });
        syncer.apply(Event::ServiceDeleted(id("b")));
        syncer.apply(slice("d", &["10.244.2.9"]));
        let report = syncer.sync().unwrap();
        // The chain, and its endpoints' chains that it leads to.
        assert_eq!(report.refused.len(), 3, "{blame:?}: {:?}", report.refused);
        assert!(syncer.writer().has(NAT, &chain), "it was refused");
        assert!(syncer.quarantined().is_empty(), "{blame:?}");
        let told = syncer.ledger().take_checks();
        assert_eq!(told, [(id("b"), None)].into(), "{blame:?}");
        assert_eq!(syncer.ledger().totals().no_local, NoLocal::default());
        assert_eq!(noted(&mut syncer), counted(&syncer), "{blame:?}");
    }
}

#[test]
fn new_settings_write_what_they_change() {
    let mut syncer = synced();
    let plan = syncer.tracker().config().clone();
    syncer.configure(plan.clone(), Settings::default());
    assert!(syncer.sync().unwrap().is_empty());
    let settings = Settings {
        common: CommonSettings {
            masquerade_all: true,
            ..CommonSettings::default()
        },
        ..Settings::default()
    };
    syncer.configure(plan.clone(), settings);
    let report = syncer.sync().unwrap();
    assert_eq!((report.created, report.replaced, report.removed), (0, 5, 0));
    crate::world::assert_in_sync(&mut syncer);
    let settings = Settings {
        common: CommonSettings {
            masquerade_all: true,
            ..CommonSettings::default()
        },
        drop_invalid: false,
        ..Settings::default()
    };
    syncer.configure(plan, settings);
    let report = syncer.sync().unwrap();
    let shares: Vec<&str> = report.touched.iter().map(|it| it.share.as_str()).collect();
    assert_eq!(shares, ["base"]);
    crate::world::assert_in_sync(&mut syncer);
}
