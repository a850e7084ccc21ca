//! How Services are put into the kernel.

use clap::{Args, ValueEnum};

use super::value::{self, BackendChoice};

/// How Services are put into the kernel.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Dataplane")]
pub struct DataplaneArgs {
    /// What is written: iptables, ipvs or nftables [default: iptables]
    #[arg(long, visible_alias = "proxy-mode", value_name = "MODE", hide_possible_values = true,
          value_parser = value::modes())]
    pub mode: Option<String>,

    /// Which implementation of iptables is written [default: auto]
    #[arg(long, value_enum, value_name = "BACKEND")]
    pub iptables_backend: Option<BackendChoice>,

    /// IP families [default: those that this kernel has]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FAMILY")]
    pub ip_family: Vec<IpFamily>,

    /// Pod networks, one for each family: traffic from elsewhere to a cluster IP is masqueraded
    #[arg(long, value_delimiter = ',', value_name = "CIDR", value_parser = value::network)]
    pub cluster_cidr: Vec<String>,

    /// How packets of local pods are recognised [default: by --cluster-cidr]
    #[arg(long, value_name = "MODE", value_parser = value::names([
        ("ClusterCIDR", "By --cluster-cidr"),
        ("NodeCIDR", "By the Node's podCIDRs"),
        ("BridgeInterface", "By --pod-bridge-interface"),
        ("InterfaceNamePrefix", "By --pod-interface-name-prefix"),
    ]))]
    pub detect_local_mode: Option<String>,

    /// The pods' bridge, for --detect-local-mode BridgeInterface
    #[arg(long, value_name = "INTERFACE", hide_short_help = true)]
    pub pod_bridge_interface: Option<String>,

    /// How the pods' interface names begin, for --detect-local-mode InterfaceNamePrefix
    #[arg(long, value_name = "PREFIX", hide_short_help = true)]
    pub pod_interface_name_prefix: Option<String>,

    /// Masquerade all traffic to cluster IPs
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          value_name = "BOOL", value_parser = value::boolean)]
    pub masquerade_all: Option<bool>,

    /// The bit of the packet mark that asks for masquerading, 0 to 31 [default: 14]
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..=31), value_name = "BIT",
          allow_negative_numbers = true, hide_short_help = true)]
    pub iptables_masquerade_bit: Option<i32>,

    /// The API server's --service-node-port-range [default: 30000-32767]
    #[arg(long, value_name = "RANGE", hide_short_help = true)]
    pub service_node_port_range: Option<String>,

    /// Give masqueraded connections no source port of --service-node-port-range
    /// [default: true in nftables mode, false in others]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          value_name = "BOOL", value_parser = value::boolean, hide_short_help = true)]
    pub masquerade_outside_node_ports: Option<bool>,

    /// Let node ports answer on IPv4 loopback addresses [default: true]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          value_name = "BOOL", value_parser = value::boolean, hide_short_help = true)]
    pub iptables_localhost_nodeports: Option<bool>,

    /// Networks whose local addresses take node port traffic, or the word primary
    /// [default: every local address; in nftables mode primary]
    #[arg(long, value_delimiter = ',', value_name = "CIDR|primary")]
    pub nodeport_addresses: Vec<String>,

    /// An address that takes the place of the node's own of its family
    #[arg(long, value_name = "IP", value_parser = value::address, hide_short_help = true)]
    pub bind_address: Option<String>,

    /// How large a Service may be: pairs of its addresses and endpoints over all of its ports
    /// [default: 100000]
    #[arg(long, value_name = "PAIRS", value_parser = clap::value_parser!(i32).range(1..),
          hide_short_help = true)]
    pub service_budget: Option<i32>,

    /// How large all Services together may be before none of a namespace that has more than its
    /// share may grow [default: 1000000]
    #[arg(long, value_name = "PAIRS", value_parser = clap::value_parser!(i32).range(1..),
          hide_short_help = true)]
    pub total_budget: Option<i32>,

    /// kube-proxy's feature gates, such as AllowServiceExternalIPs=false
    #[arg(long, value_name = "GATE=BOOL", value_delimiter = ',', value_parser = value::gate,
          hide_short_help = true)]
    pub feature_gates: Vec<(String, bool)>,
}

/// An IP family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IpFamily {
    /// IPv4
    Ipv4,
    /// IPv6
    Ipv6,
}

impl IpFamily {
    /// As files and flags name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}
