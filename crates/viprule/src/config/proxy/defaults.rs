//! What kube-proxy makes of fields that are not set.

use viprule_source::convert::parse_ip;

use super::{API_VERSION, GoDuration, KIND, KubeProxyConfiguration};

/// Health is served here.
const HEALTH_PORT: u16 = 10256;
/// Metrics are served here.
const METRICS_PORT: u16 = 10249;

impl KubeProxyConfiguration {
    /// What kube-proxy works with where neither a file nor a flag says anything.
    pub fn with_defaults() -> Self {
        let mut config = Self::default();
        config.set_defaults();
        config
    }

    /// Fills what is not set, as kube-proxy does when it reads a file; but for `minSyncPeriod`,
    /// whose useful value is 0 here.
    pub fn set_defaults(&mut self) {
        API_VERSION.clone_into(&mut self.api_version);
        KIND.clone_into(&mut self.kind);
        text(&mut self.bind_address, "0.0.0.0");
        let is_ipv4 = parse_ip(&self.bind_address).is_some_and(|ip| ip.is_ipv4());
        let (everywhere, loopback) = if is_ipv4 {
            ("0.0.0.0", "127.0.0.1")
        } else {
            ("[::]", "[::1]")
        };
        address(&mut self.healthz_bind_address, everywhere, HEALTH_PORT);
        address(&mut self.metrics_bind_address, loopback, METRICS_PORT);
        self.oom_score_adj.get_or_insert(-999);

        self.iptables.masquerade_bit.get_or_insert(14);
        self.iptables.localhost_node_ports.get_or_insert(true);
        self.nftables.masquerade_bit.get_or_insert(14);
        for period in [
            &mut self.iptables.sync_period,
            &mut self.ipvs.sync_period,
            &mut self.nftables.sync_period,
        ] {
            duration(period, 30);
        }

        let conntrack = &mut self.conntrack;
        conntrack.max_per_core.get_or_insert(32 * 1024);
        conntrack.min.get_or_insert(128 * 1024);
        let (day, hour) = (GoDuration::from_secs(86_400), GoDuration::from_secs(3_600));
        conntrack.tcp_established_timeout.get_or_insert(day);
        conntrack.tcp_close_wait_timeout.get_or_insert(hour);
        duration(&mut self.config_sync_period, 15 * 60);

        let client = &mut self.client_connection;
        text(
            &mut client.content_type,
            "application/vnd.kubernetes.protobuf",
        );
        if client.qps == 0.0 {
            client.qps = 5.0;
        }
        if client.burst == 0 {
            client.burst = 10;
        }

        text(&mut self.logging.format, "text");
        if self.logging.flush_frequency.every.is_zero() {
            self.logging.flush_frequency.every = GoDuration::from_secs(5);
            self.logging.flush_frequency.as_number = false;
        }
    }

    /// What an empty mode means on Linux, and what follows from the mode. What belongs to other
    /// modes is emptied, as `/configz` shows it.
    pub fn fill_by_mode(&mut self) {
        text(&mut self.mode, "iptables");
        text(&mut self.detect_local_mode, "ClusterCIDR");
        let zero = GoDuration::default();
        if self.mode == "nftables" {
            let addresses = self.node_port_addresses.get_or_insert_default();
            if addresses.is_empty() {
                addresses.push("primary".to_owned());
            }
            self.iptables.masquerade_all = false;
        } else {
            self.nftables.masquerade_all = false;
            (self.nftables.sync_period, self.nftables.min_sync_period) = (zero, zero);
        }
        if self.mode != "ipvs" {
            (self.ipvs.sync_period, self.ipvs.min_sync_period) = (zero, zero);
        }
        if matches!(self.mode.as_str(), "ipvs" | "nftables") {
            (self.iptables.sync_period, self.iptables.min_sync_period) = (zero, zero);
        }
    }

    /// The port that deprecated flags give is added where an address has none (`--healthz-port`,
    /// `--metrics-port`); 0 empties the address.
    pub(in crate::config) fn use_ports(&mut self, health: Option<u16>, metrics: Option<u16>) {
        for (address, port, default) in [
            (&mut self.healthz_bind_address, health, HEALTH_PORT),
            (&mut self.metrics_bind_address, metrics, METRICS_PORT),
        ] {
            match port.unwrap_or(default) {
                0 => address.clear(),
                port => append_port(address, port),
            }
        }
    }
}

fn text(field: &mut String, default: &str) {
    if field.is_empty() {
        default.clone_into(field);
    }
}

fn duration(field: &mut GoDuration, seconds: u32) {
    if field.is_zero() {
        *field = GoDuration::from_secs(seconds);
    }
}

fn address(field: &mut String, host: &str, port: u16) {
    if field.is_empty() {
        *field = format!("{host}:{port}");
    } else {
        append_port(field, port);
    }
}

/// A bare IP gets a port; anything else is left to validation.
fn append_port(address: &mut String, port: u16) {
    match parse_ip(address) {
        Some(ip) if ip.is_ipv4() && !address.contains(':') => {
            *address = format!("{address}:{port}");
        }
        Some(_) => *address = format!("[{address}]:{port}"),
        None => {}
    }
}
