//! Metrics and paths beside those of real kube-proxy on the same objects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv6Addr, SocketAddr};

use viprule_testkit::Namespace;
use viprule_testkit::cluster::{Cluster, HEALTH_PORT, METRICS_PORT, Proxy, ProxyConfig, http_get};
use viprule_testkit::manifests::{service, slice};

use super::answers::{EDGE, local};
use super::support::{LIMIT, Running, ask, rules};

/// kube-proxy's series: names and labels, each with its value; buckets are left out.
fn series(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| {
        line.starts_with("kubeproxy_") && !line.contains("_bucket") && !line.contains("_packets_")
    });
    let split = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.to_owned())
    };
    lines.map(split).collect()
}

/// Real kube-proxy on another machine takes itself for the same node.
pub(super) fn series_and_counts_are_kube_proxys(
    cluster: &Cluster,
    running: &mut Running,
    config: &ProxyConfig,
) {
    let machine = cluster.node(1).namespace();
    let path = cluster.write_proxy_config(1, config).unwrap();
    let mut proxy = Proxy::KubeProxy.start(machine, &path).unwrap();
    proxy
        .wait_until("kube-proxy's rules", LIMIT, || {
            let (_, text) = http_get(machine, METRICS_PORT, "/metrics").unwrap_or_default();
            let done = "kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=";
            ["IPv4", "IPv6"]
                .iter()
                .all(|it| text.contains(&format!("{done}\"{it}\"}}")))
        })
        .unwrap();
    http_get(machine, HEALTH_PORT, "/healthz").unwrap();
    http_get(machine, HEALTH_PORT, "/livez").unwrap();
    // A UDP Service's endpoints change, and a partial sync follows.
    let api = cluster.api().unwrap();
    let dns = service("dns").cluster_ip("10.1.0.99").udp("dns", 53, 53);
    let dns = dns.cluster_ip("fd00:10:1::99");
    api.apply(dns.json()).unwrap();
    let now = running.node.command("date").args(["-u", "+%FT%T.%NZ"]);
    let now = now.text().unwrap();
    for ip in ["10.244.0.99", "fd00:10:244::99"] {
        let name = if ip.contains(':') { "dns-6" } else { "dns-4" };
        let slice = slice(name, "dns").udp("dns", 53).ready(ip, "node-0");
        let trigger = "endpoints.kubernetes.io/last-change-trigger-time";
        api.apply(slice.annotation(trigger, now.trim()).json())
            .unwrap();
    }
    let ours = running.node.try_clone().unwrap();
    for node in [machine, &ours] {
        proxy
            .wait_until("the change", LIMIT, || {
                let text = rules(node);
                text.contains("10.244.0.99:53") && text.contains("[fd00:10:244::99]:53")
            })
            .unwrap();
    }
    let read = |node: &Namespace| series(&http_get(node, METRICS_PORT, "/metrics").unwrap().1);
    let mut last = (BTreeMap::new(), BTreeMap::new());
    let settled = proxy.wait_until("the same series", LIMIT, || {
        last = (read(machine), read(&ours));
        let (theirs, ours) = &mut last;
        // Of the taint.
        ours.remove("kubeproxy_proxy_healthz_total{code=\"503\"}");
        theirs.keys().eq(ours.keys())
            && theirs.iter().all(|(name, value)| {
                // What differs from run to run: times, durations, how often what was asked for.
                let counts = ["_iptables_total", "no_local", "pending"];
                let counts = counts.iter().any(|part| name.contains(part));
                !counts || ours.get(name) == Some(value)
            })
    });
    settled.unwrap_or_else(|error| panic!("{error}\n{:#?}\n{:#?}", last.0, last.1));
    paths_answer_alike(machine, &running.node);
    proxy.kill().unwrap();
}

/// Status and kind of every path that somebody may ask for.
fn paths_answer_alike(theirs: &Namespace, ours: &Namespace) {
    const DEBUG: [&str; 18] = [
        "/",
        "/healthz",
        "/healthz/ping",
        "/healthz?verbose",
        "/healthz?verbose&exclude=ping",
        "/healthz/nothing",
        "/livez",
        "/readyz",
        "/metrics",
        "/metrics/slis",
        "/metrics/nothing",
        "/proxyMode",
        "/configz",
        "/flagz",
        "/statusz",
        "/debug/pprof",
        "/debug/pprof/",
        "/debug/flags/v",
    ];
    const HEALTH: [&str; 5] = ["/", "/healthz", "/livez", "/healthz/", "/metrics"];
    const NO_SNIFF: &str = "x-content-type-options: nosniff";
    let kind = |node: &Namespace, port, path| {
        let answer = ask(node, local(port), path).unwrap_or_else(|error| error.to_string());
        let (head, _) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let head = head.to_lowercase();
        let wanted = [
            "http/",
            "content-type:",
            "x-content-type-options:",
            "location:",
        ];
        let lines = head
            .lines()
            .filter(|line| wanted.iter().any(|it| line.starts_with(it)));
        let lines: BTreeSet<_> = lines.map(str::to_owned).collect();
        lines
    };
    let ports = [(METRICS_PORT, &DEBUG[..]), (HEALTH_PORT, &HEALTH)];
    let mut different = Vec::new();
    for (port, paths) in ports {
        for path in paths {
            let (wanted, mut found) = (kind(theirs, port, path), kind(ours, port, path));
            // A browser may always be told.
            if !wanted.contains(NO_SNIFF) {
                found.remove(NO_SNIFF);
            }
            if wanted != found {
                different.push((port, path, wanted, found));
            }
        }
    }
    assert!(different.is_empty(), "{different:#?}");
    // A Service of one family has its health check there alone.
    let ipv6 = SocketAddr::from((Ipv6Addr::LOCALHOST, EDGE));
    for node in [theirs, ours] {
        assert!(ask(node, local(EDGE), "/").is_ok());
        assert!(ask(node, ipv6, "/").is_err(), "on {}", node.name());
    }
}
