//! Settings that count in every mode.

use ipnet::IpNet;
use nfnetlink::Family;
use viprule_service::plan::NodePortAddresses;

use crate::netfilter::SourcePorts;

/// What every mode takes (contract 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommonSettings {
    /// The families to write.
    pub families: Vec<Family>,
    /// `iptables.masqueradeBit`, 0 to 31.
    pub masquerade_bit: u8,
    /// `iptables.masqueradeAll`.
    pub masquerade_all: bool,
    /// The source ports that masqueraded connections get; the kernel's own choice without, as with
    /// kube-proxy.
    pub source_ports: Option<SourcePorts>,
    /// `detectLocalMode` and what belongs to it.
    pub detect_local: DetectLocal,
    /// `nodePortAddresses`.
    pub node_port_addresses: NodePortAddresses,
}

impl Default for CommonSettings {
    fn default() -> Self {
        Self {
            families: Family::ALL.to_vec(),
            masquerade_bit: 14,
            masquerade_all: false,
            source_ports: None,
            detect_local: DetectLocal::ClusterCidr(Vec::new()),
            node_port_addresses: NodePortAddresses::All,
        }
    }
}

/// How local pods' packets are recognised (contract 1.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DetectLocal {
    /// `ClusterCIDR`: by these networks, the first of each family.
    ClusterCidr(Vec<IpNet>),
    /// `NodeCIDR`: by the Node's `podCIDRs`.
    NodeCidr,
    /// `BridgeInterface`: by this interface.
    BridgeInterface(String),
    /// `InterfaceNamePrefix`: by interfaces whose names begin so.
    InterfaceNamePrefix(String),
}
