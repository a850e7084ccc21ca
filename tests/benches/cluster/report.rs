//! The table.

use crate::Options;
use crate::change::Changes;
use crate::process::Running;
use std::time::Duration;

pub(crate) fn print(
    options: &Options,
    running: &[Running],
    changes: &Changes,
    idle: &[f64],
) -> anyhow::Result<()> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg")?;
    println!(
        "Linux {}, {cpus} CPUs, load {}; {} Services × {} endpoints, {} changes at {} a second",
        kernel.trim(),
        load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        options.services,
        options.endpoints,
        options.changes,
        options.rate,
    );
    println!(
        "the API server answered a write after {:.1} ms (p50), {:.1} ms (p99)\n",
        milliseconds(percentile(&changes.writes, 0.5)),
        milliseconds(percentile(&changes.writes, 0.99)),
    );
    println!(
        "{:12} {:>12} {:>14} {:>14} {:>12} {:>12} {:>12}",
        "proxy",
        "first sync s",
        "change p50 ms",
        "change p99 ms",
        "peak MB",
        "rest MB",
        "idle CPU %"
    );
    for ((running, times), idle) in running.iter().zip(&changes.nodes).zip(idle) {
        let memory = running.memory()?;
        println!(
            "{:12} {:>12.1} {:>14.1} {:>14.1} {:>12.1} {:>12.1} {:>12.3}",
            running.proxy.name(),
            running.first_sync.as_secs_f64(),
            milliseconds(percentile(times, 0.5)),
            milliseconds(percentile(times, 0.99)),
            memory.peak_kib as f64 / 1024.0,
            memory.resident_kib as f64 / 1024.0,
            idle * 100.0,
        );
    }
    Ok(())
}

/// The smallest value that `share` (0.0 to 1.0) of the values don't exceed; zero of none.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into a list"
)]
fn percentile(values: &[Duration], share: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
