//! What changes of the node and of settings mean.

use nfnetlink::Family;
use viprule_dataplane::ipvs::{Ipvs, Key, Section, Settings, sections};
use viprule_dataplane::{
    CommonSettings, Dataplane as _, DetectLocal, NodeEffect, ObjectKey as _, netfilter,
};
use viprule_service::plan::{NodeFacts, NodePortAddresses};

use crate::world::{facts, ip, plan, service};

fn with_addresses(addresses: &[&str]) -> NodeFacts {
    NodeFacts {
        local_addresses: addresses.iter().map(|text| ip(text)).collect(),
        ..facts()
    }
}

#[test]
fn only_addresses_that_are_the_nodes_alone_concern_services() {
    let mut dataplane = Ipvs::new(Settings::default(), &facts());
    // A pod's link came, with the address that every link has.
    let with_link = with_addresses(&["127.0.0.1", "192.0.2.1", "::1", "fe80::1", "fe80::2"]);
    assert_eq!(dataplane.set_node(&with_link), NodeEffect::Nothing);
    let another = with_addresses(&["127.0.0.1", "192.0.2.1", "192.0.2.2", "::1"]);
    assert_eq!(dataplane.set_node(&another), NodeEffect::Everything);
    assert_eq!(dataplane.set_node(&another), NodeEffect::Nothing);
}

#[test]
fn settings_concern_services_or_the_chains_alone() {
    let facts = facts();
    let mut dataplane = Ipvs::new(Settings::default(), &facts);
    let mut settings = Settings::default();
    let mut configure = |change: &dyn Fn(&mut Settings)| {
        change(&mut settings);
        dataplane.configure(settings.clone(), &facts)
    };
    let bridge = || DetectLocal::BridgeInterface("cni0".to_owned());
    assert_eq!(
        configure(&|it| it.exclude_cidrs = vec!["10.9.0.0/16".parse().unwrap()]),
        NodeEffect::Nothing
    );
    assert_eq!(
        configure(&|it| it.common.masquerade_bit = 1),
        NodeEffect::Base
    );
    assert_eq!(
        configure(&|it| it.common.masquerade_all = true),
        NodeEffect::Base
    );
    assert_eq!(
        configure(&|it| it.common.detect_local = bridge()),
        NodeEffect::Base
    );
    assert_eq!(
        configure(&|it| it.scheduler = "lc".parse().unwrap()),
        NodeEffect::Everything
    );
    assert_eq!(
        configure(&|it| it.common.node_port_addresses =
            NodePortAddresses::Networks(vec!["127.0.0.0/8".parse().unwrap()])),
        NodeEffect::Everything
    );
    assert_eq!(
        configure(&|it| it.common.families = vec![Family::Ipv4]),
        NodeEffect::Everything
    );
}

#[test]
fn servers_on_excluded_addresses_are_spared_and_nothing_else_is() {
    let settings = Settings {
        exclude_cidrs: vec!["10.1.0.0/16".parse().unwrap()],
        ..Settings::default()
    };
    let dataplane = Ipvs::new(settings, &facts());
    let state = dataplane.service(&plan(&service()));
    let excluded: Vec<bool> = state
        .iter()
        .map(|(key, _)| dataplane.is_excluded(key))
        .collect();
    let expected: Vec<bool> = state
        .iter()
        .map(|(key, _)| matches!(key, Key::Server(_) | Key::Destination { .. }))
        .collect();
    assert_eq!(excluded, expected);
    let other = Ipvs::new(Settings::default(), &facts());
    assert!(!state.iter().any(|(key, _)| other.is_excluded(key)));
}

#[test]
fn one_familys_objects_leave_the_other_alone() {
    let settings = Settings {
        common: CommonSettings {
            families: vec![Family::Ipv6],
            ..CommonSettings::default()
        },
        ..Settings::default()
    };
    let dataplane = Ipvs::new(settings, &facts());
    assert!(dataplane.service(&plan(&service())).is_empty());
    for state in [dataplane.base(), dataplane.entry_points(&|_| false)] {
        assert!(!sections(&state).contains_key(&Section::Rules(Family::Ipv4)));
    }
}

#[test]
fn chains_that_cannot_go_are_left_empty() {
    let dataplane = Ipvs::new(Settings::default(), &facts());
    let mut flushed = 0;
    for (key, _) in dataplane
        .entry_points(&|_| false)
        .iter()
        .chain(dataplane.base().iter())
    {
        let left = dataplane.flushed(key);
        let is_whole = matches!(key, Key::Netfilter(netfilter::Key::Chain { chain, .. })
            if chain.to_string() != "KUBE-IPVS-OUT-FILTER");
        assert_eq!(left.is_some(), is_whole, "{key}");
        flushed += usize::from(left.is_some());
        assert!(key.is_removable());
    }
    assert_eq!(flushed, 20);
}
