//! Settings of dataplanes.

use ipvs_netlink::Scheduler;
use nfnetlink::Family;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use viprule_dataplane::netfilter::SourcePorts;
use viprule_dataplane::{CommonSettings, DetectLocal, iptables, ipvs};
use viprule_service::model;
use viprule_service::plan::NodePortAddresses;

use super::addresses;

/// iptables mode's settings in every combination.
pub fn iptables_settings() -> impl Strategy<Value = iptables::Settings> {
    let parts = (
        common_settings(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    parts.prop_map(
        |(common, localhost_node_ports, nfacct, drop_invalid)| iptables::Settings {
            common,
            localhost_node_ports,
            nfacct,
            drop_invalid,
        },
    )
}

/// IPVS mode's settings in every combination.
pub fn ipvs_settings() -> impl Strategy<Value = ipvs::Settings> {
    let schedulers = select(vec![
        Scheduler::RR,
        Scheduler::RR,
        Scheduler::LC,
        Scheduler::MH,
    ]);
    (common_settings(), schedulers).prop_map(|(common, scheduler)| ipvs::Settings {
        common,
        scheduler,
        exclude_cidrs: Vec::new(),
    })
}

fn common_settings() -> impl Strategy<Value = CommonSettings> {
    let parts = (
        families(),
        0_u8..=31,
        any::<bool>(),
        source_ports(),
        detect_local(),
        node_ports(),
    );
    parts.prop_map(
        |(
            families,
            masquerade_bit,
            masquerade_all,
            source_ports,
            detect_local,
            node_port_addresses,
        )| {
            CommonSettings {
                families,
                masquerade_bit,
                masquerade_all,
                source_ports,
                detect_local,
                node_port_addresses,
            }
        },
    )
}

/// The source ports that masqueraded connections may have: any, or those outside of any range.
pub fn source_ports() -> impl Strategy<Value = Option<SourcePorts>> {
    let outside = |(a, b): (u16, u16)| SourcePorts::outside(&(a.min(b).max(1)..=a.max(b).max(1)));
    prop_oneof![
        Just(None),
        Just(SourcePorts::outside(&(30000..=32767))),
        any::<(u16, u16)>().prop_map(outside),
    ]
}

fn families() -> impl Strategy<Value = Vec<Family>> {
    select(vec![
        Family::ALL.to_vec(),
        Family::ALL.to_vec(),
        vec![Family::Ipv4],
        vec![Family::Ipv6],
    ])
}

fn detect_local() -> impl Strategy<Value = DetectLocal> {
    let pods = || model::Family::ALL.map(addresses::pod_network).to_vec();
    prop_oneof![
        (0_usize..=2).prop_map(move |n| DetectLocal::ClusterCidr(pods()[..n].to_vec())),
        Just(DetectLocal::NodeCidr),
        Just(DetectLocal::BridgeInterface("cni0".to_owned())),
        Just(DetectLocal::InterfaceNamePrefix("veth".to_owned())),
    ]
}

fn node_ports() -> impl Strategy<Value = NodePortAddresses> {
    let networks = addresses::source_ranges();
    prop_oneof![
        2 => Just(NodePortAddresses::All),
        1 => Just(NodePortAddresses::Primary),
        1 => subsequence(networks, 1..=3).prop_map(NodePortAddresses::Networks),
    ]
}
