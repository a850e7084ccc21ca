//! What became of stale UDP flows.

use viprule_writer::conntrack::Cleaned;

use super::telemetry::Telemetry;

/// Logs and counts what the cleaner did.
pub(super) fn reporter(telemetry: Telemetry) -> impl FnMut(Cleaned) + Send + 'static {
    move |cleaned| {
        let Cleaned {
            family,
            took,
            deleted,
            ..
        } = cleaned;
        telemetry
            .metrics
            .conntrack_reconciled(family, took, deleted);
        if let Some(error) = cleaned.failure {
            tracing::error!("stale UDP flows may go on: {error}");
        } else if deleted > 0 {
            tracing::info!(deleted, ?took, "ended UDP flows to endpoints that are gone");
        }
    }
}
