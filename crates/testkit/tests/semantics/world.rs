//! Hand-made clusters on the same node as the generated ones.

use std::net::{IpAddr, SocketAddr};

use viprule_service::model::{Conditions, EndpointSlice, Family, Node, Protocol, Service};
use viprule_testkit::objects::{self, endpoint};
use viprule_testkit::semantics::{Cluster, Detector, NodePorts, Quirks, Settings};
use viprule_testkit::strategy::{NODE, ZONE};
use viprule_testkit::walker::{Origin, Packet, Remembered};

pub(crate) use viprule_testkit::objects::{DEAD, DRAINING, READY, ip};

/// An address with a port that a test wrote down.
pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().expect("an IP address and a port")
}

/// kube-proxy's defaults with pods recognised by their addresses.
pub(crate) fn settings() -> Settings {
    let pods = |text: &str| Some(Detector::Source(text.parse().expect("a network")));
    Settings {
        node_name: NODE.to_owned(),
        bind_address: None,
        allow_external_ips: true,
        masquerade_all: false,
        detectors: [pods("10.244.0.0/16"), pods("fd00:10:244::/48")],
        node_port_addresses: NodePorts::Unset,
        localhost_node_ports: true,
        quirks: Quirks::IPTABLES,
    }
}

/// The node alone.
pub(crate) fn empty_cluster() -> Cluster {
    let own = ["192.168.77.2", "fd00:77::2"].map(ip);
    let others = [
        "127.0.0.1",
        "::1",
        "192.168.78.2",
        "fd00:78::2",
        "10.244.0.1",
        "fd00:10:244::1",
    ]
    .map(ip);
    Cluster {
        node: Some(Node {
            zone: Some(ZONE.to_owned()),
            ..objects::node(NODE, &own)
        }),
        local_addresses: own.into_iter().chain(others).collect(),
        ..Cluster::default()
    }
}

/// A Service with one TCP port, 80, of its own cluster IPs 10.1.0.N and `fd00:1::N`,
/// and node port 30000 + N, where N is `number`.
pub(crate) fn service(name: &str, number: u8) -> Service {
    let cluster_ips = [
        IpAddr::from([10, 1, 0, number]),
        ip(&format!("fd00:1::{number:x}")),
    ];
    let mut service = objects::service(name, &cluster_ips);
    service.ports[0].node_port = 30_000 + u16::from(number);
    service
}

/// A slice of a Service of [`service`], its endpoints on port 8080: address, node, conditions.
pub(crate) fn slice(service: &Service, endpoints: &[(&str, &str, Conditions)]) -> EndpointSlice {
    let family = endpoints
        .first()
        .map_or(Family::Ipv4, |(address, ..)| Family::of(&ip(address)));
    let endpoints = endpoints.iter();
    let endpoints =
        endpoints.map(|(address, node, conditions)| endpoint(ip(address), Some(node), *conditions));
    objects::slice(&service.id, family, endpoints.collect())
}

/// A TCP packet. It comes from the node where the source is one of its addresses, else through
/// `cni0` from its own pods (10.244.0.0/24) and through `eth0` from everybody else.
pub(crate) fn packet(cluster: &Cluster, source: &str, destination: &str) -> Packet {
    let source = ip(source);
    let origin = if cluster.local_addresses.contains(&source) {
        Origin::Node
    } else if source.to_string().starts_with("10.244.0.") {
        Origin::Interface("cni0".to_owned())
    } else {
        Origin::Interface("eth0".to_owned())
    };
    let source = SocketAddr::new(source, 40_000);
    Packet {
        source,
        destination: at(destination),
        protocol: Protocol::Tcp,
        origin,
    }
}

/// The packet's client was at the endpoint in this position of every slice, a moment ago, through
/// the same address.
pub(crate) fn memories(cluster: &Cluster, packet: &Packet, position: usize) -> Vec<Remembered> {
    let mut memories = Vec::new();
    for slice in &cluster.slices {
        let Some(endpoint) = slice.endpoints.get(position) else {
            continue;
        };
        memories.extend(slice.ports.iter().map(|port| Remembered {
            service: slice.id.service.clone(),
            port: port.name.clone(),
            protocol: port.protocol,
            client: packet.source.ip(),
            frontend: packet.destination,
            endpoint: SocketAddr::new(endpoint.address, port.port),
            seconds_ago: 1,
        }));
    }
    memories
}
