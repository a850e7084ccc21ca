//! What iptables mode alone takes.

use crate::config::fields::fields;
use crate::config::{GoDuration, KubeProxyConfiguration};

fields! {
    /// `iptables` of kube-proxy's configuration (contract 8)
    pub struct Configuration {
        /// The bit of the packet mark that asks for masquerading, 0 to 31.
        pub masquerade_bit: Option<i32> = "masqueradeBit",
        /// Masquerade all traffic to cluster IPs.
        pub masquerade_all: bool = "masqueradeAll",
        /// Node ports answer on IPv4 loopback addresses.
        pub localhost_node_ports: Option<bool> = "localhostNodePorts",
        /// How often the kernel is checked without any change being known.
        pub sync_period: GoDuration = "syncPeriod",
        /// How long to wait between the end of one sync and the next.
        pub min_sync_period: GoDuration = "minSyncPeriod",
    }
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IptablesSettings {
    /// Node ports answer on IPv4 loopback addresses, where `nodePortAddresses` allows it.
    pub localhost_node_ports: bool,
}

impl Default for IptablesSettings {
    fn default() -> Self {
        Self {
            localhost_node_ports: true,
        }
    }
}

impl IptablesSettings {
    pub(in crate::mode) fn resolve(proxy: &KubeProxyConfiguration) -> Self {
        Self {
            localhost_node_ports: proxy.iptables.localhost_node_ports.unwrap_or(true),
        }
    }
}
