//! What settings come to: everything checked, everything typed.

mod check;
mod families;
mod host;
mod logging;
mod network;

use std::net::SocketAddr;

use nfnetlink::Family;
use viprule_dataplane::CommonSettings;
use viprule_service::plan::{Budgets, PlanConfig};
use viprule_source::convert::parse_ip;
use viprule_writer::netfilter::Support;

use super::flags::{BackendChoice, LoggingFormat};
use super::gates;
use super::own::OwnSettings;
use super::problem::Problem;
use super::proxy::KubeProxyConfiguration;
use crate::mode::{self, ModeSettings, ProxyMode};

pub(crate) use check::Check;
pub(super) use check::{Names, fills_beside_file};
pub use families::NodeFit;
pub(crate) use host::not_negative;
pub use host::{Conntrack, SyncPeriods};
pub(crate) use network::network;

/// Valid settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The kernel facility that is written.
    pub mode: ProxyMode,
    /// What plans depend on.
    pub plan: PlanConfig,
    /// What every mode depends on.
    pub common: CommonSettings,
    /// What one mode alone depends on.
    pub modes: ModeSettings,
    /// The families were chosen by a setting rather than by what the kernel has.
    pub families_chosen: bool,
    /// Which implementation of iptables is written.
    pub backend: BackendChoice,
    /// When the kernel is written.
    pub sync: SyncPeriods,
    /// Where health is served; None where it is switched off.
    pub health: Option<SocketAddr>,
    /// Where metrics are served.
    pub metrics: SocketAddr,
    /// An address that can't be bound ends the program.
    pub bind_hard_fail: bool,
    /// Kernel settings of connection tracking.
    pub conntrack: Conntrack,
    /// For `/proc/self/oom_score_adj`, -1000 to 1000.
    pub oom_score_adj: i32,
    /// The agent gives up system calls that it does not need.
    pub seccomp: bool,
    /// How log lines look.
    pub log_format: LoggingFormat,
    /// What is logged, as the log's filter takes it.
    pub log_level: String,
}

impl Resolved {
    /// The families that this kernel serves.
    pub fn families_on(&self, support: Support) -> Vec<Family> {
        let mut families = self.common.families.clone();
        if !self.families_chosen && !support.ipv6 {
            families.retain(|family| *family != Family::Ipv6);
        }
        families
    }
}

/// Checks everything; the problems come in the fields' order.
pub(super) fn resolve(
    proxy: &KubeProxyConfiguration,
    own: &OwnSettings,
    names: &Names,
) -> Result<Resolved, Vec<Problem>> {
    let mut check = Check::new(names);
    let check = &mut check;
    feature_gates(proxy, check);
    let log_format = logging::format(proxy, check);
    if proxy.client_connection.burst < 0 {
        check.wrong("clientConnection.burst", "must not be negative");
    }
    let node_name = node_name(proxy, check);
    let bind_address = check.some("bindAddress", parse_ip(&proxy.bind_address), || {
        format!("{:?} is not an IP address", proxy.bind_address)
    });
    let health = match proxy.healthz_bind_address.as_str() {
        "" => None,
        text => host::address("healthzBindAddress", text, check),
    };
    let metrics = host::address("metricsBindAddress", &proxy.metrics_bind_address, check);
    if !matches!(proxy.show_hidden_metrics_for_version.as_str(), "" | "1.35") {
        check.wrong(
            "showHiddenMetricsForVersion",
            "must be the minor version before, 1.35",
        );
    }
    let mode = proxy_mode(&proxy.mode, check);
    let (masquerade_bit, masquerade_all) = network::masquerade(mode, proxy, check);
    let sync = mode.map(|mode| host::sync_periods(mode, proxy, check));
    let modes = mode::resolve(proxy, own, check);
    let detect_local = network::detect_local(proxy, check);
    let node_port_addresses = network::node_port_addresses(
        proxy.node_port_addresses.as_deref().unwrap_or_default(),
        check,
    );
    let oom_score_adj = host::oom_score_adj(proxy, check);
    let conntrack = host::conntrack(proxy, check);
    if proxy.config_sync_period.is_negative() {
        check.wrong("configSyncPeriod", "must not be negative");
    }
    let backend = backend(own, check);
    let budgets = budgets(own, check);
    let source_ports = network::source_ports(mode, own, check);
    let families = families(own, check);
    let log_level = logging::level(proxy, own, check);
    check.done()?;
    // All of these are there where there was no problem.
    let (Some(mode), Some(sync), Some(metrics), Some(detect_local), Some(node_port_addresses)) =
        (mode, sync, metrics, detect_local, node_port_addresses)
    else {
        return Err(Vec::new());
    };
    Ok(Resolved {
        mode,
        plan: PlanConfig {
            node_name,
            bind_address: bind_address.filter(|ip| !ip.is_unspecified()),
            allow_external_ips: gates::is_on(&proxy.feature_gates, gates::ALLOW_EXTERNAL_IPS),
            budgets,
        },
        common: CommonSettings {
            families,
            masquerade_bit,
            masquerade_all,
            source_ports,
            detect_local,
            node_port_addresses,
        },
        modes,
        families_chosen: !own.ip_families.is_empty(),
        backend,
        sync,
        health,
        metrics,
        bind_hard_fail: proxy.bind_address_hard_fail,
        conntrack,
        oom_score_adj,
        seccomp: own.seccomp.unwrap_or(true),
        log_format,
        log_level,
    })
}

fn feature_gates(proxy: &KubeProxyConfiguration, check: &mut Check<'_>) {
    for (name, on) in &proxy.feature_gates {
        if let Some(problem) = gates::problem(name, *on) {
            check.wrong(&format!("featureGates.{name}"), problem);
        }
    }
}

/// The node's name, trimmed and in lower case (contract 1.2). Reads this machine's host name only
/// where no node is named.
fn node_name(proxy: &KubeProxyConfiguration, check: &mut Check<'_>) -> String {
    let name = match proxy.hostname_override.as_str() {
        "" if check.is_given("node") => String::new(),
        "" => match nix::unistd::gethostname() {
            Ok(name) => name.to_string_lossy().into_owned(),
            Err(errno) => {
                let problem = format!("this machine's host name can't be read: {errno}");
                check.wrong("hostnameOverride", problem);
                return String::new();
            }
        },
        name => name.to_owned(),
    };
    let name = name.trim().to_lowercase();
    if name.is_empty() {
        check.wrong("hostnameOverride", "must not be empty");
    }
    name
}

fn proxy_mode(name: &str, check: &mut Check<'_>) -> Option<ProxyMode> {
    check.some("mode", ProxyMode::named(name), || {
        let (names, default) = (ProxyMode::names(), ProxyMode::DEFAULT.as_str());
        format!("must be {names} or empty for {default}, not {name:?}")
    })
}

fn backend(own: &OwnSettings, check: &mut Check<'_>) -> BackendChoice {
    match own.iptables_backend.as_str() {
        "" | "auto" => BackendChoice::Auto,
        "nft" => BackendChoice::Nft,
        "legacy" => BackendChoice::Legacy,
        other => {
            check.wrong(
                "iptablesBackend",
                format!("must be auto, nft or legacy, not {other:?}"),
            );
            BackendChoice::Auto
        }
    }
}

fn budgets(own: &OwnSettings, check: &mut Check<'_>) -> Budgets {
    let mut budgets = Budgets::default();
    for (given, field, budget) in [
        (own.service_budget, "serviceBudget", &mut budgets.service),
        (own.total_budget, "totalBudget", &mut budgets.total),
    ] {
        match given.map(u64::try_from) {
            None => {}
            Some(Ok(given)) if given > 0 => *budget = given,
            Some(_) => check.wrong(field, "must be 1 or more"),
        }
    }
    budgets
}

fn families(own: &OwnSettings, check: &mut Check<'_>) -> Vec<Family> {
    for (index, name) in own.ip_families.iter().enumerate() {
        if !matches!(name.as_str(), "ipv4" | "ipv6") {
            check.wrong(
                &format!("ipFamilies[{index}]"),
                format!("must be ipv4 or ipv6, not {name:?}"),
            );
        }
    }
    let wanted =
        |name: &str| own.ip_families.is_empty() || own.ip_families.iter().any(|n| n == name);
    let known = [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)];
    let known = known.into_iter().filter(|(name, _)| wanted(name));
    known.map(|(_, family)| family).collect()
}
