//! What a plan depends on besides the Service and its slices.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::model::Family;

/// How much Services may ask for: pairs of their frontends and endpoints over all of their ports, and
/// of their load balancer IPs and source ranges. What is larger is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// For each Service: 5,000 endpoints on five ports of four addresses where nobody says otherwise.
    /// No real cluster is known to come near.
    pub service: u64,
    /// For all together: 25,000 Services of ten endpoints on two ports of two addresses where nobody
    /// says otherwise. Beyond it a namespace has no more than an equal share of it.
    pub total: u64,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            service: 100_000,
            total: 1_000_000,
        }
    }
}

/// Settings that change what a plan says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanConfig {
    /// This node's name, trimmed and in lower case (contract 1.2).
    pub node_name: String,
    /// `bindAddress` where it is a real address: it takes the place of the node's address of its
    /// family (contract 1.3).
    pub bind_address: Option<IpAddr>,
    /// Feature gate `AllowServiceExternalIPs`; true unless switched off.
    pub allow_external_ips: bool,
    /// How much Services may ask for.
    pub budgets: Budgets,
}

/// What is known of this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// The node's address of each family, from the Node object (contract 1.3, effective node IPs);
    /// the loopback address where none is known.
    pub node_ip: [Option<IpAddr>; 2],
    /// All addresses on this machine's interfaces, sorted; or the Node object's, where the node
    /// is another machine.
    pub local_addresses: Vec<IpAddr>,
    /// The Node's `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
    /// Where this node reaches the API server over TCP, sorted; where that is a Service's cluster
    /// IP, the Service's endpoints too. No external or load balancer IP may get in its way, and where
    /// it is on this machine no node port.
    pub api_server: Vec<SocketAddr>,
    /// Ranges that cluster IPs are given out from (`ServiceCIDR` objects), merged and sorted; none
    /// overlap. None where nobody said.
    pub service_cidrs: Vec<IpNet>,
}

impl NodeFacts {
    /// True for an address of this machine.
    pub(crate) fn is_local(&self, address: IpAddr) -> bool {
        self.local_addresses.binary_search(&address).is_ok()
    }

    /// The node's address of a family.
    pub const fn node_ip(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::Ipv4 => self.node_ip[0],
            Family::Ipv6 => self.node_ip[1],
        }
    }
}
