//! What the agent serves over HTTP when its input is manifests.

use serde_json::Value;
use viprule_testkit::LIMIT;
use viprule_testkit::cluster::{HEALTH_PORT, METRICS_PORT, http_get};

use crate::support::{Place, good};

#[test]
fn health_and_metrics_are_served_with_manifests() {
    let place = Place::new();
    place.write("good.yaml", &good("fine", "10.1.0.10"));
    let mut agent = place.run();
    agent.wait_for_line("first sync", LIMIT).unwrap();
    let get = |port, path| http_get(&place.namespace, port, path).unwrap();
    agent
        .wait_until("health", LIMIT, || get(HEALTH_PORT, "/healthz").0 == 200)
        .unwrap();

    let (_, body) = get(HEALTH_PORT, "/healthz");
    let health: Value = serde_json::from_str(&body).unwrap();
    for path in ["/healthy", "/nodeEligible", "/status/IPv4/healthy"] {
        assert_eq!(
            health.pointer(path),
            Some(&Value::Bool(true)),
            "{path} of {body}"
        );
    }
    assert_eq!(health.get("warnings"), None, "{body}");

    let (status, metrics) = get(METRICS_PORT, "/metrics");
    assert_eq!(status, 200);
    let has = |line: &str| metrics.lines().any(|it| it == line);
    for line in [
        "kubeproxy_proxy_healthz_total{code=\"200\"} 2",
        "kubeproxy_sync_proxy_rules_endpoint_changes_total 1",
        "viprule_transactions_total 1",
        "viprule_quarantined_services 0",
    ] {
        assert!(has(line), "no {line:?} in\n{metrics}");
    }
}
