//! Settings of the node that IPVS mode needs (contract 3.2), and the timeouts that an operator may
//! set (contract 3.3).
//!
//! What has its value already is not written. What can't be set is told with what to do about it,
//! as in [`crate::host`].

use std::time::Duration;

use ipvs_netlink::{Ipvs, Requests, Timeouts};

use super::probe;
use crate::WriteError;
use crate::host::{Change, Host, Outcome, Problem, Setting, Why};

/// Settings that are always made.
const ALWAYS: [&str; 4] = [
    "net/ipv4/vs/conntrack",
    "net/ipv4/vs/expire_nodest_conn",
    "net/ipv4/vs/expire_quiescent_template",
    "net/ipv4/ip_forward",
];
/// A connection that reuses a source port is scheduled anew or not.
const REUSE: &str = "net/ipv4/vs/conn_reuse_mode";
/// Kernels where scheduling it anew delays it by a second: from this one on to below that one.
const REUSE_IS_SLOW: [(u32, u32); 2] = [(4, 1), (5, 9)];

/// The node does not answer ARP requests for virtual addresses, and values for that.
const STRICT_ARP: [(&str, u8); 2] = [
    ("net/ipv4/conf/all/arp_ignore", 1),
    ("net/ipv4/conf/all/arp_announce", 2),
];

/// The settings below `/proc/sys` that [`apply`] may make.
pub fn sysctls() -> Vec<&'static str> {
    let arp = STRICT_ARP.map(|(path, _)| path);
    ALWAYS.into_iter().chain([REUSE]).chain(arp).collect()
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpvsSettings {
    /// The node does not answer ARP requests for virtual addresses (`ipvs.strictARP`).
    pub strict_arp: bool,
    /// How long idle established TCP connections are kept, whole seconds; `None` and zero leave it
    /// as it is (`ipvs.tcpTimeout`).
    pub tcp: Option<Duration>,
    /// TCP connections after a FIN (`ipvs.tcpFinTimeout`).
    pub tcp_fin: Option<Duration>,
    /// UDP (`ipvs.udpTimeout`).
    pub udp: Option<Duration>,
}

/// Makes the settings on this machine, in the network namespace of the calling thread.
pub fn apply(settings: &IpvsSettings) -> Outcome {
    let mut outcome = set_sysctls(&Host::default(), settings);
    set_timeouts(settings, &mut outcome);
    outcome
}

fn set_sysctls(host: &Host, settings: &IpvsSettings) -> Outcome {
    let mut outcome = Outcome::default();
    for path in ALWAYS {
        host.set(&Setting::sysctl(path), 1, &mut outcome);
    }
    let release = host.read(&Setting::sysctl("kernel/osrelease"));
    let version = release.ok().and_then(|release| version(&release));
    let [from, below] = REUSE_IS_SLOW;
    if version.is_some_and(|it| (from..below).contains(&it)) {
        host.set(&Setting::sysctl(REUSE), 0, &mut outcome);
    }
    if settings.strict_arp {
        for (path, value) in STRICT_ARP {
            host.set(&Setting::sysctl(path), value, &mut outcome);
        }
    }
    outcome
}

/// The first two numbers of a kernel's release, such as `6.1.0-41-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn set_timeouts(settings: &IpvsSettings, outcome: &mut Outcome) {
    let seconds = |timeout: Option<Duration>| {
        let seconds = timeout.unwrap_or_default().as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX)
    };
    let wanted = Timeouts {
        tcp: seconds(settings.tcp),
        tcp_fin: seconds(settings.tcp_fin),
        udp: seconds(settings.udp),
    };
    if wanted == Timeouts::default() {
        return;
    }
    let current = probe::open().and_then(|mut ipvs| {
        let current = ipvs.config().map_err(asking)?;
        Ok((ipvs, current))
    });
    let (mut ipvs, current) = match current {
        Ok(found) => found,
        Err(error) => {
            outcome.problems.push(problem(wanted, None, &error));
            return;
        }
    };
    let keep = |wanted: u32, current: u32| if wanted == 0 { current } else { wanted };
    let result = Timeouts {
        tcp: keep(wanted.tcp, current.tcp),
        tcp_fin: keep(wanted.tcp_fin, current.tcp_fin),
        udp: keep(wanted.udp, current.udp),
    };
    if result == current {
        return;
    }
    match send(&mut ipvs, &wanted) {
        Ok(()) => outcome.changed.push(Change {
            setting: NAME.to_owned(),
            from: text(current),
            to: text(result),
        }),
        Err(error) => {
            outcome
                .problems
                .push(problem(result, Some(current), &error));
        }
    }
}

fn send(ipvs: &mut Ipvs, timeouts: &Timeouts) -> Result<(), WriteError> {
    let mut requests: Requests<()> = ipvs.requests();
    requests.set_config(timeouts);
    let answers = ipvs.send(&mut requests).map_err(asking)?;
    match answers.refusals.first() {
        Some(refusal) => Err(WriteError::failed(
            "setting IPVS timeouts",
            requests.reason(refusal).to_string(),
        )),
        None => Ok(()),
    }
}

/// What the timeouts are called.
const NAME: &str = "IPVS timeouts (tcp, tcpfin, udp)";

fn text(timeouts: Timeouts) -> String {
    let Timeouts { tcp, tcp_fin, udp } = timeouts;
    format!("{tcp} {tcp_fin} {udp}")
}

fn problem(wanted: Timeouts, current: Option<Timeouts>, error: &WriteError) -> Problem {
    Problem {
        setting: NAME.to_owned(),
        wanted: text(wanted),
        current: current.map(text),
        essential: false,
        why: match error {
            WriteError::Permission { .. } => Why::NotPermitted,
            error => Why::Other(error.to_string()),
        },
    }
}

fn asking(error: netlink_batch::Error) -> WriteError {
    WriteError::of("setting IPVS timeouts", error, super::servers::PART)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const ALL: [(&str, &str); 7] = [
        ("net/ipv4/vs/conntrack", "0"),
        ("net/ipv4/vs/expire_nodest_conn", "0"),
        ("net/ipv4/vs/expire_quiescent_template", "0"),
        ("net/ipv4/ip_forward", "0"),
        ("net/ipv4/vs/conn_reuse_mode", "1"),
        ("net/ipv4/conf/all/arp_ignore", "0"),
        ("net/ipv4/conf/all/arp_announce", "0"),
    ];

    fn machine(release: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, value) in ALL.iter().copied().chain([("kernel/osrelease", release)]) {
            let path = root.path().join("proc/sys").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        }
        root
    }

    fn values(root: &Path) -> String {
        let read = |(path, _): &(&str, _)| fs::read_to_string(root.join("proc/sys").join(path));
        let values = ALL.iter().map(read);
        let values: Vec<_> = values.map(|it| it.unwrap().trim().to_owned()).collect();
        values.join(" ")
    }

    fn set(root: &Path, strict_arp: bool) -> Outcome {
        let settings = IpvsSettings {
            strict_arp,
            ..IpvsSettings::default()
        };
        set_sysctls(&Host::below(root), &settings)
    }

    #[test]
    fn what_differs_is_set_once() {
        let root = machine("6.1.0-41-amd64");
        let outcome = set(root.path(), false);
        assert_eq!((outcome.changed.len(), outcome.problems.len()), (4, 0));
        assert_eq!(values(root.path()), "1 1 1 1 1 0 0");
        assert_eq!(set(root.path(), false), Outcome::default());
    }

    #[test]
    fn arp_is_strict_where_that_is_asked_for() {
        let root = machine("6.1.0");
        set(root.path(), true);
        assert_eq!(values(root.path()), "1 1 1 1 1 1 2");
    }

    #[test]
    fn reuse_is_set_on_kernels_where_it_is_slow() {
        for (release, expected) in [
            ("4.0.9", "1"),
            ("4.1.0", "0"),
            ("4.19.0-27-amd64", "0"),
            ("5.8.18", "0"),
            ("5.9-rc1", "1"),
            ("5.10.0", "1"),
            ("strange", "1"),
        ] {
            let root = machine(release);
            set(root.path(), false);
            let values = values(root.path());
            assert_eq!(values, format!("1 1 1 1 {expected} 0 0"), "{release}");
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let root = machine("6.1.0");
        fs::remove_dir_all(root.path().join("proc/sys/net/ipv4/vs")).unwrap();
        let outcome = set(root.path(), false);
        assert_eq!((outcome.changed.len(), outcome.problems.len()), (1, 3));
        let problem = outcome.problems[0].to_string();
        assert!(problem.contains("load ip_vs"), "{problem}");
    }
}
