use std::fs;
use tempfile::TempDir;

use super::*;

const MAX: &str = "proc/sys/net/netfilter/nf_conntrack_max";
const HASH: &str = "sys/module/nf_conntrack/parameters/hashsize";
const ESTABLISHED: &str = "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established";
const CLOSE_WAIT: &str = "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait";
const LIBERAL: &str = "proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal";
const UDP: &str = "proc/sys/net/netfilter/nf_conntrack_udp_timeout";
const STREAM: &str = "proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream";
const SCORE: &str = "proc/self/oom_score_adj";
const ONLINE: &str = "sys/devices/system/cpu/online";

/// A machine with four processors and the kernel's defaults.
fn machine() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, value) in [
        (MAX, "65536\n"),
        (HASH, "16384\n"),
        (ESTABLISHED, "432000\n"),
        (CLOSE_WAIT, "60\n"),
        (LIBERAL, "0\n"),
        (UDP, "30\n"),
        (STREAM, "120\n"),
        (SCORE, "0\n"),
        (ONLINE, "0-3\n"),
    ] {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value).unwrap();
    }
    root
}

fn apply(root: &TempDir, settings: &HostSettings) -> Outcome {
    Host::below(root.path()).apply(settings)
}

fn value(root: &TempDir, path: &str) -> String {
    fs::read_to_string(root.path().join(path)).unwrap()
}

fn max(per_core: u32, min: u32) -> HostSettings {
    HostSettings {
        max_per_core: Some(per_core),
        min: Some(min),
        ..HostSettings::default()
    }
}

#[test]
fn kube_proxys_defaults_are_set_and_told() {
    let root = machine();
    let settings = HostSettings {
        tcp_established: Some(Duration::from_secs(86_400)),
        tcp_close_wait: Some(Duration::from_secs(3_600)),
        oom_score_adj: Some(-999),
        ..max(32_768, 131_072)
    };
    let outcome = apply(&root, &settings);
    assert_eq!(outcome.problems, []);
    let told: Vec<String> = outcome
        .changed
        .iter()
        .map(|it| format!("{} {} -> {}", it.setting, it.from, it.to))
        .collect();
    assert_eq!(
        told,
        [
            "net.netfilter.nf_conntrack_max 65536 -> 131072",
            "module parameter nf_conntrack.hashsize 16384 -> 32768",
            "net.netfilter.nf_conntrack_tcp_timeout_established 432000 -> 86400",
            "net.netfilter.nf_conntrack_tcp_timeout_close_wait 60 -> 3600",
            "oom_score_adj of this process 0 -> -999",
        ]
    );
    assert_eq!(value(&root, MAX), "131072");
    assert_eq!(value(&root, SCORE), "-999");
    assert_eq!(
        apply(&root, &settings),
        Outcome::default(),
        "once is enough"
    );
}

#[test]
fn what_is_not_asked_for_stays() {
    let root = machine();
    let zeros = HostSettings {
        max_per_core: Some(0),
        min: Some(1 << 20),
        tcp_established: Some(Duration::ZERO),
        udp: Some(Duration::from_millis(999)),
        ..HostSettings::default()
    };
    for settings in [HostSettings::default(), zeros] {
        assert_eq!(apply(&root, &settings), Outcome::default());
    }
}

#[test]
fn the_limit_scales_with_processors_up_to_a_cap_that_the_minimum_does_not_have() {
    for (per_core, min, expected) in [
        (32_768, 131_072, "131072"),
        (50_000, 131_072, "200000"),
        (10, 131_072, "131072"),
        (300_000, 131_072, "1048576"),
        (300_000, 2_000_000, "1048576"),
        (10, 2_000_000, "2000000"),
    ] {
        let root = machine();
        apply(&root, &max(per_core, min));
        assert_eq!(value(&root, MAX), expected, "{per_core} {min}");
    }
}

#[test]
fn a_large_hash_stays() {
    let root = machine();
    fs::write(root.path().join(HASH), "65536\n").unwrap();
    apply(&root, &max(32_768, 0));
    assert_eq!(value(&root, HASH), "65536\n");
}

#[test]
fn timeouts_and_liberality_are_set() {
    let root = machine();
    let settings = HostSettings {
        tcp_be_liberal: true,
        udp: Some(Duration::from_millis(45_900)),
        udp_stream: Some(Duration::from_secs(200)),
        ..HostSettings::default()
    };
    assert_eq!(apply(&root, &settings).changed.len(), 3);
    let values = [LIBERAL, UDP, STREAM].map(|path| value(&root, path));
    assert_eq!(values, ["1", "45", "200"]);
}

#[test]
fn a_missing_setting_is_a_problem_and_the_others_are_made() {
    let root = machine();
    fs::remove_file(root.path().join(MAX)).unwrap();
    fs::remove_file(root.path().join(HASH)).unwrap();
    let settings = HostSettings {
        tcp_be_liberal: true,
        ..max(32_768, 0)
    };
    let outcome = apply(&root, &settings);
    assert_eq!(outcome.changed.len(), 1);
    let [limit, hash] = &outcome.problems[..] else {
        panic!("{outcome:?}");
    };
    assert!(limit.essential && !hash.essential);
    assert_eq!((&limit.why, &limit.current), (&Why::Missing, &None));
    assert!(!root.path().join(MAX).exists());
    assert_eq!(
        limit.to_string(),
        "net.netfilter.nf_conntrack_max can't be set to 131072: this kernel has no such setting, \
         or its module is not loaded; load nf_conntrack, or leave it out of the configuration"
    );
}

#[test]
fn reasons_are_told_apart() {
    let of = |number| Why::of(&io::Error::from_raw_os_error(number));
    assert_eq!(of(30), Why::ReadOnly);
    assert_eq!(of(1), Why::NotPermitted);
    assert_eq!(of(13), Why::NotPermitted);
    assert_eq!(of(22), Why::Invalid);
    assert!(matches!(of(5), Why::Other(_)));
}

#[test]
fn what_can_not_be_read_or_written_is_a_problem() {
    let root = machine();
    let path = root.path().join(LIBERAL);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let liberal = HostSettings {
        tcp_be_liberal: true,
        ..HostSettings::default()
    };
    let outcome = apply(&root, &liberal);
    assert!(
        matches!(outcome.problems[0].why, Why::Other(_)),
        "{outcome:?}"
    );
}
