//! Standard output and standard error.

use std::io::{self, Write as _};

use serde::Serialize;
use viprule_dataplane::Dataplane;
use viprule_service::tracker::Tracker;
use viprule_source::escape;

use crate::agent::too_large;

/// Prints lines. What is no text of ours in them is escaped already where it may hold newlines.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(escape::lines(text).as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints one JSON document.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let document = serde_json::to_string_pretty(value)?;
    out.write_all(escape::json(&document).as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Prints a line for the operator, apart from results.
pub(super) fn note(line: &str) {
    // Nobody to tell where standard error is closed.
    let _ = writeln!(io::stderr(), "viprule: {}", escape::line(line));
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
