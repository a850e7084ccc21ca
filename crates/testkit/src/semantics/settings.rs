//! What a node is told besides the Kubernetes objects.

use std::net::IpAddr;

use ipnet::IpNet;
use viprule_service::model::Family;

/// kube-proxy's settings, as far as packets depend on them (contract 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// This node's name.
    pub node_name: String,
    /// `bindAddress`, unless it is 0.0.0.0 or `::`.
    pub bind_address: Option<IpAddr>,
    /// Feature gate `AllowServiceExternalIPs`.
    pub allow_external_ips: bool,
    /// `iptables.masqueradeAll`.
    pub masquerade_all: bool,
    /// `detectLocalMode` with its value, for each family.
    pub detectors: [Option<Detector>; 2],
    /// `nodePortAddresses`.
    pub node_port_addresses: NodePorts,
    /// `iptables.localhostNodePorts`.
    pub localhost_node_ports: bool,
    /// Where the mode knowingly differs from the contract's tables.
    pub quirks: Quirks,
}

impl Settings {
    /// The detector of a family.
    pub const fn detector(&self, family: Family) -> Option<&Detector> {
        match family {
            Family::Ipv4 => self.detectors[0].as_ref(),
            Family::Ipv6 => self.detectors[1].as_ref(),
        }
    }
}

/// How a pod's traffic is recognised (contract 1.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detector {
    /// `ClusterCIDR` or `NodeCIDR`: by source address.
    Source(IpNet),
    /// `BridgeInterface`: by the interface it arrives on.
    Bridge(String),
    /// `InterfaceNamePrefix`: by the beginning of that interface's name.
    InterfacePrefix(String),
}

/// `nodePortAddresses` (contract 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodePorts {
    /// Not set.
    Unset,
    /// `primary`.
    Primary,
    /// Networks of either family.
    Networks(Vec<IpNet>),
}

/// What a mode does that the decision table of contract 1.7 doesn't say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// Packets of the node itself to external and load balancer IPs that lead nowhere leave the
    /// node, in place of being refused: `KUBE-EXTERNAL-SERVICES` isn't called from `OUTPUT`
    /// (contract 2.3). Addresses of the node itself are refused all the same, in `INPUT`.
    pub node_bypasses_refusal: bool,
    /// Node ports that lead nowhere are refused on every local address, also on those that
    /// `nodePortAddresses` leaves out (contract 2.5, item 4).
    pub refuses_on_every_address: bool,
    /// Without endpoints everybody is refused at a load balancer IP, be it outside of the source
    /// ranges (contract 2.5).
    pub ranges_need_endpoints: bool,
}

impl Quirks {
    /// Those of iptables mode.
    pub const IPTABLES: Self = Self {
        node_bypasses_refusal: true,
        refuses_on_every_address: true,
        ranges_need_endpoints: true,
    };

    /// Those of nftables mode: none.
    pub const NFTABLES: Self = Self {
        node_bypasses_refusal: false,
        refuses_on_every_address: false,
        ranges_need_endpoints: false,
    };
}
