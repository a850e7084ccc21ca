//! Settings of the node that IPVS mode relies on, and those of it that the operator asks for
//! (contract 3.2).

use viprule_writer::host::{self, Outcome};
use viprule_writer::ipvs::host as ipvs_host;

use super::IpvsSettings;
use crate::agent::host_settings::{Strictness, tell};

/// Without these no Service works.
pub(super) const VITAL: [&str; 2] = ["net.ipv4.vs.conntrack", "net.ipv4.ip_forward"];

/// Makes them. Without some of them no Service works: an error, however strict.
pub(super) fn make(settings: &IpvsSettings, strictness: Strictness) -> anyhow::Result<()> {
    let outcome = apply(settings);
    for problem in &outcome.problems {
        anyhow::ensure!(
            !VITAL.contains(&problem.setting.as_str()),
            "no Service works in IPVS mode without this setting: {problem}"
        );
    }
    tell(&outcome, strictness)
}

/// Makes them as far as they differ.
pub(super) fn apply(settings: &IpvsSettings) -> Outcome {
    ipvs_host::apply(&ipvs_host::IpvsSettings {
        strict_arp: settings.strict_arp,
        tcp: settings.tcp_timeout,
        tcp_fin: settings.tcp_fin_timeout,
        udp: settings.udp_timeout,
    })
}

/// Keeps the files open for the time when no other one can be opened for writing.
pub(super) fn hold() {
    host::hold(&ipvs_host::sysctls());
}
