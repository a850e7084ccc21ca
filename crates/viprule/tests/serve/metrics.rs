//! Names and types beside kube-proxy's, and when what is served.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use viprule::health::Probe;
use viprule::metrics::{LocalPolicy, Metrics, Repair, SyncKind, Table, Writes};
use viprule::mode::{ModeMetrics, iptables, ipvs, nftables};
use viprule_service::model::Family;

use super::support::metrics;

const IPTABLES: &str = include_str!("golden/metrics-iptables.txt");
const NFTABLES: &str = include_str!("golden/metrics-nftables.txt");

/// What kube-proxy serves that has no meaning here, each with the reason. The golden files hold
/// none of `go_*` (there is no Go runtime) and `rest_client_*` (its client's own workings).
const NO_MEANING: &[(&str, &str)] = &[];

/// What needs counters in the kernel; see `debug`.
const IN_THE_KERNEL: &str = "_packets_total";

fn headers(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| line.starts_with('#')).collect()
}

/// Everything happens once.
fn everything(mode: ModeMetrics) -> String {
    let metrics = metrics(mode);
    let (now, took) = (SystemTime::now(), Duration::from_millis(3));
    metrics.endpoint_changes(2);
    metrics.service_changes(3, 2);
    for family in Family::ALL {
        metrics.sync_requested(family, now);
        metrics.sync_attempted(family, SyncKind::Full, took);
        metrics.sync_attempted(family, SyncKind::Partial, took);
        metrics.sync_succeeded(family, now);
        metrics.sync_failed(family, SyncKind::Full);
        metrics.sync_failed(family, SyncKind::Partial);
        metrics.cleanup_failed(family);
        metrics.network_programmed(family, now + took, now + took * 2);
        metrics.no_local_endpoints(family, LocalPolicy::Internal, 1);
        metrics.no_local_endpoints(family, LocalPolicy::External, 2);
        metrics.conntrack_reconciled(family, took, 0);
        metrics.rules(family, Table::Filter, 10);
        metrics.rules_written(family, Table::Nat, 5);
        metrics.elements(family, 7);
    }
    metrics.health_answered(Probe::Healthz, 200);
    metrics.health_answered(Probe::Livez, 503);
    metrics.feature("AllowServiceExternalIPs", "", true);
    metrics.written(&Writes {
        created: 4,
        replaced: 1,
        removed: 0,
        transactions: 2,
        bytes: 500,
    });
    metrics.repaired(Repair::Notification, 3);
    metrics.write_conflict();
    metrics.claim_conflicts(1);
    metrics.quarantined(1);
    metrics.objected(2);
    metrics.unusable(3);
    metrics.health_checks_unserved(4);
    metrics.draining(3);
    metrics.host_settings_wrong(2);
    metrics.host_setting_repaired();
    metrics.event_in_kernel(took);
    metrics.watch_heard("services", Instant::now());
    metrics.watch_relisted("services");
    metrics.watch_failed("services");
    metrics.render().unwrap()
}

fn assert_serves(golden: &str, mode: ModeMetrics) {
    let text = everything(mode);
    let served = headers(&text);
    let without = |line: &&str| {
        let name = line.split(' ').nth(2).unwrap();
        name.ends_with(IN_THE_KERNEL) || NO_MEANING.iter().any(|(known, _)| *known == name)
    };
    let golden = headers(golden);
    assert!(golden.len() > 30, "the golden file is there");
    let missing: Vec<_> = golden
        .difference(&served)
        .filter(|line| !without(line))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}\n{text}");
}

#[test]
fn every_name_type_and_help_text_is_kube_proxys() {
    assert_serves(IPTABLES, iptables::METRICS);
    assert_serves(NFTABLES, nftables::METRICS);
}

#[test]
fn a_mode_serves_its_own_metrics_only() {
    let of = |mode| everything(mode).contains("iptables_restore_failures_total");
    assert!(of(iptables::METRICS));
    assert!(of(ipvs::METRICS));
    assert!(!of(nftables::METRICS));
    let nftables = everything(nftables::METRICS);
    assert!(!nftables.contains("sync_proxy_rules_iptables"));
    assert!(nftables.contains("kubeproxy_sync_proxy_rules_nftables_sync_failures_total"));
    let elements = "\nviprule_nftables_elements{ip_family=\"IPv6\"} 7\n";
    assert!(nftables.contains(elements), "{nftables}");
    let ipvs = everything(ipvs::METRICS);
    for others in [&ipvs, &everything(iptables::METRICS)] {
        assert!(!others.contains("nftables"), "{others}");
    }
    assert!(!ipvs.contains("sync_full_proxy_rules"));
    let draining = "\nviprule_ipvs_draining_destinations 3\n";
    assert!(ipvs.contains(draining) && !nftables.contains(draining));
}

#[test]
fn samples_have_kube_proxys_labels() {
    let text = everything(iptables::METRICS);
    for line in [
        "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} 2",
        "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv6\"} 1",
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending 2",
        "kubeproxy_sync_proxy_rules_endpoint_changes_total 2",
        "kubeproxy_sync_proxy_rules_service_changes_pending 3",
        "kubeproxy_sync_proxy_rules_service_changes_total 6",
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family=\"IPv4\",traffic_policy=\"internal\"} 1",
        "kubeproxy_sync_proxy_rules_iptables_total{ip_family=\"IPv4\",table=\"filter\"} 10",
        "kubeproxy_sync_proxy_rules_iptables_last{ip_family=\"IPv6\",table=\"nat\"} 5",
        "kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family=\"IPv4\"} 1",
        "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family=\"IPv4\"} 1",
        "kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family=\"IPv4\"} 0",
        "kubeproxy_proxy_healthz_total{code=\"200\"} 1",
        "kubeproxy_proxy_livez_total{code=\"503\"} 1",
        "kubernetes_feature_enabled{name=\"AllowServiceExternalIPs\",stage=\"\"} 1",
        "viprule_written_objects_total{operation=\"created\"} 4",
        "viprule_transactions_total 2",
        "viprule_written_bytes_total 500",
        "viprule_sync_written_objects_sum 5",
        "viprule_repaired_objects_total{cause=\"notification\"} 3",
        "viprule_quarantined_services 1",
        "viprule_partly_programmed_services 2",
        "viprule_refused_objects 3",
        "viprule_unserved_health_checks 4",
        "viprule_lost_log_lines_total 0",
        "viprule_host_settings_wrong 2",
        "viprule_host_settings_repaired_total 1",
        "viprule_write_conflicts_total 1",
        "viprule_claim_conflicts_total 1",
        "viprule_watch_relists_total{resource=\"services\"} 1",
        "viprule_watch_failures_total{resource=\"services\"} 1",
    ] {
        assert!(text.lines().any(|served| served == line), "{line}\n{text}");
    }
}

fn buckets(text: &str, name: &str) -> Vec<String> {
    let samples = text.lines().filter(|line| line.starts_with(name));
    let bound = |line: &str| {
        line.split_once("le=\"")?
            .1
            .split_once('"')
            .map(|(le, _)| le.to_owned())
    };
    let mut seen = BTreeSet::new();
    samples
        .filter_map(bound)
        .filter(|bound| seen.insert(bound.clone()))
        .collect()
}

#[test]
fn buckets_are_kube_proxys() {
    let text = everything(iptables::METRICS);
    let durations = buckets(&text, "kubeproxy_sync_proxy_rules_duration_seconds_bucket");
    let expected = "0.001 0.002 0.004 0.008 0.016 0.032 0.064 0.128 0.256 0.512 1.024 2.048 \
                    4.096 8.192 16.384 +Inf";
    assert_eq!(durations.join(" "), expected);
    let programming = buckets(
        &text,
        "kubeproxy_network_programming_duration_seconds_bucket",
    );
    assert_eq!(programming.len(), 2 + 59 + 12 + 7 + 1);
    assert_eq!(programming[..4], ["0.25", "0.5", "1", "2"]);
    assert_eq!(programming[60..63], ["59", "60", "65"]);
    let last = "110 115 120 150 180 210 240 270 300 +Inf";
    assert_eq!(programming[71..].join(" "), last);
    let ours = buckets(&text, "viprule_event_to_kernel_seconds_bucket");
    assert_eq!(ours[..3], ["0.0005", "0.001", "0.002"]);
}

#[test]
fn labelled_metrics_are_absent_until_something_happens() {
    let text = metrics(iptables::METRICS).render().unwrap();
    let mut by_prefix: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        let prefix = name.split('_').next().unwrap();
        by_prefix.entry(prefix).or_default().push(name);
    }
    assert_eq!(
        by_prefix["kubeproxy"],
        [
            "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
            "kubeproxy_sync_proxy_rules_endpoint_changes_total",
            "kubeproxy_sync_proxy_rules_service_changes_pending",
            "kubeproxy_sync_proxy_rules_service_changes_total",
        ]
    );
    assert_eq!(by_prefix["kubernetes"], ["kubernetes_build_info"]);
    assert_eq!(by_prefix["process"].len(), 9);
}

#[test]
fn a_sync_takes_what_waits() {
    let metrics = metrics(nftables::METRICS);
    metrics.endpoint_changes(2);
    metrics.service_changes(1, 1);
    metrics.changes_taken();
    metrics.endpoint_changes(1);
    let text = metrics.render().unwrap();
    assert!(text.contains("\nkubeproxy_sync_proxy_rules_endpoint_changes_pending 1\n"));
    assert!(text.contains("\nkubeproxy_sync_proxy_rules_endpoint_changes_total 3\n"));
    assert!(text.contains("\nkubeproxy_sync_proxy_rules_service_changes_pending 0\n"));
}

#[test]
fn triggers_from_before_the_start_say_nothing() {
    let before = SystemTime::now();
    let metrics = metrics(nftables::METRICS);
    let second = Duration::from_secs(1);
    let now = before + second * 100;
    metrics.network_programmed(Family::Ipv4, before, now);
    let name = "kubeproxy_network_programming_duration_seconds";
    assert!(!metrics.render().unwrap().contains(name));
    metrics.network_programmed(Family::Ipv4, now, now + second);
    let text = metrics.render().unwrap();
    assert!(
        text.contains(&format!("\n{name}_sum{{ip_family=\"IPv4\"}} 1\n")),
        "{text}"
    );
}

#[test]
fn a_watch_ages_until_it_hears_something() {
    let metrics = metrics(nftables::METRICS);
    let age = |metrics: &Metrics| {
        let text = metrics.render().unwrap();
        let sample = "viprule_watch_age_seconds{resource=\"services\"} ";
        let line = text.lines().find_map(|line| line.strip_prefix(sample));
        line.map(|age| age.parse::<f64>().unwrap())
    };
    assert_eq!(age(&metrics), None);
    let now = Instant::now();
    metrics.watch_heard(
        "services",
        now.checked_sub(Duration::from_secs(30)).unwrap(),
    );
    assert!(age(&metrics).unwrap() >= 30.0);
    metrics.watch_heard("services", now);
    assert!(age(&metrics).unwrap() < 30.0);
}
