//! From flags to the structure that files fill.

use std::path::Path;

use super::agent::{HostArgs, IdleArgs, LogArgs, ServeArgs, SyncArgs};
use super::{AgentArgs, DataplaneArgs, Flags, InputArgs};
use crate::config::duration::GoDuration;
use crate::config::own::OwnSettings;
use crate::config::proxy::{Flush, KubeProxyConfiguration, LoggingConfiguration, VModuleItem};

impl Flags {
    /// Puts all that kube-proxy's flags said into its configuration, which has its defaults.
    pub(in crate::config) fn fill(&self, config: &mut KubeProxyConfiguration) {
        self.shared.input.fill(config);
        self.shared.dataplane.fill(config);
        self.shared.modes.fill(config);
        if let Some(agent) = &self.agent {
            agent.fill(config);
        }
        self.fill_always(config);
    }

    /// The same for those that count beside a file: the node's name and the log.
    pub(in crate::config) fn fill_always(&self, config: &mut KubeProxyConfiguration) {
        if let Some(agent) = &self.agent {
            agent.log.fill(&mut config.logging);
            agent.idle.fill_logging(&mut config.logging);
        }
        let input = &self.shared.input;
        let of_kube_proxy = input.hostname_override.as_ref();
        let name = input
            .node
            .as_ref()
            .or(of_kube_proxy.filter(|name| !name.is_empty()));
        if let Some(name) = name {
            let trimmed = name.trim().to_lowercase();
            // Blanks alone are left to be refused.
            config.hostname_override = if trimmed.is_empty() {
                name.clone()
            } else {
                trimmed
            };
        }
    }

    /// Puts our own flags into our own settings.
    pub(in crate::config) fn fill_own(&self, own: &mut OwnSettings) {
        let dataplane = &self.shared.dataplane;
        if let Some(backend) = dataplane.iptables_backend {
            own.iptables_backend = backend.to_string();
        }
        if !dataplane.ip_family.is_empty() {
            let names = dataplane.ip_family.iter().map(|family| family.name());
            own.ip_families = names.map(str::to_owned).collect();
        }
        self.shared.modes.fill_own(own);
        put_text(
            dataplane.service_node_port_range.as_ref(),
            &mut own.service_node_port_range,
        );
        if dataplane.masquerade_outside_node_ports.is_some() {
            own.masquerade_outside_node_ports = dataplane.masquerade_outside_node_ports;
        }
        if dataplane.service_budget.is_some() {
            own.service_budget = dataplane.service_budget;
        }
        if dataplane.total_budget.is_some() {
            own.total_budget = dataplane.total_budget;
        }
        let agent = self.agent.as_ref();
        if let Some(seccomp) = agent.and_then(|agent| agent.host.seccomp) {
            own.seccomp = Some(seccomp);
        }
        put(
            agent.and_then(|agent| agent.log.log_level.as_ref()),
            &mut own.log_level,
        );
    }
}

/// Puts a value into its field, where there is one.
pub(crate) fn put<T: Clone>(flag: Option<&T>, field: &mut T) {
    if let Some(value) = flag {
        field.clone_from(value);
    }
}

/// The same for a text whose emptiness says nothing.
fn put_text(flag: Option<&String>, field: &mut String) {
    put(flag.filter(|text| !text.is_empty()), field);
}

fn put_some<T: Clone>(flag: Option<&T>, field: &mut Option<T>) {
    if flag.is_some() {
        *field = flag.cloned();
    }
}

fn filled(texts: &[String]) -> Vec<String> {
    texts
        .iter()
        .filter(|text| !text.is_empty())
        .cloned()
        .collect()
}

pub(crate) fn put_list(flag: &[String], field: &mut Option<Vec<String>>) {
    let texts = filled(flag);
    if !texts.is_empty() {
        *field = Some(texts);
    }
}

impl InputArgs {
    fn fill(&self, config: &mut KubeProxyConfiguration) {
        if let Some(path) = self.kubeconfig.as_deref().and_then(Path::to_str) {
            path.clone_into(&mut config.client_connection.kubeconfig);
        }
    }
}

impl DataplaneArgs {
    fn fill(&self, config: &mut KubeProxyConfiguration) {
        put(self.mode.as_ref(), &mut config.mode);
        let cidrs = filled(&self.cluster_cidr);
        if !cidrs.is_empty() {
            config.cluster_cidr = cidrs.join(",");
        }
        put(
            self.detect_local_mode.as_ref(),
            &mut config.detect_local_mode,
        );
        let detect = &mut config.detect_local;
        put(
            self.pod_bridge_interface.as_ref(),
            &mut detect.bridge_interface,
        );
        put(
            self.pod_interface_name_prefix.as_ref(),
            &mut detect.interface_name_prefix,
        );
        if let Some(all) = self.masquerade_all {
            config.iptables.masquerade_all = all;
            config.nftables.masquerade_all = all;
        }
        let iptables = &mut config.iptables;
        put_some(
            self.iptables_masquerade_bit.as_ref(),
            &mut iptables.masquerade_bit,
        );
        put_some(
            self.iptables_localhost_nodeports.as_ref(),
            &mut iptables.localhost_node_ports,
        );
        put_list(&self.nodeport_addresses, &mut config.node_port_addresses);
        put_text(self.bind_address.as_ref(), &mut config.bind_address);
        config
            .feature_gates
            .extend(self.feature_gates.iter().cloned());
    }
}

impl AgentArgs {
    fn fill(&self, config: &mut KubeProxyConfiguration) {
        self.sync.fill(config);
        self.serve.fill(config);
        self.host.fill(config);
        self.idle.fill(config);
    }
}

impl SyncArgs {
    /// kube-proxy's flags for iptables mode serve nftables mode as well.
    fn fill(&self, config: &mut KubeProxyConfiguration) {
        for (period, min) in [
            (
                &mut config.iptables.sync_period,
                &mut config.iptables.min_sync_period,
            ),
            (
                &mut config.nftables.sync_period,
                &mut config.nftables.min_sync_period,
            ),
        ] {
            put(self.iptables_sync_period.as_ref(), period);
            put(self.iptables_min_sync_period.as_ref(), min);
        }
        let ipvs = &mut config.ipvs;
        put(self.ipvs_sync_period.as_ref(), &mut ipvs.sync_period);
        put(
            self.ipvs_min_sync_period.as_ref(),
            &mut ipvs.min_sync_period,
        );
    }
}

impl ServeArgs {
    fn fill(&self, config: &mut KubeProxyConfiguration) {
        put_text(
            self.healthz_bind_address.as_ref(),
            &mut config.healthz_bind_address,
        );
        put_text(
            self.metrics_bind_address.as_ref(),
            &mut config.metrics_bind_address,
        );
        config.use_ports(self.healthz_port, self.metrics_port);
        put(
            self.bind_address_hard_fail.as_ref(),
            &mut config.bind_address_hard_fail,
        );
    }
}

impl HostArgs {
    fn fill(&self, config: &mut KubeProxyConfiguration) {
        let conntrack = &mut config.conntrack;
        put_some(
            self.conntrack_max_per_core.as_ref(),
            &mut conntrack.max_per_core,
        );
        put_some(self.conntrack_min.as_ref(), &mut conntrack.min);
        put_some(
            self.conntrack_tcp_timeout_established.as_ref(),
            &mut conntrack.tcp_established_timeout,
        );
        put_some(
            self.conntrack_tcp_timeout_close_wait.as_ref(),
            &mut conntrack.tcp_close_wait_timeout,
        );
        put(
            self.conntrack_tcp_be_liberal.as_ref(),
            &mut conntrack.tcp_be_liberal,
        );
        put(
            self.conntrack_udp_timeout.as_ref(),
            &mut conntrack.udp_timeout,
        );
        put(
            self.conntrack_udp_timeout_stream.as_ref(),
            &mut conntrack.udp_stream_timeout,
        );
        put_some(self.oom_score_adj.as_ref(), &mut config.oom_score_adj);
    }
}

impl LogArgs {
    fn fill(&self, logging: &mut LoggingConfiguration) {
        if let Some(format) = self.logging_format {
            logging.format = format.to_string();
        }
        put(self.v.as_ref(), &mut logging.verbosity);
    }
}

impl IdleArgs {
    fn fill(&self, config: &mut KubeProxyConfiguration) {
        put(
            self.config_sync_period.as_ref(),
            &mut config.config_sync_period,
        );
        let client = &mut config.client_connection;
        put(self.kube_api_burst.as_ref(), &mut client.burst);
        put(
            self.kube_api_content_type.as_ref(),
            &mut client.content_type,
        );
        put(self.kube_api_qps.as_ref(), &mut client.qps);
        put(self.profiling.as_ref(), &mut config.enable_profiling);
        put(
            self.show_hidden_metrics_for_version.as_ref(),
            &mut config.show_hidden_metrics_for_version,
        );
    }

    fn fill_logging(&self, logging: &mut LoggingConfiguration) {
        if let Some(every) = self.log_flush_frequency {
            logging.flush_frequency = flush(every);
        }
        let modules = self.vmodule.iter().map(|(pattern, verbosity)| VModuleItem {
            file_pattern: pattern.clone(),
            verbosity: *verbosity,
        });
        // In front, as they win.
        logging.vmodule.splice(0..0, modules);
        let options = &mut logging.options;
        put(
            self.log_text_split_stream.as_ref(),
            &mut options.text.split_stream,
        );
        put(
            self.log_json_split_stream.as_ref(),
            &mut options.json.split_stream,
        );
        for (flag, field) in [
            (
                &self.log_text_info_buffer_size,
                &mut options.text.info_buffer_size,
            ),
            (
                &self.log_json_info_buffer_size,
                &mut options.json.info_buffer_size,
            ),
        ] {
            put(flag.as_ref(), field);
        }
    }
}

const fn flush(every: GoDuration) -> Flush {
    Flush {
        every,
        as_number: false,
    }
}
