//! Settings of iptables mode.

use nfnetlink::Family;
use viprule_service::plan::NodePortTargets;

use crate::family::index;
use crate::netfilter::Masquerade;

/// What the chains depend on besides the plan. Values that differ by family are indexed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The families to write.
    pub families: Vec<Family>,
    /// What is masqueraded, and how it is marked.
    pub masquerade: Masquerade,
    /// Node ports answer on IPv4 loopback addresses: the setting `iptables.localhostNodePorts`
    /// where `nodePortAddresses` allows it (contract 2.11).
    pub localhost_node_ports: bool,
    /// Where node ports answer.
    pub node_port_targets: [NodePortTargets; 2],
    /// The kernel has nfacct counters (contract 2.11).
    pub nfacct: bool,
    /// Drop packets that conntrack finds invalid: false where
    /// `net.netfilter.nf_conntrack_tcp_be_liberal` is set (contract 2.4).
    pub drop_invalid: bool,
}

impl Default for Options {
    /// kube-proxy's: bit 14, no detector, node ports everywhere, counters present.
    fn default() -> Self {
        Self {
            families: Family::ALL.to_vec(),
            masquerade: Masquerade::default(),
            localhost_node_ports: true,
            node_port_targets: [NodePortTargets::Every, NodePortTargets::Every],
            nfacct: true,
            drop_invalid: true,
        }
    }
}

impl Options {
    /// The node port targets of a family.
    pub fn node_ports(&self, family: Family) -> &NodePortTargets {
        &self.node_port_targets[index(family)]
    }

    /// True where node ports answer on the family's loopback addresses.
    pub fn localhost(&self, family: Family) -> bool {
        family == Family::Ipv4 && self.localhost_node_ports
    }
}
