//! kube-proxy's configuration, `kubeproxy.config.k8s.io/v1alpha1` (contract 8).

mod defaults;
mod idle;
mod logging;

use std::collections::BTreeMap;

use serde::{Serialize as _, Serializer};

use super::duration::GoDuration;
use super::fields::fields;
use crate::mode::{iptables, ipvs, nftables};

pub use logging::{
    Flush, FormatOptions, LoggingConfiguration, OutputRoutingOptions, Quantity, VModuleItem,
};

/// Its `apiVersion`.
pub(in crate::config) const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
/// Its `kind`.
pub(in crate::config) const KIND: &str = "KubeProxyConfiguration";

fields! {
    /// How a kube-proxy is configured; field by field as kube-proxy 1.36 has it.
    ///
    /// [`Default`] is what an empty document holds; [`KubeProxyConfiguration::set_defaults`]
    /// makes of it what kube-proxy works with. It serialises as `/configz` shows it.
    pub struct KubeProxyConfiguration {
        /// [`KIND`].
        pub kind: String = "kind",
        /// [`API_VERSION`].
        pub api_version: String = "apiVersion",
        /// Feature gates that are set.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub feature_gates: BTreeMap<String, bool> = "featureGates",
        /// How the API server is reached.
        pub client_connection: ClientConnection = "clientConnection",
        /// What is logged, and how.
        pub logging: LoggingConfiguration = "logging",
        /// The node's name in place of the host name.
        pub hostname_override: String = "hostnameOverride",
        /// An address that takes the place of the node's own of its family.
        pub bind_address: String = "bindAddress",
        /// Where health is served: IP and port; empty switches it off.
        pub healthz_bind_address: String = "healthzBindAddress",
        /// Where metrics are served: IP and port.
        pub metrics_bind_address: String = "metricsBindAddress",
        /// An address that can't be bound ends the program.
        pub bind_address_hard_fail: bool = "bindAddressHardFail",
        /// Go's profiles over HTTP.
        pub enable_profiling: bool = "enableProfiling",
        /// Metrics that are about to go.
        pub show_hidden_metrics_for_version: String = "showHiddenMetricsForVersion",
        /// `iptables`, `ipvs`, `nftables` or empty.
        pub mode: String = "mode",
        /// iptables mode.
        pub iptables: iptables::Configuration = "iptables",
        /// IPVS mode.
        pub ipvs: ipvs::Configuration = "ipvs",
        /// nftables mode.
        pub nftables: nftables::Configuration = "nftables",
        /// Windows.
        pub winkernel: WinkernelConfiguration = "winkernel",
        /// How packets of local pods are recognised: `ClusterCIDR`, `NodeCIDR`,
        /// `BridgeInterface`, `InterfaceNamePrefix` or empty.
        pub detect_local_mode: String = "detectLocalMode",
        /// What belongs to it.
        pub detect_local: DetectLocalConfiguration = "detectLocal",
        /// Pod networks, comma separated.
        pub cluster_cidr: String = "clusterCIDR",
        /// Networks whose local addresses take node port traffic, or `primary`.
        pub node_port_addresses: Option<Vec<String>> = "nodePortAddresses",
        /// This process' standing when memory runs out, -1000 to 1000.
        pub oom_score_adj: Option<i32> = "oomScoreAdj",
        /// Connection tracking.
        pub conntrack: ConntrackConfiguration = "conntrack",
        /// How often informers tell everything again.
        pub config_sync_period: GoDuration = "configSyncPeriod",
        /// Unused by kube-proxy as well.
        pub port_range: String = "portRange",
        /// Windows.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub windows_run_as_service: bool = "windowsRunAsService",
    }
}

fields! {
    /// `clientConnection`
    pub struct ClientConnection {
        /// Path of the kubeconfig; empty for the one in the cluster.
        pub kubeconfig: String = "kubeconfig",
        /// `Accept` header of requests.
        pub accept_content_types: String = "acceptContentTypes",
        /// `Content-Type` header of requests.
        pub content_type: String = "contentType",
        /// Requests a second.
        #[serde(serialize_with = "number")]
        pub qps: f64 = "qps",
        /// Requests at once.
        pub burst: i32 = "burst",
    }
}

fields! {
    /// `winkernel`: Windows only.
    pub struct WinkernelConfiguration {
        /// The HNS network.
        pub network_name: String = "networkName",
        /// The source address of load balancing.
        pub source_vip: String = "sourceVip",
        /// Direct server return.
        pub enable_dsr: bool = "enableDSR",
        /// The endpoint that remote pods are reached from.
        pub root_hns_endpoint_name: String = "rootHnsEndpointName",
        /// Health checks of load balancers go to the virtual IP.
        pub forward_health_check_vip: bool = "forwardHealthCheckVip",
    }
}

fields! {
    /// `detectLocal`
    pub struct DetectLocalConfiguration {
        /// The pods' bridge.
        pub bridge_interface: String = "bridgeInterface",
        /// How the pods' interface names begin.
        pub interface_name_prefix: String = "interfaceNamePrefix",
    }
}

fields! {
    /// `conntrack`; 0 leaves the kernel's value in each.
    pub struct ConntrackConfiguration {
        /// Entries for each core.
        pub max_per_core: Option<i32> = "maxPerCore",
        /// Entries at least, whatever the number of cores.
        pub min: Option<i32> = "min",
        /// Of established TCP connections.
        pub tcp_established_timeout: Option<GoDuration> = "tcpEstablishedTimeout",
        /// Of TCP connections in `CLOSE_WAIT`.
        pub tcp_close_wait_timeout: Option<GoDuration> = "tcpCloseWaitTimeout",
        /// Take packets out of the window for good.
        pub tcp_be_liberal: bool = "tcpBeLiberal",
        /// Of UDP flows without an answer.
        pub udp_timeout: GoDuration = "udpTimeout",
        /// Of UDP flows in both directions.
        pub udp_stream_timeout: GoDuration = "udpStreamTimeout",
    }
}

/// Whole numbers without a point, as Go writes them.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn number<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only whole numbers are cast"
    )]
    if value.fract() == 0.0 && value.abs() < 1e15 {
        (*value as i64).serialize(to)
    } else {
        value.serialize(to)
    }
}
