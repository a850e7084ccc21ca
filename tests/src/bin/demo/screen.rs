//! What the reader sees: headings, commands with their output, tables, claims.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// The terminal, and the tally of claims.
#[derive(Debug)]
pub(crate) struct Screen {
    colours: bool,
    steps: u32,
    held: u32,
    failed: u32,
}

/// Escape sequences of ECMA-48 (select graphic rendition).
const BOLD: &str = "1";
const GREEN: &str = "32";
const RED: &str = "1;31";

impl Screen {
    pub(crate) fn new() -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            colours,
            steps: 0,
            held: 0,
            failed: 0,
        }
    }

    /// Begins a step.
    pub(crate) fn heading(&mut self, title: &str) {
        self.steps += 1;
        let line = format!("{}. {title}", self.steps);
        println!(
            "\n\n{}\n{}",
            self.painted(BOLD, &line),
            "-".repeat(line.len())
        );
    }

    /// A command, before it is run.
    pub(crate) fn command(&self, command: &str) {
        println!("\n{}", self.painted(BOLD, &format!("node-0$ {command}")));
    }

    /// Something that the demo says of viprule, and whether it is so.
    pub(crate) fn claim(&mut self, holds: bool, claim: &str) {
        let mark = if holds {
            self.held += 1;
            self.painted(GREEN, "[ok]")
        } else {
            self.failed += 1;
            self.painted(RED, "[FAILED]")
        };
        text(&format!("{mark} {claim}"));
    }

    /// The verdict.
    pub(crate) fn conclude(&self, elapsed: Duration) -> ExitCode {
        let seconds = elapsed.as_secs_f64();
        if self.failed == 0 {
            println!(
                "\nAll {} claims were checked and hold ({seconds:.0} s).",
                self.held
            );
            return ExitCode::SUCCESS;
        }
        let claims = self.held + self.failed;
        let verdict = format!("{} of {claims} claims do not hold, see above.", self.failed);
        println!("\n{}", self.painted(RED, &verdict));
        ExitCode::FAILURE
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Sentences, or lines shown as they are.
pub(crate) fn text(text: &str) {
    println!("{}", text.trim_end());
}

/// A line of the agent's log.
pub(crate) fn log(line: &str) {
    println!("agent: {line}");
}

/// An empty line.
pub(crate) fn gap() {
    text("");
}

/// Who answered how often.
pub(crate) fn table(title: &str, counts: &BTreeMap<SocketAddr, u64>, all: &[SocketAddr]) {
    /// Connections for each character of a bar.
    const UNIT: u64 = 4;
    println!("\n  {title}");
    let mut rows: BTreeMap<_, _> = all.iter().map(|backend| (*backend, 0)).collect();
    rows.extend(counts);
    for (backend, count) in rows {
        let bar = "#".repeat(usize::try_from(count.div_ceil(UNIT)).unwrap_or_default());
        text(&format!("    {backend:<15}{count:>4}  {bar}"));
    }
}

/// Milliseconds for people.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
