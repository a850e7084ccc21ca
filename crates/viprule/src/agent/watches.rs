//! What the watches of an API server are doing, in metrics and health.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{self, Instant};
use viprule_source::kube::{Phase, Resource, Statuses, WatchStatus};

use super::telemetry::Telemetry;
use crate::health::Moment;

/// How often the watches are looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// Tells of the watches for as long as it is polled.
pub(super) async fn tell(statuses: Statuses, telemetry: Telemetry) {
    let mut counted: BTreeMap<Resource, (u64, u64)> = BTreeMap::new();
    let mut timer = time::interval(PERIOD);
    loop {
        timer.tick().await;
        for status in statuses.read() {
            let (relists, failures) = counted.entry(status.resource).or_default();
            tell_one(&status, &telemetry, (*relists, *failures));
            (*relists, *failures) = (status.relists, status.failures);
        }
    }
}

fn tell_one(status: &WatchStatus, telemetry: &Telemetry, (relists, failures): (u64, u64)) {
    let resource = status.resource.plural();
    let Telemetry {
        metrics, health, ..
    } = telemetry;
    if let Some(heard) = status.last_heard {
        metrics.watch_heard(resource, heard);
    }
    for _ in relists..status.relists {
        metrics.watch_relisted(resource);
    }
    for _ in failures..status.failures {
        metrics.watch_failed(resource);
    }
    let subject = format!("watch {resource}");
    match &status.phase {
        Phase::Failing { error } => health.warn(&subject, error, Moment::now()),
        _ if status.is_stuck(Instant::now().into_std()) => {
            let message = "the API server says nothing though it should";
            health.warn(&subject, message, Moment::now());
        }
        _ => health.clear(&subject),
    }
}
