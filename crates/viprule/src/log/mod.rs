//! The program's log, whose filter can change while it runs, and which nobody waits for.

mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fmt, thread};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use viprule_source::escape;

use self::queue::Queue;
use crate::config::LoggingFormat;

/// How long the end of the process waits for lines that are not written yet.
const LAST: Duration = Duration::from_secs(1);

/// The lines of this process, once it has a log.
static LINES: OnceLock<Arc<Queue>> = OnceLock::new();

/// Changes the log's filter.
pub struct LogHandle {
    set: Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync>,
}

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogHandle")
    }
}

impl LogHandle {
    /// Logs what this level or these directives let through from now on.
    pub fn set_level(&self, level: &str) -> anyhow::Result<()> {
        (self.set)(filter(level)?)
    }
}

/// A level, or directives, as a filter. The Kubernetes client says what our own messages say
/// better, so it is heard only where it is asked for; and so is the netlink connection, which warns
/// of each answer to a question that is not asked any more.
fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    let filter: EnvFilter = level.parse()?;
    if ["kube_client", "debug", "trace"]
        .iter()
        .any(|word| level.contains(word))
    {
        return Ok(filter);
    }
    let filter = filter.add_directive("kube_client=error".parse()?);
    Ok(filter.add_directive("netlink_proto=error".parse()?))
}

/// Starts to log on standard error; once in a process. Lines are written by a thread of their own.
/// A line that standard error does not take is lost, and counted by [`lost_lines`]; a panic is told
/// there, too.
pub fn start(format: LoggingFormat, level: &str) -> anyhow::Result<LogHandle> {
    let filter = filter(level)?;
    let lines = spawn().context("starting the log's thread")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Line(Arc::clone(&lines), format))
        // They would be written to standard error, and a panic would follow where that fails.
        .log_internal_errors(false)
        .with_ansi(false)
        .with_target(false);
    let set: Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync> = match format {
        LoggingFormat::Text => {
            let log = log.with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            Box::new(move |filter| Ok(handle.reload(filter)?))
        }
        LoggingFormat::Json => {
            let log = log.json().with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            Box::new(move |filter| Ok(handle.reload(filter)?))
        }
    };
    Ok(LogHandle { set })
}

/// Lines of the log that standard error did not take.
pub fn lost_lines() -> u64 {
    LINES.get().map_or(0, |lines| lines.lost())
}

/// Prints the line that a process ends with, in its order among those of the log, and waits for a
/// second at most until all of them are written.
pub fn last_line(line: &str) {
    match LINES.get() {
        Some(lines) => lines.push(format!("{line}\n").as_bytes()),
        // Nobody to tell where standard error is closed.
        None => drop(writeln!(io::stderr(), "{line}")),
    }
    finish();
}

/// Waits, a second at most, until the lines of the log are written.
pub fn finish() {
    if let Some(lines) = LINES.get() {
        lines.drain(LAST);
    }
}

fn spawn() -> io::Result<Arc<Queue>> {
    // By a descriptor of its own: who writes to a stream that is not read has the lock of
    // `io::stderr` for as long.
    let stream = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let lines = Arc::new(Queue::default());
    let writer = Arc::clone(&lines);
    let write = move || writer.write_to(stream, tell_of_lost);
    thread::Builder::new()
        .name("viprule-log".to_owned())
        .spawn(write)?;
    let for_panics = Arc::clone(LINES.get_or_init(|| Arc::clone(&lines)));
    panic::set_hook(Box::new(move |panic| {
        for_panics.push(describe(panic).as_bytes());
        // The process may be about to abort.
        for_panics.drain(LAST);
    }));
    Ok(lines)
}

fn tell_of_lost(lost: u64) {
    tracing::warn!(
        lost,
        "lines of this log were lost since the start, as standard error did not take them; look at \
         what reads it, and at its disk"
    );
}

/// What Rust says of a panic by itself, in one line but for the backtrace.
fn describe(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let panic = panic.to_string().replace('\n', " ");
    let panic = escape::line(&panic);
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        format!("viprule: thread {thread} {panic}\n{backtrace}\n")
    } else {
        format!("viprule: thread {thread} {panic}\n")
    }
}

/// A line as it is written: one, whatever is in it.
fn shown(line: &[u8], format: LoggingFormat) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let shown = match format {
        LoggingFormat::Text => escape::line(text),
        LoggingFormat::Json => escape::json(text),
    };
    format!("{shown}\n")
}

/// Takes one line, whatever is in it.
struct Line(Arc<Queue>, LoggingFormat);

impl io::Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(shown(line, self.1).as_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_moves_no_terminal() {
        let text = "WARN a\nWARN b \u{1b}[2J\u{202e}\n";
        let written = shown(text.as_bytes(), LoggingFormat::Text);
        assert_eq!(written, "WARN a\\nWARN b \\u{1b}[2J\\u{202e}\n");
        let written = shown(
            "{\"a\":\"\u{9b}\u{202e}\"}\n".as_bytes(),
            LoggingFormat::Json,
        );
        assert_eq!(written, "{\"a\":\"\\u009b\\u202e\"}\n");
    }
}
