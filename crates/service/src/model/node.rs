//! This node.

use std::net::IpAddr;

use ipnet::IpNet;

/// The Node object of this node, as far as Services depend on it (contract 1.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// `status.addresses`: every InternalIP in order, then every ExternalIP in order.
    pub addresses: Vec<IpAddr>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
    /// False where the node is being deleted or has the autoscaler's deletion taint (contract 6.1).
    pub eligible_for_load_balancers: bool,
}
