//! What happened, in order, on the clock of the simulation.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Lines; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Trace(Option<Arc<Mutex<Lines>>>);

#[derive(Debug)]
struct Lines {
    began: Instant,
    text: String,
}

impl Trace {
    /// One that keeps nothing, or everything from now on.
    pub(crate) fn new(keeps: bool) -> Self {
        let began = Instant::now();
        let text = String::new();
        Self(keeps.then(|| Arc::new(Mutex::new(Lines { began, text }))))
    }

    /// Takes note of what somebody did.
    pub(crate) fn note(&self, who: &str, what: impl fmt::Display) {
        if let Some(lines) = &self.0 {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            let at = lines.began.elapsed().as_secs_f64();
            // Strings take everything.
            let _taken = writeln!(lines.text, "{at:>10.3} {who}: {what}");
        }
    }

    /// What was noted so far.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.as_ref().map(|lines| {
            let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.text.clone()
        });
        lines.unwrap_or_default()
    }

    /// What the agent logs goes here, for as long as the answer lives.
    pub(crate) fn listen(&self) -> Option<tracing::subscriber::DefaultGuard> {
        let lines = self.0.clone()?;
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_env_filter("viprule=debug,viprule_source=debug,viprule_writer=debug,info")
            .with_ansi(false)
            .with_timer(Clock(lines.clone()))
            .with_writer(Sink(lines))
            .finish();
        Some(tracing::subscriber::set_default(subscriber))
    }
}

#[derive(Debug)]
struct Clock(Arc<Mutex<Lines>>);

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let began = {
            let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.began
        };
        write!(writer, "{:>10.3} agent:", began.elapsed().as_secs_f64())
    }
}

#[derive(Debug, Clone)]
struct Sink(Arc<Mutex<Lines>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.text.push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
