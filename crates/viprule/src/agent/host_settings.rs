//! Kernel settings that the operator asks for in any mode.

use viprule_writer::host::{Host, HostSettings, Outcome};

use crate::config::Resolved;

/// What a setting that can't be made means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// It is told; Services work without it.
    Told,
    /// It is an error.
    Fatal,
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
    tell(&outcome, strictness)
}

/// Logs what was made and what could not be, or fails by that.
pub(crate) fn tell(outcome: &Outcome, strictness: Strictness) -> anyhow::Result<()> {
    for change in &outcome.changed {
        tracing::info!(from = change.from, to = change.to, "set {}", change.setting);
    }
    for problem in &outcome.problems {
        anyhow::ensure!(
            strictness == Strictness::Told || !problem.essential,
            "{problem}"
        );
        tracing::warn!("{problem}");
    }
    Ok(())
}
