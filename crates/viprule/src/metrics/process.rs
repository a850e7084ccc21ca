//! `process_*`, as Go's Prometheus client has them.

use std::fs;

use prometheus::Registry;

use super::collect::{self, Kind, Metric};

/// Clock ticks a second in `/proc` (`USER_HZ`), 100 on every architecture that we are built for.
const TICKS: f64 = 100.0;

const METRICS: &[Metric] = &[
    counter(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
    ),
    gauge("process_open_fds", "Number of open file descriptors."),
    gauge(
        "process_max_fds",
        "Maximum number of open file descriptors.",
    ),
    gauge(
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
    ),
    gauge(
        "process_virtual_memory_max_bytes",
        "Maximum amount of virtual memory available in bytes.",
    ),
    gauge(
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
    ),
    gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
    ),
    counter(
        "process_network_receive_bytes_total",
        "Number of bytes received by the process over the network.",
    ),
    counter(
        "process_network_transmit_bytes_total",
        "Number of bytes sent by the process over the network.",
    ),
];

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric {
        name,
        help,
        kind: Kind::Counter,
    }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric {
        name,
        help,
        kind: Kind::Gauge,
    }
}

pub(super) fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    collect::register(registry, METRICS, || {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        let stat = read("/proc/self/stat");
        let status = read("/proc/self/status");
        let limits = read("/proc/self/limits");
        let network = read("/proc/self/net/netstat");
        vec![
            cpu_seconds(&stat),
            open_files(),
            limit(&limits, "Max open files"),
            kibibytes(&status, "VmSize:"),
            limit(&limits, "Max address space"),
            kibibytes(&status, "VmRSS:"),
            start_seconds(&stat, &read("/proc/stat")),
            octets(&network, "InOctets"),
            octets(&network, "OutOctets"),
        ]
    })
}

/// When this process started, in whole seconds since 1970.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time after 1970"
)]
pub(super) fn start_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    start_seconds(&stat, &system).map(|seconds| seconds as u64)
}

/// A field of `/proc/self/stat` by its number in `proc_pid_stat(5)`, from 3 on: the second is the
/// program's name, which may hold anything.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS)
}

fn start_seconds(stat: &str, system: &str) -> Option<f64> {
    let boot = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + field(stat, 22)? / TICKS)
}

fn open_files() -> Option<f64> {
    // The folder that is read takes one itself.
    let open = fs::read_dir("/proc/self/fd").ok()?.count() - 1;
    u32::try_from(open).ok().map(f64::from)
}

/// A soft limit; without one it is the largest number, as Go's client has it.
fn limit(limits: &str, name: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" {
        return Some(18_446_744_073_709_551_615.0);
    }
    soft.parse().ok()
}

/// A line of `/proc/self/status`, in bytes.
fn kibibytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let amount: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(amount * 1024.0)
}

/// A column of `IpExt` in `netstat`: a line of names, then a line of values. These are the
/// network namespace's, as there are none of a process.
fn octets(network: &str, column: &str) -> Option<f64> {
    let mut lines = network
        .lines()
        .filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    columns.find(|(name, _)| *name == column)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_is_no_trouble() {
        let numbers: Vec<String> = (4..=30).map(|number| format!("{number}00")).collect();
        let stat = format!("7 (a) b (c) S {}", numbers.join(" "));
        assert_eq!(cpu_seconds(&stat), Some(14.0 + 15.0));
        assert_eq!(
            start_seconds(&stat, "cpu 1 2\nbtime 1000\nprocesses 3\n"),
            Some(1022.0)
        );
    }

    #[test]
    fn limits_are_soft_ones() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n\
                      Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(limit(limits, "Max open files"), Some(1024.0));
        let without = limit(limits, "Max address space").unwrap();
        assert_eq!(format!("{without:e}"), "1.8446744073709552e19");
        assert_eq!(limit(limits, "Max locks"), None);
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        let status = "Name:\tx\nVmSize:\t    2048 kB\nVmRSS:\t     100 kB\n";
        assert_eq!(kibibytes(status, "VmSize:"), Some(2_097_152.0));
        assert_eq!(kibibytes(status, "VmRSS:"), Some(102_400.0));
        let network =
            "TcpExt: A B\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 5 6\n";
        assert_eq!(octets(network, "InOctets"), Some(5.0));
        assert_eq!(octets(network, "OutOctets"), Some(6.0));
    }

    #[test]
    fn this_process_started_in_the_past_and_has_files_open() {
        let started = start_time().unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        assert!(started > 1_500_000_000 && started <= now.as_secs() + 1);
        assert!(open_files().unwrap() >= 3.0);
    }
}
