//! The program's log, whose filter can change while it runs.

use std::fmt;

use tracing_subscriber::EnvFilter;

use crate::config::LoggingFormat;

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

/// Starts to log on standard error; once in a process.
pub fn start(format: LoggingFormat, level: &str) -> anyhow::Result<LogHandle> {
    let filter = filter(level)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
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
