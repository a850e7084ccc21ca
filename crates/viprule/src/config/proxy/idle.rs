//! Fields that mean nothing here.

use super::{Flush, KubeProxyConfiguration};
use crate::config::gates;

impl KubeProxyConfiguration {
    /// The paths of all fields that are set to something other than the default and have no
    /// effect.
    pub fn idle_fields(&self) -> Vec<String> {
        let default = Self::with_defaults();
        let mut idle: Vec<String> = Vec::new();
        for (name, on) in &self.feature_gates {
            if gates::is_idle(name, *on) {
                idle.push(format!("featureGates.{name}"));
            }
        }
        macro_rules! compare {
            ($($($field:ident).+ = $path:literal),* $(,)?) => {
                $(if self.$($field).+ != default.$($field).+ {
                    idle.push($path.to_owned());
                })*
            };
        }
        compare!(
            client_connection.accept_content_types = "clientConnection.acceptContentTypes",
            client_connection.content_type = "clientConnection.contentType",
        );
        let (client, client_default) = (&self.client_connection, &default.client_connection);
        if client.qps.to_bits() != client_default.qps.to_bits() {
            idle.push("clientConnection.qps".to_owned());
        }
        compare!(client_connection.burst = "clientConnection.burst");
        let Flush { every, .. } = self.logging.flush_frequency;
        if every != default.logging.flush_frequency.every {
            idle.push("logging.flushFrequency".to_owned());
        }
        compare!(
            logging.vmodule = "logging.vmodule",
            logging.options = "logging.options",
            enable_profiling = "enableProfiling",
            show_hidden_metrics_for_version = "showHiddenMetricsForVersion",
            winkernel.network_name = "winkernel.networkName",
            winkernel.source_vip = "winkernel.sourceVip",
            winkernel.enable_dsr = "winkernel.enableDSR",
            winkernel.root_hns_endpoint_name = "winkernel.rootHnsEndpointName",
            winkernel.forward_health_check_vip = "winkernel.forwardHealthCheckVip",
            config_sync_period = "configSyncPeriod",
            port_range = "portRange",
            windows_run_as_service = "windowsRunAsService",
        );
        idle
    }
}
