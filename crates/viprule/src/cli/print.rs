//! Standard output and standard error.

use std::io::{self, Write as _};

use serde::Serialize;

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
