//! Settings that kube-proxy doesn't have.

use super::duration::GoDuration;
use super::fields::fields;

/// Its `apiVersion`.
pub(super) const API_VERSION: &str = "config.viprule.dev/v1alpha1";
/// Its `kind`.
pub(super) const KIND: &str = "VipruleConfiguration";

fields! {
    /// A document of its own, in the same file behind kube-proxy's, which reads only the first.
    #[derive(Eq)]
    pub struct OwnSettings {
        /// [`KIND`].
        pub kind: String = "kind",
        /// [`API_VERSION`].
        pub api_version: String = "apiVersion",
        /// `auto`, `nft` or `legacy`; empty for `auto`.
        pub iptables_backend: String = "iptablesBackend",
        /// `ipv4` and `ipv6`, or one; empty for those that this kernel has.
        pub ip_families: Vec<String> = "ipFamilies",
        /// How long a destination of IPVS mode that is not wanted any more may wait for its
        /// connections to end; 0 for as long as they last.
        pub ipvs_drain_timeout: GoDuration = "ipvsDrainTimeout",
        /// The API server's `--service-node-port-range`, in one of its forms: `30000-32767`,
        /// `30000+2767` or one port; empty for its default, which is the first of these.
        pub service_node_port_range: String = "serviceNodePortRange",
        /// What is masqueraded gets no source port of that range; true in nftables mode and false
        /// in others where it is absent.
        pub masquerade_outside_node_ports: Option<bool> = "masqueradeOutsideNodePorts",
        /// How large a Service may be, see [`Budgets::service`]: 1 or more.
        ///
        /// [`Budgets::service`]: viprule_service::plan::Budgets::service
        pub service_budget: Option<i32> = "serviceBudget",
        /// How large all Services together may be, see [`Budgets::total`]: 1 or more.
        ///
        /// [`Budgets::total`]: viprule_service::plan::Budgets::total
        pub total_budget: Option<i32> = "totalBudget",
        /// The agent gives up system calls that it does not need; true where it is absent.
        pub seccomp: Option<bool> = "seccomp",
        /// `error`, `warn`, `info`, `debug`, `trace`, or directives for parts of the program;
        /// empty for what `logging.verbosity` says.
        pub log_level: String = "logLevel",
    }
}
