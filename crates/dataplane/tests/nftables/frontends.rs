//! The elements of each kind of frontend.

use std::collections::BTreeSet;

use nfnetlink::Family;
use viprule_dataplane::nftables::{Key, Nftables};
use viprule_dataplane::{Content as _, Dataplane as _, ObjectKey as _, State};
use viprule_service::model::{Balancing, Protocol, Service, WeightKey};
use viprule_service::plan::{FlowPlace, ServicePlan};

use crate::world::{DRAINING, READY, dataplane, ip, plan, plan_with, render, service, with_plans};

const CLUSTER_IP: [&str; 6] = [
    "cluster-ips: 10.1.0.1",
    "services: 10.1.0.1:80/tcp = \"shop/web:http\"",
    "size-4: 10.1.0.1:80/tcp",
    "endpoints: 10.1.0.1:80/tcp slot 0 = 10.2.0.5:8080",
    "endpoints: 10.1.0.1:80/tcp slot 1 = 10.2.1.5:8080",
    "endpoints: 10.1.0.1:80/tcp slot 2 = 10.2.2.5:8080",
];
const HAIRPIN: &str = "hairpin: 10.2.0.5:8080/tcp";

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What there is beside the cluster IP's.
fn beside(plan: &ServicePlan) -> BTreeSet<String> {
    let mut all = render(plan);
    for text in CLUSTER_IP.iter().chain([&HAIRPIN]) {
        assert!(all.remove(*text), "{text} is not in {all:#?}");
    }
    all
}

fn everywhere(prefix: &str, frontend: &str) -> Vec<String> {
    let of = |set: &str| format!("{prefix}{set}: {frontend}");
    let slot = |(slot, to): (usize, &str)| {
        format!("{prefix}endpoints: {frontend} slot {slot} = {to}:8080")
    };
    let endpoints = ["10.2.0.5", "10.2.1.5", "10.2.2.5"];
    [of("services") + " = \"shop/web:http\"", of("size-4")]
        .into_iter()
        .chain(endpoints.into_iter().enumerate().map(slot))
        .collect()
}

#[test]
fn a_cluster_ip_has_a_row() {
    let expected = CLUSTER_IP.iter().chain([&HAIRPIN]).copied();
    let expected: Vec<&str> = expected.collect();
    assert_eq!(render(&plan(&service())), set(&expected));
}

#[test]
fn external_frontends_have_rows_of_their_own() {
    let mut web = service();
    web.external_ips = [ip("198.51.100.1")].into();
    web.load_balancer_ips = [ip("203.0.113.1")].into();
    web.ports[0].node_port = 30_080;
    let expected: BTreeSet<String> = everywhere("", "198.51.100.1:80/tcp")
        .into_iter()
        .chain(everywhere("", "203.0.113.1:80/tcp"))
        .chain(everywhere("node-", "30080/tcp (IPv4)"))
        .collect();
    assert_eq!(beside(&plan(&web)), expected);
}

#[test]
fn an_external_ip_that_is_the_cluster_ip_or_the_balancers_changes_nothing() {
    let mut web = service();
    web.external_ips = [ip("10.1.0.1")].into();
    assert!(beside(&plan(&web)).is_empty());
    web.external_ips = [ip("203.0.113.1")].into();
    web.load_balancer_ips = [ip("203.0.113.1")].into();
    let expected: BTreeSet<String> = everywhere("", "203.0.113.1:80/tcp").into_iter().collect();
    assert_eq!(beside(&plan(&web)), expected);
}

fn local_policy() -> Service {
    let mut web = service();
    web.external_policy_local = true;
    web.load_balancer_ips = [ip("203.0.113.1")].into();
    web.ports[0].node_port = 30_080;
    web
}

#[test]
fn with_the_local_policy_there_is_a_second_row_of_local_endpoints() {
    let local = |prefix: &str, frontend: &str| {
        [
            format!("{prefix}local-frontends: {frontend}"),
            format!("{prefix}local-size-1: {frontend}"),
            format!("{prefix}local-endpoints: {frontend} slot 0 = 10.2.0.5:8080"),
        ]
    };
    let expected: BTreeSet<String> = everywhere("", "203.0.113.1:80/tcp")
        .into_iter()
        .chain(everywhere("node-", "30080/tcp (IPv4)"))
        .chain(local("", "203.0.113.1:80/tcp"))
        .chain(local("node-", "30080/tcp (IPv4)"))
        .collect();
    assert_eq!(beside(&plan(&local_policy())), expected);
}

#[test]
fn without_local_endpoints_packets_from_outside_are_dropped() {
    let there = [("10.2.1.5", "there", READY)];
    let found = render(&plan_with(&local_policy(), &there));
    let of_external: Vec<&String> = found
        .iter()
        .filter(|text| text.contains("203.0.113.1") || text.contains("30080"))
        .collect();
    assert_eq!(
        of_external,
        [
            "dropped-frontends: 203.0.113.1:80/tcp",
            "endpoints: 203.0.113.1:80/tcp slot 0 = 10.2.1.5:8080",
            "local-frontends: 203.0.113.1:80/tcp",
            "node-dropped-frontends: 30080/tcp (IPv4)",
            "node-endpoints: 30080/tcp (IPv4) slot 0 = 10.2.1.5:8080",
            "node-local-frontends: 30080/tcp (IPv4)",
            "node-services: 30080/tcp (IPv4) = \"shop/web:http\"",
            "node-size-1: 30080/tcp (IPv4)",
            "services: 203.0.113.1:80/tcp = \"shop/web:http\"",
            "size-1: 203.0.113.1:80/tcp",
        ]
    );
    assert!(!found.iter().any(|text| text.starts_with("hairpin")));
}

#[test]
fn the_internal_local_policy_fills_the_row_with_local_endpoints_or_drops() {
    let mut web = service();
    web.internal_policy_local = true;
    let expected = set(&[
        CLUSTER_IP[0],
        CLUSTER_IP[1],
        "size-1: 10.1.0.1:80/tcp",
        CLUSTER_IP[3],
        HAIRPIN,
    ]);
    assert_eq!(render(&plan(&web)), expected);
    let there = [("10.2.1.5", "there", READY)];
    let expected = set(&[CLUSTER_IP[0], "dropped-frontends: 10.1.0.1:80/tcp"]);
    assert_eq!(render(&plan_with(&web, &there)), expected);
}

#[test]
fn without_endpoints_every_frontend_is_refused_and_source_ranges_hold() {
    let mut web = local_policy();
    web.source_ranges = ["192.0.2.0/24".parse().unwrap()].into();
    web.affinity_seconds = Some(10_800);
    let expected = set(&[
        "cluster-ips: 10.1.0.1",
        "rejected-frontends: 10.1.0.1:80/tcp",
        "rejected-frontends: 203.0.113.1:80/tcp",
        "restricted-frontends: 203.0.113.1:80/tcp",
        "allowed-tcp: 203.0.113.1:80/tcp from 192.0.2.0/24",
        "allowed-tcp: 203.0.113.1:80/tcp from 203.0.113.1/32",
        "node-rejected-frontends: 30080/tcp (IPv4)",
    ]);
    assert_eq!(render(&plan_with(&web, &[])), expected);
}

#[test]
fn endpoints_that_terminate_serve_where_no_other_does() {
    let draining = [("10.2.0.5", "here", DRAINING), ("10.2.1.5", "there", READY)];
    let both = render(&plan_with(&service(), &draining));
    assert!(both.contains("size-1: 10.1.0.1:80/tcp"), "{both:#?}");
    assert!(both.contains("endpoints: 10.1.0.1:80/tcp slot 0 = 10.2.1.5:8080"));
    let last = render(&plan_with(&service(), &draining[..1]));
    assert!(last.contains("endpoints: 10.1.0.1:80/tcp slot 0 = 10.2.0.5:8080"));
}

#[test]
fn sources_are_merged_and_only_balancers_addresses_are_restricted() {
    let mut web = local_policy();
    web.external_policy_local = false;
    web.external_ips = [ip("198.51.100.1")].into();
    let ranges = ["10.0.0.0/9", "10.128.0.0/9", "10.3.0.0/16", "172.16.0.0/16"];
    web.source_ranges = ranges.map(|range| range.parse().unwrap()).into();
    let found = beside(&plan(&web));
    let of_sources: Vec<&String> = found
        .iter()
        .filter(|text| text.starts_with("allowed") || text.starts_with("restricted"))
        .collect();
    assert_eq!(
        of_sources,
        [
            "allowed-tcp: 203.0.113.1:80/tcp from 10.0.0.0/8",
            "allowed-tcp: 203.0.113.1:80/tcp from 172.16.0.0/16",
            "restricted-frontends: 203.0.113.1:80/tcp",
        ]
    );
    // The node is in a range: what it sends to the address has it as its source.
    web.source_ranges = ["192.0.2.0/24".parse().unwrap()].into();
    let found = beside(&plan(&web));
    let own = "allowed-tcp: 203.0.113.1:80/tcp from 203.0.113.1/32";
    assert!(found.contains(own), "{found:#?}");
}

#[test]
fn affinity_has_ids_and_what_its_timeout_needs() {
    let mut web = service();
    web.affinity_seconds = Some(600);
    let found = beside(&plan(&web));
    let of = |start: &str| found.iter().filter(|text| text.starts_with(start)).count();
    assert_eq!(of("sticky-slots: 10.1.0.1:80/tcp slot "), 3);
    assert_eq!(of("sticky-endpoints: 10.1.0.1:80/tcp id "), 3);
    for text in [
        "sticky-600",
        "sticky-600: 10.1.0.1:80/tcp",
        "chain sticky-600",
        "chain sticky: rule for 600 s",
    ] {
        assert!(found.contains(text), "{text} is not in {found:#?}");
    }
    assert_eq!(found.len(), 10, "{found:#?}");
    // A second row has chains of its own.
    web.load_balancer_ips = [ip("203.0.113.1")].into();
    web.external_policy_local = true;
    let found = beside(&plan(&web));
    assert!(found.contains("chain local-sticky-600"), "{found:#?}");
    assert!(found.contains("chain local-sticky: rule for 600 s"));
}

#[test]
fn clients_keep_ids_in_every_row() {
    let mut web = local_policy();
    web.affinity_seconds = Some(600);
    let found = render(&plan(&web));
    let ids: BTreeSet<&str> = found
        .iter()
        .filter(|text| text.contains("sticky-endpoints") && text.ends_with("10.2.0.5:8080"))
        .filter_map(|text| text.split(" id ").nth(1))
        .collect();
    assert_eq!(ids.len(), 1, "{found:#?}");
}

fn weighted(weights: &[(&str, u16)]) -> Service {
    let mut web = service();
    let keys = weights
        .iter()
        .map(|(address, weight)| (WeightKey::Address(ip(address)), *weight));
    web.balancing = Some(
        Balancing {
            weights: keys.collect(),
            ..Balancing::default()
        }
        .into(),
    );
    web
}

#[test]
fn weights_are_slots() {
    let plan_of = |weights| plan(&weighted(weights));
    let found = render(&plan_of(&[("10.2.0.5", 3)]));
    let slots = |address: &str| {
        let to = format!("{address}:8080");
        found.iter().filter(|text| text.ends_with(&to)).count()
    };
    assert_eq!([slots("= 10.2.0.5"), slots("= 10.2.1.5")], [3, 1]);
    assert!(found.contains("size-8: 10.1.0.1:80/tcp"));
    assert!(
        dataplane()
            .objections(&plan_of(&[("10.2.0.5", 3)]))
            .is_empty()
    );
    let objections = dataplane().objections(&plan_of(&[("10.2.0.5", 65_535)]));
    assert_eq!(objections.len(), 1);
    assert!(
        objections[0].contains("weights of shop/web:http"),
        "{objections:?}"
    );
}

#[test]
fn endpoints_that_there_are_no_slots_for_are_told() {
    let addresses: Vec<String> = (0..8194_u32)
        .map(|n| format!("10.2.{}.{}", n / 250, n % 250))
        .collect();
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| (&**address, "here", READY))
        .collect();
    let mut web = service();
    let plan = plan_with(&web, &endpoints);
    let objections = dataplane().objections(&plan);
    assert_eq!(objections.len(), 1);
    assert!(
        objections[0].contains("has 2 endpoints more than the 8192"),
        "{objections:?}"
    );
    let state = dataplane().service(&plan);
    let slots = state
        .iter()
        .filter(|(key, _)| key.to_string().contains(" endpoints:"));
    assert_eq!(slots.count(), 8192);

    web.external_policy_local = true;
    web.load_balancer_ips = [ip("203.0.113.1")].into();
    let objections = dataplane().objections(&plan_with(&web, &endpoints[..1025]));
    assert_eq!(objections.len(), 1);
    assert!(
        objections[0].contains("has 1 local endpoints more than the 1024"),
        "{objections:?}"
    );
}

#[test]
fn what_is_served_and_its_udp_frontends_are_read_from_elements() {
    let mut dns = service();
    dns.ports[0].protocol = Protocol::Udp;
    dns.ports[0].node_port = 30_053;
    let mut dead = service();
    dead.cluster_ips = [ip("10.1.0.9")].into();
    let both = [plan(&dns), plan_with(&dead, &[])];
    let state = with_plans(&dataplane(), &both);
    let parts = Nftables::frontends();
    let is_meant = |key: &Key| parts.contains(&key.piece());
    assert_eq!(Nftables::served(&state.clone().filter(is_meant)), 1);
    let nothing = with_plans(&dataplane(), &both[1..]);
    assert_eq!(Nftables::served(&nothing.filter(is_meant)), 0);

    let found: BTreeSet<_> = state
        .iter()
        .filter_map(|(key, object)| Nftables::udp_frontend(key, object))
        .collect();
    let udp = |place: FlowPlace| place.over(Protocol::Udp);
    let expected = [
        udp(FlowPlace::at("10.1.0.1:80".parse().unwrap())),
        udp(FlowPlace::NodePort {
            family: viprule_service::model::Family::Ipv4,
            port: 30_053,
        }),
    ];
    assert_eq!(found, expected.into());
    let tcp = with_plans(&dataplane(), &[plan(&service())]);
    let none = tcp
        .iter()
        .find_map(|(key, object)| Nftables::udp_frontend(key, object));
    assert_eq!(none, None);
}

#[test]
fn a_frontend_says_whose_it_is() {
    let of = |state: &State<Key, _>| -> BTreeSet<String> {
        let objects = state.iter();
        let ids = objects.filter_map(|(_, object): &(Key, viprule_dataplane::nftables::Object)| {
            object.service()
        });
        ids.map(|id| id.as_str().to_owned()).collect()
    };
    let state = dataplane().service(&plan(&service()));
    assert_eq!(of(&state), ["shop/web".to_owned()].into());
    // A comment that was cut off could say another one's name.
    let mut long = viprule_testkit::objects::service(&"n".repeat(63), &[ip("10.1.0.1")]);
    long.id = viprule_service::model::ServiceId::new(&"s".repeat(63), &"n".repeat(63)).unwrap();
    let state = dataplane().service(&plan(&long));
    assert_eq!(state.len(), CLUSTER_IP.len() + 1);
    assert_eq!(of(&state), BTreeSet::new());
    assert!(
        viprule_dataplane::nftables::listing(
            Family::Ipv4,
            &with_plans(&dataplane(), &[plan(&long)])
        )
        .unwrap()
        .to_string()
        .contains("...\"")
    );
}
