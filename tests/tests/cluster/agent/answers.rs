//! What the agent answers over TCP, beside what kube-proxy answered on the same objects.

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};

use serde_json::{Value, json};
use viprule_testkit::cluster::{Cluster, HEALTH_PORT, METRICS_PORT, http_get, node_object};
use viprule_testkit::golden::MANIFEST;
use viprule_testkit::k8s_openapi::api::core::v1::Service;
use viprule_testkit::manifests::slice;

use super::beside::series_and_counts_are_kube_proxys;
use super::support::{LIMIT, Running, ask, run, start};

const HEALTHZ: &str = include_str!("../../../../crates/viprule/tests/serve/golden/healthz.txt");
const CHECK: &str =
    include_str!("../../../../crates/viprule/tests/serve/golden/healthcheck-nodeport.txt");
const METRICS: &str =
    include_str!("../../../../crates/viprule/tests/serve/golden/metrics-iptables.txt");
const CONFIGZ: &str = include_str!("../../../../crates/viprule/tests/config/files/configz.json");
/// The health check node port of `shop/edge`.
pub(super) const EDGE: u16 = 32_040;

#[test]
fn a_node_answers_as_kube_proxy_did() {
    let mut cluster = Cluster::start(2).unwrap();
    let api = cluster.api().unwrap();
    let shop = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    api.apply(&shop).unwrap();
    api.apply_yaml(MANIFEST).unwrap();
    let config = cluster.proxy_config(0).unwrap();
    let config = config
        .set("/healthzBindAddress", "127.0.0.1:10256")
        .set("/logging/verbosity", 2)
        .set("/iptables/minSyncPeriod", "1s")
        .set("/conntrack/tcpEstablishedTimeout", "0s")
        .set("/conntrack/tcpCloseWaitTimeout", "0s");
    let mut running = run(&cluster, 0, &config);
    health_has_the_shape(&mut running);
    the_mode_and_the_configuration_are_served(&running);
    service_health_follows_endpoints(&cluster, &mut running);
    eligibility_follows_the_autoscaler(&cluster, &mut running);
    every_metric_is_there(&cluster, &mut running);
    series_and_counts_are_kube_proxys(&cluster, &mut running, &config);
    an_outage_is_a_warning(&mut cluster, &mut running);
    running.terminate();
    a_server_that_is_away_at_the_start_harms_nobody(&mut cluster);
}

pub(super) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Head and body without what differs from answer to answer: dates, times and lengths.
fn shape(answer: &str) -> (BTreeSet<String>, String) {
    let answer = answer.replace("\r\n", "\n");
    let (head, body) = answer.split_once("\n\n").unwrap();
    let line = |line: &str| match line.split_once(": ") {
        Some((name @ ("Date" | "date" | "Content-Length" | "content-length"), _)) => {
            name.to_lowercase()
        }
        Some((name, value)) => format!("{}: {value}", name.to_lowercase()),
        None => line.to_owned(),
    };
    // `Connection: close` was asked for.
    let wanted = |line: &&str| !line.to_lowercase().starts_with("connection:");
    let head = head.lines().filter(wanted).map(line).collect();
    let mut parts: Vec<&str> = body.split('"').collect();
    for part in &mut parts {
        if part.starts_with("20") && part.ends_with('Z') {
            *part = "TIME";
        }
    }
    (head, parts.join("\""))
}

fn health_has_the_shape(running: &mut Running) {
    running.wait_for_health(200, "");
    let answer = ask(&running.node, local(HEALTH_PORT), "/healthz").unwrap();
    assert_eq!(shape(&answer), shape(HEALTHZ));
    let answer = ask(&running.node, local(HEALTH_PORT), "/livez").unwrap();
    let (head, body) = shape(HEALTHZ);
    assert_eq!(
        shape(&answer),
        (head, body.replace("\"nodeEligible\":true,", ""))
    );
    let (status, body) = http_get(&running.node, HEALTH_PORT, "/readyz").unwrap();
    assert_eq!((status, body.trim()), (404, "404 page not found"));
    let answer = ask(&running.node, local(EDGE), "/anything").unwrap();
    assert_eq!(shape(&answer), shape(CHECK));
}

fn the_mode_and_the_configuration_are_served(running: &Running) {
    let answer = ask(&running.node, local(METRICS_PORT), "/proxyMode").unwrap();
    let (head, body) = shape(&answer);
    assert_eq!(body, "iptables");
    assert!(
        head.contains("content-type: text/plain; charset=utf-8")
            && head.contains("x-content-type-options: nosniff"),
        "{head:?}"
    );
    let (status, text) = http_get(&running.node, METRICS_PORT, "/configz").unwrap();
    assert_eq!(status, 200);
    let mut served: Value = serde_json::from_str(&text).unwrap();
    let mut golden: Value = serde_json::from_str(CONFIGZ).unwrap();
    for document in [&mut served, &mut golden] {
        document["kubeproxy.config.k8s.io"]["clientConnection"]["kubeconfig"] = Value::Null;
    }
    assert_eq!(served, golden);
    for path in ["/", "/livez", "/readyz"] {
        assert_eq!(http_get(&running.node, METRICS_PORT, path).unwrap().0, 404);
    }
    let (status, body) = http_get(&running.node, METRICS_PORT, "/healthz").unwrap();
    assert_eq!((status, body.as_str()), (200, "ok"));
}

/// Waits for what the health check node port says: its status and endpoints.
#[track_caller]
fn wait_for_check(running: &mut Running, wanted: Option<(u16, usize)>) {
    let Running { agent, node, .. } = running;
    let says = || {
        let answer = ask(node, local(EDGE), "/").ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let weight = answer.split("Weight: ").nth(1).map(str::to_owned);
        let weight = weight.or_else(|| answer.split("weight: ").nth(1).map(str::to_owned))?;
        let weight = weight.lines().next()?.trim().parse().ok()?;
        Some((status, weight))
    };
    let what = format!("{wanted:?} on the health check node port");
    let result = agent.wait_until(&what, LIMIT, || says() == wanted);
    result.unwrap();
}

fn service_health_follows_endpoints(cluster: &Cluster, running: &mut Running) {
    let api = cluster.api().unwrap();
    let of = |local: &[&str]| {
        let slice = slice("shop/edge-a", "edge").tcp("https", 8443);
        let slice = slice.ready("10.244.1.40", "node-1");
        let slice = local.iter().fold(slice, |it, ip| it.ready(ip, "node-0"));
        slice.json().clone()
    };
    for (endpoints, wanted) in [
        (&["10.244.0.40", "10.244.0.41"][..], (200, 2)),
        (&[], (503, 0)),
        (&["10.244.0.42"], (200, 1)),
    ] {
        api.apply(&of(endpoints)).unwrap();
        wait_for_check(running, Some(wanted));
    }
    let policy = |policy: &str| json!({ "spec": { "externalTrafficPolicy": policy } });
    api.patch::<Service>("shop/edge", policy("Cluster"))
        .unwrap();
    wait_for_check(running, None);
    let mut local = policy("Local");
    local["spec"]["healthCheckNodePort"] = EDGE.into();
    api.patch::<Service>("shop/edge", local).unwrap();
    wait_for_check(running, Some((200, 1)));
}

fn eligibility_follows_the_autoscaler(cluster: &Cluster, running: &mut Running) {
    let api = cluster.api().unwrap();
    let object = node_object(cluster.node(0)).zone("zone-a");
    let taint = json!([{ "key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule" }]);
    api.apply(object.clone().set("/spec/taints", taint).json())
        .unwrap();
    let body = running.wait_for_health(503, "\"nodeEligible\":false");
    assert!(body.contains("\"healthy\":true"), "{body}");
    let (status, _) = http_get(&running.node, HEALTH_PORT, "/livez").unwrap();
    assert_eq!(status, 200);
    // Its own traffic is no business of the node's eligibility.
    wait_for_check(running, Some((200, 1)));
    api.apply(object.json()).unwrap();
    running.wait_for_health(200, "\"nodeEligible\":true");
}

fn types(text: &str) -> BTreeSet<&str> {
    let types = text.lines().filter(|line| line.starts_with("# TYPE"));
    types.collect()
}

fn every_metric_is_there(cluster: &Cluster, running: &mut Running) {
    let api = cluster.api().unwrap();
    let now = std::time::SystemTime::now();
    let seconds = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let trigger = running.node.command("date").args(["-u", "+%FT%TZ", "-d"]);
    let trigger = trigger.arg(format!("@{seconds}")).text().unwrap();
    let slice = slice("default/my-nginx-4xk2p", "my-nginx").tcp("", 80);
    let slice = slice.ready("10.244.0.6", "node-0").annotation(
        "endpoints.kubernetes.io/last-change-trigger-time",
        trigger.trim(),
    );
    api.apply(slice.json()).unwrap();
    running.wait_for_rules("10.244.0.6:80", true);
    let node = running.node.try_clone().unwrap();
    running.wait_until("the programming latency", || {
        let (_, text) = http_get(&node, METRICS_PORT, "/metrics").unwrap();
        text.contains("kubeproxy_network_programming_duration_seconds_count{ip_family=\"IPv4\"} 1")
    });
    let text = running.metrics();
    let missing: Vec<_> = types(METRICS).difference(&types(&text)).copied().collect();
    // Where the kernel has no counters for rules, kube-proxy has none either.
    let counted = running.node.command("iptables-nft-save").text().unwrap();
    let counted = counted.contains("-m nfacct");
    let missing: Vec<_> = missing
        .into_iter()
        .filter(|line| counted || !line.contains("_packets_total"))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}\n{text}");
    for line in [
        // Of each family: what the Service's policy wants on this node and isn't there.
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family=\"IPv4\",traffic_policy=\"internal\"} 1",
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending 0",
        "kubeproxy_sync_proxy_rules_service_changes_pending 0",
        "viprule_quarantined_services 0",
        "kubernetes_feature_enabled{name=\"AllowServiceExternalIPs\",stage=\"\"} 1",
    ] {
        assert!(text.lines().any(|served| served == line), "{line}\n{text}");
    }
    for name in [
        "viprule_written_objects_total{operation=\"created\"}",
        "viprule_transactions_total",
        "viprule_written_bytes_total",
        "viprule_sync_written_objects_count",
        "viprule_event_to_kernel_seconds_count",
        "viprule_watch_age_seconds{resource=\"services\"}",
        "viprule_watch_age_seconds{resource=\"endpointslices\"}",
        "viprule_watch_age_seconds{resource=\"nodes\"}",
        "kubeproxy_proxy_healthz_total{code=\"200\"}",
        "kubeproxy_proxy_healthz_total{code=\"503\"}",
        "kubeproxy_proxy_livez_total{code=\"200\"}",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(name)),
            "{name}\n{text}"
        );
    }
}

fn an_outage_is_a_warning(cluster: &mut Cluster, running: &mut Running) {
    let generation = running.generation();
    cluster.control_plane().kill_apiserver().unwrap();
    let body = running.wait_for_health(200, "\"subject\":\"watch endpointslices\"");
    assert!(body.contains("\"healthy\":true"), "{body}");
    running.wait_for_health(200, "\"subject\":\"watch services\"");
    let text = running.metrics();
    assert!(
        text.contains("viprule_watch_failures_total{resource=\"services\"}"),
        "{text}"
    );
    cluster.control_plane().start_apiserver().unwrap();
    let node = running.node.try_clone().unwrap();
    running.wait_until("no warning", || {
        let (status, body) = http_get(&node, HEALTH_PORT, "/healthz").unwrap();
        status == 200 && !body.contains("warnings")
    });
    assert_eq!(running.generation(), generation, "nothing was written");
}

/// Without rules of its own yet, it is alive, and it becomes well by itself.
fn a_server_that_is_away_at_the_start_harms_nobody(cluster: &mut Cluster) {
    cluster.control_plane().kill_apiserver().unwrap();
    let config = cluster.proxy_config(0).unwrap();
    // A request may wait for two of these.
    let config = config.set("/iptables/syncPeriod", "1s");
    let mut running = start(cluster, 0, &config);
    let body = running.wait_for_health(503, "\"subject\":\"watch nodes\"");
    assert!(body.contains("\"nodeEligible\":false"), "{body}");
    std::thread::sleep(std::time::Duration::from_secs(3));
    let (status, body) = http_get(&running.node, HEALTH_PORT, "/livez").unwrap();
    assert_eq!(status, 200, "{body}");
    let ipv6 = SocketAddr::from((Ipv6Addr::LOCALHOST, HEALTH_PORT));
    assert!(
        ask(&running.node, ipv6, "/livez")
            .unwrap()
            .contains(" 200 ")
    );
    // It can be told to end, too.
    running.terminate();
    let mut running = start(cluster, 0, &config);
    running.wait_for_health(503, "\"subject\":\"watch nodes\"");
    cluster.control_plane().start_apiserver().unwrap();
    running.wait_for_line("first sync");
    running.wait_for_health(200, "\"nodeEligible\":true");
    running.terminate();
}
