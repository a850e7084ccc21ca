//! The plan's vocabulary.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::AllowedFlows;
use crate::model::{
    CreationTime, Family, Protocol, SchedulerFlags, SchedulerName, ServiceId, ServicePortName,
};

/// Everything that one Service asks of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePlan {
    /// The Service.
    pub service: ServiceId,
    /// Its ports, IPv4 before IPv6, in the Service's order within a family.
    pub ports: Vec<PortPlan>,
    /// The health check of `externalTrafficPolicy: Local` load balancers, if it has one.
    pub health_check: Option<HealthCheck>,
    /// What it asks of whoever balances its connections, if anything.
    pub scheduler: Option<Box<SchedulerWish>>,
    /// Where it would get in the way to the API server, if anywhere.
    pub api_server: Option<Box<ApiServerConflict>>,
}

/// External and load balancer IPs that are the API server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiServerConflict {
    /// Addresses at which this node reaches the API server, on whatever port, in the Service's
    /// order. They must stay another machine's, or the node's own.
    pub addresses: Box<[IpAddr]>,
    /// Those with the very port that the API server has: they are no frontends.
    pub withheld: Box<[SocketAddr]>,
}

impl ServicePlan {
    /// True for an external or load balancer IP at which this node reaches the API server.
    pub fn is_api_server(&self, address: IpAddr) -> bool {
        let conflict = self.api_server.as_ref();
        conflict.is_some_and(|it| it.addresses.contains(&address))
    }
}

/// How a Service wants its connections balanced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerWish {
    /// The scheduler.
    pub name: Option<SchedulerName>,
    /// Its flags.
    pub flags: Option<SchedulerFlags>,
    /// True where endpoints have weights.
    pub weighted: bool,
}

/// One port of a Service in one IP family.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent answers of Kubernetes' rules"
)]
pub struct PortPlan {
    /// The IP family of all addresses here.
    pub family: Family,
    /// The port's name, empty where it has none.
    pub name: Box<str>,
    /// The protocol.
    pub protocol: Protocol,
    /// The port on every virtual IP.
    pub port: u16,
    /// The cluster IP.
    pub cluster_ip: IpAddr,
    /// External IPs, in the Service's order.
    pub external_ips: Vec<IpAddr>,
    /// Load balancer IPs (`ipMode: VIP`), in the status' order.
    pub load_balancer_ips: Vec<IpAddr>,
    /// The port on the node's addresses, 0 for none.
    pub node_port: u16,
    /// Who may use the load balancer IPs; empty for everybody.
    pub source_ranges: Vec<IpNet>,
    /// True where this node's own address lies in a source range.
    pub source_ranges_hold_node: bool,
    /// Sources that are admitted beside the ranges where those hold the node: the Service's load
    /// balancer IPs, also one that is left to the API server.
    pub own_sources: Vec<IpAddr>,
    /// Session affinity by client address, seconds.
    pub affinity_seconds: Option<u32>,
    /// Cluster IP traffic goes to local endpoints only.
    pub internal_local: bool,
    /// External traffic goes to local endpoints only.
    pub external_local: bool,
    /// The health check node port where it applies to this Service, 0 for none (contract 1.4).
    pub health_check_node_port: u16,
    /// Every endpoint that some packet may reach, sorted by the text of its address (contract 1.6).
    pub endpoints: Vec<EndpointPlan>,
    /// Endpoints on this node that no packet from a frontend may reach, ready or not, in the same
    /// order.
    pub idle_local_endpoints: Box<[SocketAddr]>,
    /// True where an endpoint is usable somewhere, here or on another node (contract 1.7,
    /// `hasEndpoints`).
    pub has_endpoints: bool,
    /// Where tracked flows may lead; empty for SCTP (contract 5.1).
    pub flows: AllowedFlows,
}

/// Why a frontend leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// No endpoint anywhere: refuse the connection.
    NoEndpoints,
    /// Endpoints elsewhere, but the policy wants local ones: drop the packet.
    NoLocalEndpoints,
}

impl PortPlan {
    /// `namespace/name:port`, as comments and hashes have it.
    pub fn port_name<'a>(&'a self, service: &'a ServiceId) -> ServicePortName<'a> {
        ServicePortName {
            service,
            port: &self.name,
        }
    }

    /// Endpoints for traffic under the Cluster policy.
    pub fn cluster_endpoints(&self) -> impl Iterator<Item = &EndpointPlan> {
        self.endpoints
            .iter()
            .filter(|endpoint| endpoint.in_cluster_set)
    }

    /// Endpoints for traffic under the Local policy.
    pub fn local_endpoints(&self) -> impl Iterator<Item = &EndpointPlan> {
        self.endpoints
            .iter()
            .filter(|endpoint| endpoint.in_local_set)
    }

    /// True where the port can be reached from outside the cluster (contract 1.5).
    pub fn externally_accessible(&self) -> bool {
        self.node_port != 0 || !self.load_balancer_ips.is_empty() || !self.external_ips.is_empty()
    }

    /// Why the cluster IP leads nowhere, or `None` where it leads somewhere.
    pub fn internal_unreachable(&self) -> Option<Unreachable> {
        self.unreachable(self.internal_local)
    }

    /// Why external frontends lead nowhere for traffic from outside, or `None`.
    pub fn external_unreachable(&self) -> Option<Unreachable> {
        self.unreachable(self.external_local)
    }

    fn unreachable(&self, local: bool) -> Option<Unreachable> {
        if !self.has_endpoints {
            Some(Unreachable::NoEndpoints)
        } else if local && self.local_endpoints().next().is_none() {
            Some(Unreachable::NoLocalEndpoints)
        } else {
            None
        }
    }
}

/// One endpoint of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndpointPlan {
    /// Where packets are sent.
    pub address: SocketAddr,
    /// True where the endpoint runs on this node.
    pub local: bool,
    /// Takes traffic under the Cluster policy.
    pub in_cluster_set: bool,
    /// Takes traffic under the Local policy.
    pub in_local_set: bool,
    /// Its share of new connections where the dataplane has weights, 1 to 65,535.
    pub weight: u16,
}

/// A health check that a cloud load balancer asks this node for (contract 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HealthCheck {
    /// When the Service was created: where there is no room for all, the oldest have theirs.
    pub created: CreationTime,
    /// The TCP port.
    pub port: u16,
    /// Distinct addresses of local ready endpoints over all ports, for each family.
    pub local_endpoints: [usize; 2],
}
