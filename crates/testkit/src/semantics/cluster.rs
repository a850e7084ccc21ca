//! The objects that a node sees.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use viprule_service::model::{
    EndpointSlice, Family, Node, Protocol, Service, ServiceCidr, ServicePort, SlicePort,
};

use super::node_ports;
use super::settings::Settings;
use crate::walker::Host;

/// Everything that Kubernetes and the machine tell a node.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// All Services with a cluster IP.
    pub services: Vec<Service>,
    /// All `EndpointSlice`s.
    pub slices: Vec<EndpointSlice>,
    /// This node's object, where it exists.
    pub node: Option<Node>,
    /// The addresses on the machine's interfaces, loopback included.
    pub local_addresses: Vec<IpAddr>,
    /// All `ServiceCIDR`s.
    pub service_cidrs: Vec<ServiceCidr>,
    /// Where the agent on this node connects to the API server.
    pub api_server: Vec<SocketAddr>,
}

impl Cluster {
    /// The host that packets meet on this node. `route_localnet` is set where node ports answer on
    /// loopback addresses (contract 2.11).
    pub fn host(&self, settings: &Settings) -> Host {
        Host {
            addresses: self.local_addresses.clone(),
            route_localnet: node_ports::on_localhost(settings, self),
        }
    }

    /// The node's effective IP of a family (contract 1.3).
    pub fn node_ip(&self, settings: &Settings, family: Family) -> IpAddr {
        if let Some(bind) = settings.bind_address
            && Family::of(&bind) == family
        {
            return bind;
        }
        let addresses = self.node.as_ref().map_or(&[][..], |node| &node.addresses);
        addresses
            .iter()
            .copied()
            .find(|ip| Family::of(ip) == family)
            .unwrap_or(match family {
                Family::Ipv4 => Ipv4Addr::LOCALHOST.into(),
                Family::Ipv6 => Ipv6Addr::LOCALHOST.into(),
            })
    }

    /// True where connections to the API server go, be it by way of a cluster IP. Nothing but that
    /// cluster IP may get in their way.
    pub(super) fn is_way_to_api_server(&self, to: SocketAddr) -> bool {
        self.ways_to_api_server().contains(&to)
    }

    /// A port's node port in a family, 0 where it has none: nor may that get in their way.
    pub(super) fn node_port(&self, port: &ServicePort, family: Family) -> u16 {
        let ways = self.ways_to_api_server();
        let is_way = |at: &SocketAddr| {
            port.protocol == Protocol::Tcp
                && at.port() == port.node_port
                && Family::of(&at.ip()) == family
                && self.local_addresses.contains(&at.ip())
        };
        if ways.iter().any(is_way) {
            0
        } else {
            port.node_port
        }
    }

    pub(super) fn ways_to_api_server(&self) -> Vec<SocketAddr> {
        let mut ways = self.api_server.clone();
        for told in &self.api_server {
            for service in &self.services {
                let ports = service.ports.iter().filter(|port| {
                    port.protocol == Protocol::Tcp
                        && port.port == told.port()
                        && service.cluster_ips.contains(&told.ip())
                });
                for port in ports {
                    for slice in self.slices.iter().filter(|it| it.id.service == service.id) {
                        let same =
                            |of: &&SlicePort| of.name == port.name && of.protocol == Protocol::Tcp;
                        for number in slice.ports.iter().filter(same).map(|of| of.port) {
                            let addresses = slice.endpoints.iter().map(|it| it.address);
                            ways.extend(addresses.map(|ip| SocketAddr::new(ip, number)));
                        }
                    }
                }
            }
        }
        ways
    }

    /// The node's zone.
    pub fn zone(&self) -> Option<&str> {
        self.node.as_ref()?.zone.as_deref()
    }
}
