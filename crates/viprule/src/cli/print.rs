//! Standard output and standard error.

use std::io::{self, Write as _};

use serde::Serialize;
use viprule_dataplane::Dataplane;
use viprule_service::tracker::Tracker;

use crate::agent::too_large;

/// Prints text as it is.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints one JSON document.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Prints a line for the operator, apart from results.
pub(super) fn note(line: &str) {
    // Nobody to tell where standard error is closed.
    let _ = writeln!(io::stderr(), "viprule: {line}");
}

/// Tells what the dataplane refuses to do.
pub(super) fn objections<D: Dataplane>(dataplane: &D, tracker: &Tracker) {
    for (id, size) in tracker.oversized() {
        let budget = tracker.config().service_budget;
        note(&format!(
            "warning: service {id}: {}",
            too_large(*size, budget)
        ));
    }
    let services = tracker.services().into_iter();
    for id in services.filter(|id| !tracker.is_oversized(id)) {
        let plan = tracker.plan(&id);
        for objection in plan.iter().flat_map(|plan| dataplane.objections(plan)) {
            note(&format!("warning: service {id}: {objection}"));
        }
    }
}
