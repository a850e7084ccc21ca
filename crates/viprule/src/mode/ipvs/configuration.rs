//! What IPVS mode alone takes.

use std::time::Duration;

use ipnet::IpNet;
use ipvs_netlink::Scheduler;
use viprule_source::convert::parse_range;

use super::IpvsMode;
use crate::config::fields::fields;
use crate::config::resolve::{Check, network, not_negative};
use crate::config::{GoDuration, KubeProxyConfiguration, OwnSettings};
use crate::mode::Mode as _;

fields! {
    /// `ipvs` of kube-proxy's configuration (contract 8)
    pub struct Configuration {
        /// How often the kernel is checked without any change being known.
        pub sync_period: GoDuration = "syncPeriod",
        /// How long to wait between the end of one sync and the next.
        pub min_sync_period: GoDuration = "minSyncPeriod",
        /// The scheduler; empty for `rr`.
        pub scheduler: String = "scheduler",
        /// Networks whose virtual servers are somebody else's.
        pub exclude_cidrs: Option<Vec<String>> = "excludeCIDRs",
        /// Answer ARP only for addresses of the interface that was asked.
        pub strict_arp: bool = "strictARP",
        /// Of idle TCP connections; 0 leaves the kernel's.
        pub tcp_timeout: GoDuration = "tcpTimeout",
        /// Of TCP connections behind a FIN; 0 leaves the kernel's.
        pub tcp_fin_timeout: GoDuration = "tcpFinTimeout",
        /// Of UDP; 0 leaves the kernel's.
        pub udp_timeout: GoDuration = "udpTimeout",
    }
}

/// Settings of IPVS mode (contract 8); in other modes they have their defaults, but for
/// `drain_timeout` and `exclude_cidrs`, which count for what IPVS mode left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpvsSettings {
    /// For Services that ask for none.
    pub scheduler: Scheduler,
    /// Virtual servers on these addresses are never removed.
    pub exclude_cidrs: Vec<IpNet>,
    /// Answer ARP only for addresses of the interface that was asked.
    pub strict_arp: bool,
    /// Of idle TCP connections, whole seconds count; None leaves the kernel's.
    pub tcp_timeout: Option<Duration>,
    /// Of TCP connections behind a FIN.
    pub tcp_fin_timeout: Option<Duration>,
    /// Of UDP.
    pub udp_timeout: Option<Duration>,
    /// How long a destination that nobody wants any more may keep its connections; None for as long
    /// as they last.
    pub drain_timeout: Option<Duration>,
}

impl Default for IpvsSettings {
    fn default() -> Self {
        Self {
            scheduler: Scheduler::RR,
            exclude_cidrs: Vec::new(),
            strict_arp: false,
            tcp_timeout: None,
            tcp_fin_timeout: None,
            udp_timeout: None,
            drain_timeout: None,
        }
    }
}

impl IpvsSettings {
    /// True where the node needs other settings than with these.
    pub(in crate::mode) fn differ_on_node(&self, other: &Self) -> bool {
        let of_node = |it: &Self| Self {
            scheduler: Scheduler::RR,
            exclude_cidrs: Vec::new(),
            drain_timeout: None,
            ..it.clone()
        };
        of_node(self) != of_node(other)
    }

    /// Checked in this mode alone, but for what is ours.
    pub(in crate::mode) fn resolve(
        proxy: &KubeProxyConfiguration,
        own: &OwnSettings,
        check: &mut Check<'_>,
    ) -> Self {
        let mut timeout = |field: &str, value: GoDuration| {
            not_negative(field, value, check);
            (!value.is_zero()).then(|| value.to_std())
        };
        let drain_timeout = timeout("ipvsDrainTimeout", own.ipvs_drain_timeout);
        if proxy.mode != IpvsMode::NAME {
            // Other modes don't check what they don't use; what can be read counts.
            let excluded = proxy.ipvs.exclude_cidrs.iter().flatten();
            return Self {
                drain_timeout,
                exclude_cidrs: excluded.filter_map(|text| parse_range(text)).collect(),
                ..Self::default()
            };
        }
        let ipvs = &proxy.ipvs;
        let tcp_timeout = timeout("ipvs.tcpTimeout", ipvs.tcp_timeout);
        let tcp_fin_timeout = timeout("ipvs.tcpFinTimeout", ipvs.tcp_fin_timeout);
        let udp_timeout = timeout("ipvs.udpTimeout", ipvs.udp_timeout);
        let mut exclude_cidrs = Vec::new();
        for (index, text) in ipvs.exclude_cidrs.iter().flatten().enumerate() {
            exclude_cidrs.extend(network(&format!("ipvs.excludeCIDRs[{index}]"), text, check));
        }
        let scheduler = match ipvs.scheduler.as_str() {
            "" => Scheduler::RR,
            name => match name.parse::<Scheduler>() {
                Ok(scheduler) if scheduler.is_linux() => scheduler,
                _ => {
                    check.wrong(
                        "ipvs.scheduler",
                        format!(
                            "{name:?} is no scheduler that Linux has: {}",
                            Scheduler::linux_names()
                        ),
                    );
                    Scheduler::RR
                }
            },
        };
        Self {
            scheduler,
            exclude_cidrs,
            strict_arp: ipvs.strict_arp,
            tcp_timeout,
            tcp_fin_timeout,
            udp_timeout,
            drain_timeout,
        }
    }
}
