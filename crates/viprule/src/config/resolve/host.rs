//! This machine: what is served where, when the kernel is written, connection tracking.

use std::net::SocketAddr;
use std::time::Duration;

use viprule_source::convert::parse_ip;

use super::Check;
use crate::config::duration::GoDuration;
use crate::config::proxy::KubeProxyConfiguration;
use crate::mode::{Mode as _, ProxyMode, with_mode};

/// When the kernel is written, in the active mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncPeriods {
    /// How often the kernel is checked without any change being known; more than 0.
    pub period: Duration,
    /// How long to wait between the end of one sync and the next; at most `period`.
    pub min: Duration,
}

/// Kernel settings of connection tracking (contract 5); None leaves the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conntrack {
    /// Entries for each core.
    pub max_per_core: Option<u32>,
    /// Entries at least; counts only where there is a limit for each core.
    pub min: u32,
    /// Of established TCP connections.
    pub tcp_established_timeout: Option<Duration>,
    /// Of TCP connections in `CLOSE_WAIT`.
    pub tcp_close_wait_timeout: Option<Duration>,
    /// Take packets out of the window for good; false leaves the kernel's.
    pub tcp_be_liberal: bool,
    /// Of UDP flows without an answer.
    pub udp_timeout: Option<Duration>,
    /// Of UDP flows in both directions.
    pub udp_stream_timeout: Option<Duration>,
}

/// An address with a port, 1 to 65,535.
pub(super) fn address(field: &str, text: &str, check: &mut Check<'_>) -> Option<SocketAddr> {
    let wrong = |what: &str| format!("must be IP:port, and {text:?} {what}");
    let split = text.rsplit_once(':').filter(|(host, _)| {
        // More than one colon needs brackets.
        !host.contains(':') || (host.starts_with('[') && host.ends_with(']'))
    });
    let Some((host, port)) = split else {
        check.wrong(field, wrong("is not"));
        return None;
    };
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let ip = check.some(field, parse_ip(host), || wrong("has no IP"));
    let port = port.parse().ok().filter(|port| *port != 0);
    let port = check.some(field, port, || wrong("has no port"));
    Some(SocketAddr::new(ip?, port?))
}

pub(super) fn sync_periods(
    mode: ProxyMode,
    proxy: &KubeProxyConfiguration,
    check: &mut Check<'_>,
) -> SyncPeriods {
    let (period, min) = with_mode!(mode, M => M::periods(proxy));
    let field = |name| format!("{}.{name}", mode.as_str());
    let (period_field, min_field) = (field("syncPeriod"), field("minSyncPeriod"));
    if period.is_zero() {
        check.wrong(&period_field, "must not be 0");
    }
    not_negative(&period_field, period, check);
    not_negative(&min_field, min, check);
    if min > period {
        let than = check.name(&period_field);
        check.wrong(&min_field, format!("must not be longer than {than}"));
    }
    SyncPeriods {
        period: period.to_std(),
        min: min.to_std(),
    }
}

pub(crate) fn not_negative(field: &str, duration: GoDuration, check: &mut Check<'_>) {
    if duration.is_negative() {
        check.wrong(field, format!("must not be negative, and {duration} is"));
    }
}

pub(super) fn oom_score_adj(proxy: &KubeProxyConfiguration, check: &mut Check<'_>) -> i32 {
    let score = proxy.oom_score_adj.unwrap_or(-999);
    if !(-1000..=1000).contains(&score) {
        check.wrong(
            "oomScoreAdj",
            format!("must be within -1000 to 1000, and {score} is not"),
        );
    }
    score
}

pub(super) fn conntrack(proxy: &KubeProxyConfiguration, check: &mut Check<'_>) -> Conntrack {
    let conntrack = &proxy.conntrack;
    let mut number = |field: &str, value: Option<i32>| {
        let value = value.unwrap_or_default();
        u32::try_from(value).unwrap_or_else(|_| {
            check.wrong(field, format!("must not be negative, and {value} is"));
            0
        })
    };
    let max_per_core = number("conntrack.maxPerCore", conntrack.max_per_core);
    let min = number("conntrack.min", conntrack.min);
    let mut timeout = |field: &str, value: GoDuration| {
        not_negative(field, value, check);
        (!value.is_zero()).then(|| value.to_std())
    };
    Conntrack {
        max_per_core: (max_per_core > 0).then_some(max_per_core),
        min,
        tcp_established_timeout: timeout(
            "conntrack.tcpEstablishedTimeout",
            conntrack.tcp_established_timeout.unwrap_or_default(),
        ),
        tcp_close_wait_timeout: timeout(
            "conntrack.tcpCloseWaitTimeout",
            conntrack.tcp_close_wait_timeout.unwrap_or_default(),
        ),
        tcp_be_liberal: conntrack.tcp_be_liberal,
        udp_timeout: timeout("conntrack.udpTimeout", conntrack.udp_timeout),
        udp_stream_timeout: timeout("conntrack.udpStreamTimeout", conntrack.udp_stream_timeout),
    }
}
