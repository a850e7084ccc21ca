//! Host settings in a namespace: only those that each namespace has of its own.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::time::Duration;

use viprule_testkit::Namespace;
use viprule_testkit::netns::require_privileges;
use viprule_writer::host::{Host, HostSettings, Outcome, Why};

const TIMEOUTS: HostSettings = HostSettings {
    max_per_core: None,
    min: None,
    tcp_established: Some(Duration::from_secs(86_400)),
    tcp_close_wait: Some(Duration::from_secs(3_600)),
    tcp_be_liberal: true,
    udp: Some(Duration::from_secs(31)),
    udp_stream: Some(Duration::from_secs(121)),
    oom_score_adj: None,
};

#[test]
fn timeouts_are_set_in_the_namespace_of_the_thread() {
    require_privileges().unwrap();
    let [namespace, other] = ["a", "b"].map(|name| Namespace::new(name).unwrap());
    let apply = || namespace.run(|| Host::default().apply(&TIMEOUTS)).unwrap();
    let outcome = apply();
    assert_eq!((outcome.changed.len(), outcome.problems.len()), (5, 0));
    let udp = "net/netfilter/nf_conntrack_udp_timeout";
    assert_eq!(namespace.sysctl(udp).unwrap(), "31");
    assert_eq!(other.sysctl(udp).unwrap(), "30");
    assert_eq!(apply(), Outcome::default());
}

#[test]
fn the_limit_of_all_namespaces_is_not_to_be_set_in_one() {
    require_privileges().unwrap();
    let namespace = Namespace::new("limit").unwrap();
    let limit = "net/netfilter/nf_conntrack_max";
    let current: u64 = namespace.sysctl(limit).unwrap().parse().unwrap();
    // Refused by the kernel outside of the first namespace; the value is what it is anyway, for
    // where it is not.
    let refused = namespace.set_sysctl(limit, &current.to_string());
    assert!(
        refused.is_err(),
        "this kernel has a limit for each namespace: correct the test"
    );
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/proc", root.path().join("proc")).unwrap();
    std::fs::create_dir_all(root.path().join("sys/devices/system/cpu")).unwrap();
    std::fs::write(root.path().join("sys/devices/system/cpu/online"), "0").unwrap();
    let parameters = root.path().join("sys/module/nf_conntrack/parameters");
    std::fs::create_dir_all(&parameters).unwrap();
    std::fs::write(parameters.join("hashsize"), "99999999").unwrap();
    let with = |min: u64| HostSettings {
        max_per_core: Some(1),
        min: Some(u32::try_from(min).unwrap()),
        ..HostSettings::default()
    };
    let apply = |settings| {
        let host = Host::below(root.path());
        namespace.run(|| host.apply(&settings)).unwrap()
    };
    let outcome = apply(with(current + 1));
    assert_eq!(outcome.changed, []);
    assert_eq!(outcome.problems[0].why, Why::NotPermitted);
    assert_eq!(outcome.problems[0].current, Some(current.to_string()));
    assert_eq!(apply(with(current)), Outcome::default(), "right already");
}
