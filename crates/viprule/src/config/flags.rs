//! Flags, named as kube-proxy names them where it has them (contract 8).

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

/// Where Services come from and for which node they are planned.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// Services, EndpointSlices and Nodes: a YAML or JSON file, a folder of them, or - for
    /// standard input; may be given several times
    #[arg(long, value_name = "PATH", required = true)]
    pub manifests: Vec<PathBuf>,

    /// The node to compute for. If that Node is among the input, its addresses and labels count;
    /// else this machine's interface addresses [default: this machine's host name]
    #[arg(long, value_name = "NAME", visible_alias = "hostname-override")]
    pub node: Option<String>,
}

/// How Services are put into the kernel.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Dataplane")]
pub struct DataplaneArgs {
    /// The kernel facility to write
    #[arg(long, value_enum, default_value_t = Mode::Iptables, visible_alias = "proxy-mode")]
    pub mode: Mode,

    /// IP families [default: those that this kernel has]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FAMILY")]
    pub ip_family: Vec<IpFamily>,

    /// Pod networks, one for each family: traffic from elsewhere to a cluster IP is masqueraded
    #[arg(long, value_delimiter = ',', value_name = "CIDR")]
    pub cluster_cidr: Vec<IpNet>,

    /// How packets of local pods are recognised
    #[arg(long, value_enum, default_value_t = DetectLocalMode::ClusterCIDR, value_name = "MODE")]
    pub detect_local_mode: DetectLocalMode,

    /// The pods' bridge, for --detect-local-mode BridgeInterface
    #[arg(long, value_name = "INTERFACE")]
    pub pod_bridge_interface: Option<String>,

    /// How the pods' interface names begin, for --detect-local-mode InterfaceNamePrefix
    #[arg(long, value_name = "PREFIX")]
    pub pod_interface_name_prefix: Option<String>,

    /// Masquerade all traffic to cluster IPs
    #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value_t = false,
          require_equals = true, value_name = "BOOL")]
    pub masquerade_all: bool,

    /// The bit of the packet mark that asks for masquerading, 0 to 31
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u8).range(0..=31),
          value_name = "BIT")]
    pub iptables_masquerade_bit: u8,

    /// Let node ports answer on IPv4 loopback addresses
    #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value_t = true,
          require_equals = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub iptables_localhost_nodeports: bool,

    /// Networks whose local addresses take node port traffic, or the word primary
    /// [default: every local address]
    #[arg(long, value_delimiter = ',', value_name = "CIDR|primary")]
    pub nodeport_addresses: Vec<String>,

    /// An address that takes the place of the node's own of its family
    #[arg(long, value_name = "IP")]
    pub bind_address: Option<IpAddr>,
}

/// The kernel facility to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// iptables chains, as `iptables-nft` would write them
    Iptables,
}

/// An IP family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IpFamily {
    /// IPv4
    Ipv4,
    /// IPv6
    Ipv6,
}

/// How packets of local pods are recognised (contract 1.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DetectLocalMode {
    /// By --cluster-cidr
    #[value(name = "ClusterCIDR")]
    ClusterCIDR,
    /// By the Node's podCIDRs
    #[value(name = "NodeCIDR")]
    NodeCIDR,
    /// By --pod-bridge-interface
    #[value(name = "BridgeInterface")]
    BridgeInterface,
    /// By --pod-interface-name-prefix
    #[value(name = "InterfaceNamePrefix")]
    InterfaceNamePrefix,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// In the tools' own syntax
    #[default]
    Text,
    /// One JSON document
    Json,
}
