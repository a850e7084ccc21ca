//! Kernel settings that rules rely on, and those that the operator asks for.

use viprule_dataplane::iptables::Options;
use viprule_writer::host::{self, Change, Host, HostSettings, Outcome};
use viprule_writer::ipvs::host::{IpvsSettings, apply, sysctls};
use viprule_writer::{WriteError, sysctl};

use crate::config::{Ipvs, ProxyMode, Resolved};

/// Packets with loopback destinations are routed.
const ROUTE_LOCALNET: &str = "net/ipv4/conf/all/route_localnet";

/// What a setting that can't be made means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    /// It is told; Services work without it.
    Told,
    /// It is an error.
    Fatal,
}

/// Lets packets with loopback destinations be routed, which node ports on 127.0.0.1 need
/// (contract 2.11). Never taken back, as others may rely on it by then.
pub fn ensure(options: &Options) -> Result<(), WriteError> {
    if options.localhost_node_ports && sysctl::ensure(ROUTE_LOCALNET, "1")? {
        tracing::info!(
            setting = ROUTE_LOCALNET,
            value = 1,
            "set for node ports on loopback"
        );
    }
    Ok(())
}

/// The same, looked at again.
pub(super) fn look_again(options: &Options) -> Outcome {
    if options.localhost_node_ports {
        Host::default().make(ROUTE_LOCALNET, 1)
    } else {
        Outcome::default()
    }
}

/// Keeps the files open through which settings are made, for the time when no other file can be
/// opened for writing.
pub(super) fn hold(mode: ProxyMode) {
    match mode {
        ProxyMode::Iptables => host::hold(&[ROUTE_LOCALNET]),
        ProxyMode::Ipvs => host::hold(&sysctls()),
    }
}

/// Makes limits and timeouts of connection tracking and this process' OOM score what the
/// configuration says (contract 5.2).
pub(super) fn make(resolved: &Resolved, strictness: Strictness) -> anyhow::Result<()> {
    let conntrack = &resolved.conntrack;
    let outcome = Host::default().apply(&HostSettings {
        max_per_core: conntrack.max_per_core,
        min: Some(conntrack.min),
        tcp_established: conntrack.tcp_established_timeout,
        tcp_close_wait: conntrack.tcp_close_wait_timeout,
        tcp_be_liberal: conntrack.tcp_be_liberal,
        udp: conntrack.udp_timeout,
        udp_stream: conntrack.udp_stream_timeout,
        oom_score_adj: Some(resolved.oom_score_adj),
    });
    tell(&outcome.changed);
    for problem in &outcome.problems {
        anyhow::ensure!(
            strictness == Strictness::Told || !problem.essential,
            "{problem}"
        );
        tracing::warn!("{problem}");
    }
    Ok(())
}

/// Makes the settings that IPVS mode relies on, and those of it that the operator asks for
/// (contract 3.2). Without some of them no Service works: an error, however strict.
pub(super) fn make_ipvs(ipvs: &Ipvs, strictness: Strictness) -> anyhow::Result<()> {
    let outcome = apply_ipvs(ipvs);
    tell(&outcome.changed);
    for problem in &outcome.problems {
        anyhow::ensure!(
            !is_vital(&problem.setting),
            "no Service works in IPVS mode without this setting: {problem}"
        );
        anyhow::ensure!(
            strictness == Strictness::Told || !problem.essential,
            "{problem}"
        );
        tracing::warn!("{problem}");
    }
    Ok(())
}

/// Makes the settings that IPVS mode relies on, as far as they differ.
pub(super) fn apply_ipvs(ipvs: &Ipvs) -> Outcome {
    apply(&IpvsSettings {
        strict_arp: ipvs.strict_arp,
        tcp: ipvs.tcp_timeout,
        tcp_fin: ipvs.tcp_fin_timeout,
        udp: ipvs.udp_timeout,
    })
}

/// True for a setting of IPVS mode without which no Service works.
pub(super) fn is_vital(setting: &str) -> bool {
    ["net.ipv4.vs.conntrack", "net.ipv4.ip_forward"].contains(&setting)
}

/// The same for a command that ends.
pub fn prepare_ipvs(resolved: &Resolved) -> anyhow::Result<()> {
    make_ipvs(&resolved.ipvs, Strictness::Told)
}

fn tell(changes: &[Change]) {
    for change in changes {
        tracing::info!(from = change.from, to = change.to, "set {}", change.setting);
    }
}
