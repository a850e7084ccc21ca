//! Services.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Balancing, Family, Protocol, ServiceId};

/// `spec.type` as far as policies depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceType {
    /// `ClusterIP`.
    ClusterIp,
    /// `NodePort`.
    NodePort,
    /// `LoadBalancer`.
    LoadBalancer,
}

/// `metadata.creationTimestamp`, to the second. An earlier one is less; none is the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CreationTime(i64);

impl CreationTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn at(seconds: i64) -> Self {
        Self(seconds)
    }
}

/// Nobody knows when.
impl Default for CreationTime {
    fn default() -> Self {
        Self(i64::MAX)
    }
}

/// A Service with at least one cluster IP (contract 1.4). Headless and `ExternalName` Services,
/// and those of another proxy, never become a `Service`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub id: ServiceId,
    /// When it was created: of several Services that ask for one address, the oldest has it.
    pub created: CreationTime,
    /// `spec.type`.
    pub kind: ServiceType,
    /// One cluster IP for each family that the Service has.
    pub cluster_ips: Box<[IpAddr]>,
    /// `spec.ports`, in the Service's order; name and protocol together are unique.
    pub ports: Box<[ServicePort]>,
    /// `spec.externalIPs`, both families, without repetitions.
    pub external_ips: Box<[IpAddr]>,
    /// `status.loadBalancer.ingress[].ip` with `ipMode` VIP or none, without repetitions.
    pub load_balancer_ips: Box<[IpAddr]>,
    /// `spec.loadBalancerSourceRanges`, host bits zeroed, as listed.
    pub source_ranges: Box<[IpNet]>,
    /// `ClientIP` affinity with its timeout in seconds (1 to 86,400), or none.
    pub affinity_seconds: Option<u32>,
    /// `spec.internalTrafficPolicy: Local`.
    pub internal_policy_local: bool,
    /// `spec.externalTrafficPolicy: Local`.
    pub external_policy_local: bool,
    /// `spec.healthCheckNodePort`, 0 for none.
    pub health_check_node_port: u16,
    /// What its annotations ask of IPVS mode; most ask nothing.
    pub balancing: Option<Box<Balancing>>,
}

impl Service {
    /// The cluster IP of a family.
    pub fn cluster_ip(&self, family: Family) -> Option<IpAddr> {
        self.cluster_ips
            .iter()
            .copied()
            .find(|ip| Family::of(ip) == family)
    }
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// The name, empty where the Service has one unnamed port.
    pub name: Box<str>,
    /// The protocol.
    pub protocol: Protocol,
    /// The port on every virtual IP, 1 to 65,535.
    pub port: u16,
    /// The port on the node's addresses, 0 for none.
    pub node_port: u16,
}
