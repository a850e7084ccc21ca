//! Settings and Node objects.

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use viprule_service::model::{Family, Node};

use super::addresses::{loopback, node_address, pod_network, second_address};
use super::{NODE, ZONE};
use crate::objects;
use crate::semantics::{Detector, NodePorts, Quirks, Settings};

/// iptables mode's settings, in every combination that packets can tell apart.
pub fn settings() -> impl Strategy<Value = Settings> {
    (
        select(vec![None, None, Some(Family::Ipv4), Some(Family::Ipv6)]),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.2),
        (detector(Family::Ipv4), detector(Family::Ipv6)),
        node_port_addresses(),
        any::<bool>(),
    )
        .prop_map(
            |(bind, allow_external_ips, masquerade_all, detectors, node_ports, localhost)| {
                Settings {
                    node_name: NODE.to_owned(),
                    bind_address: bind.map(second_address),
                    allow_external_ips,
                    masquerade_all,
                    detectors: detectors.into(),
                    node_port_addresses: node_ports,
                    localhost_node_ports: localhost,
                    quirks: Quirks::IPTABLES,
                }
            },
        )
}

fn detector(family: Family) -> impl Strategy<Value = Option<Detector>> {
    prop_oneof![
        1 => Just(None),
        2 => Just(Some(Detector::Source(pod_network(family)))),
        1 => Just(Some(Detector::Bridge("cni0".to_owned()))),
        1 => Just(Some(Detector::InterfacePrefix("veth".to_owned()))),
    ]
}

fn node_port_addresses() -> impl Strategy<Value = NodePorts> {
    let networks = vec![
        IpNet::from(node_address(Family::Ipv4)),
        IpNet::new_assert(second_address(Family::Ipv4), 24).trunc(),
        IpNet::from(loopback(Family::Ipv4)),
        IpNet::new_assert([127, 0, 0, 0].into(), 8),
        IpNet::from(node_address(Family::Ipv6)),
        IpNet::from(loopback(Family::Ipv6)),
        IpNet::new_assert([0, 0, 0, 0].into(), 0),
    ];
    prop_oneof![
        2 => Just(NodePorts::Unset),
        1 => Just(NodePorts::Primary),
        2 => subsequence(networks, 1..=4).prop_map(NodePorts::Networks),
    ]
}

/// This node's object, if it exists, with addresses of no, one or both families.
pub fn node() -> impl Strategy<Value = Option<Node>> {
    let [v4, v6] = Family::ALL.map(node_address);
    let addresses = select(vec![
        vec![v4, v6],
        vec![v6, v4, second_address(Family::Ipv4)],
        vec![v4],
        vec![second_address(Family::Ipv6)],
        vec![],
    ]);
    let zone = select(vec![Some(ZONE), Some(ZONE), Some("zone-c"), None]);
    let node = (addresses, zone).prop_map(|(addresses, zone)| Node {
        zone: zone.map(str::to_owned),
        ..objects::node(NODE, &addresses)
    });
    prop::option::weighted(0.9, node)
}
