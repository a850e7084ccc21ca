//! Standard output and standard error.

use std::io::{self, BufWriter, Write as _};

use serde::Serialize;
use viprule_dataplane::Dataplane;
use viprule_service::tracker::Tracker;
use viprule_source::escape;

/// Prints lines. What is no text of ours in them is escaped already where it may hold newlines, so
/// that tabs in front of a line are ours: nft's indentation.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in text.split_inclusive('\n') {
        let rest = line.trim_start_matches('\t');
        let (indentation, _) = line.split_at(line.len() - rest.len());
        out.write_all(indentation.as_bytes())?;
        out.write_all(escape::lines(rest).as_bytes())?;
    }
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
    for (id, oversized) in tracker.oversized() {
        note(&format!("warning: service {id}: {oversized}"));
    }
    for id in tracker.services() {
        let plan = tracker.plan(&id);
        for objection in plan.iter().flat_map(|plan| dataplane.objections(plan)) {
            note(&format!("warning: service {id}: {objection}"));
        }
    }
}
