//! `viprule run`

use std::time::Duration;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use viprule_writer::iptables::probe;

use super::{exit, node, print};
use crate::agent::{self, RunOptions};
use crate::config::{DataplaneArgs, InputArgs, Resolved};

/// Keep the kernel right: the node agent
///
/// Writes what differs at the start, on every change of the input and whenever somebody else
/// changes our rules. SIGTERM ends it and leaves all rules in place; SIGHUP makes it read its
/// input again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    dataplane: DataplaneArgs,
    /// How often the kernel is checked without any change being known, such as 30s or 1m
    #[arg(
        long,
        value_parser = duration,
        default_value = "30s",
        value_name = "DURATION",
        help_heading = "Sync"
    )]
    iptables_sync_period: Duration,
    /// How long to wait between the end of one sync and the next, such as 1s or 500ms
    #[arg(
        long,
        value_parser = duration,
        default_value = "0s",
        value_name = "DURATION",
        help_heading = "Sync"
    )]
    iptables_min_sync_period: Duration,
    /// How log lines look
    #[arg(long, value_enum, default_value_t, help_heading = "Log")]
    logging_format: LoggingFormat,
    /// How much is logged: error, warn, info, debug or trace
    #[arg(
        long,
        env = "VIPRULE_LOG",
        default_value = "info",
        value_name = "LEVEL",
        help_heading = "Log"
    )]
    log_level: String,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum LoggingFormat {
    /// A line of text
    #[default]
    Text,
    /// A JSON object
    Json,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    anyhow::ensure!(
        !args.iptables_sync_period.is_zero(),
        "--iptables-sync-period: must not be 0"
    );
    anyhow::ensure!(
        args.iptables_min_sync_period <= args.iptables_sync_period,
        "--iptables-min-sync-period: must not be longer than --iptables-sync-period"
    );
    start_logging(args)?;
    let resolved = Resolved::new(&args.input, &args.dataplane)?;
    let support = probe(true)?;
    if !support.nfacct {
        print::note("this kernel has no nfacct counters: the rules that count go without them");
    }
    agent::run(&RunOptions {
        manifests: args.input.manifests.clone(),
        settings: node::fit(&resolved, support),
        plan: resolved.plan,
        sync_period: args.iptables_sync_period,
        min_sync_period: args.iptables_min_sync_period,
    })?;
    Ok(exit::OK)
}

fn start_logging(args: &Args) -> anyhow::Result<()> {
    let filter: EnvFilter = args
        .log_level
        .parse()
        .map_err(|error| anyhow::anyhow!("--log-level: {error}"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false);
    match args.logging_format {
        LoggingFormat::Text => log.init(),
        LoggingFormat::Json => log.json().init(),
    }
    Ok(())
}

/// Durations as Go writes them: a number with a unit, or several in a row.
fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("\u{b5}s", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let wrong = || format!("{text:?} is not a duration such as 30s, 1m30s or 500ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let factor = UNITS
            .iter()
            .find(|(unit, _)| *unit == &rest[..end])
            .ok_or_else(wrong)?
            .1;
        seconds += number * factor;
        rest = &rest[end..];
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in ["", "30", "s", "5x", "-1s", "1m30"] {
            assert!(duration(wrong).is_err() || wrong.is_empty(), "{wrong}");
        }
    }
}
