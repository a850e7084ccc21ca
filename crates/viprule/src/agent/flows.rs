//! What became of stale flows.

use viprule_service::model::Protocol;
use viprule_writer::conntrack::Cleaned;

use super::telemetry::Telemetry;

/// Logs and counts what the cleaner did.
pub(super) fn reporter(telemetry: Telemetry) -> impl FnMut(Cleaned) + Send + 'static {
    move |cleaned| {
        let Cleaned {
            protocol,
            family,
            took,
            deleted,
            ..
        } = cleaned;
        telemetry
            .metrics
            .conntrack_reconciled(family, took, deleted);
        if let Some(error) = cleaned.failure {
            let protocol = protocol.as_str().to_uppercase();
            tracing::error!("stale {protocol} flows may go on: {error}");
        } else if deleted > 0 && protocol == Protocol::Tcp {
            tracing::info!(
                deleted,
                ?took,
                "ended unanswered TCP flows that led past the endpoints"
            );
        } else if deleted > 0 {
            tracing::info!(deleted, ?took, "ended UDP flows to endpoints that are gone");
        }
    }
}
