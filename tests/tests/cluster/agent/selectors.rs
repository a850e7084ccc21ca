//! What is programmed and what isn't, as labels and fields change (contract 1.1, 1.4, 1.6).

use serde_json::{Value, json};
use viprule_testkit::cluster::{Api, Cluster};
use viprule_testkit::k8s_openapi::api::core::v1::Service;
use viprule_testkit::k8s_openapi::api::discovery::v1::EndpointSlice;
use viprule_testkit::manifests::service;

use super::support::{Running, endpoints, rules, run, web};

const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";
const HEADLESS: &str = "service.kubernetes.io/headless";
const OWNER: &str = "kubernetes.io/service-name";

#[test]
fn what_is_programmed_follows_labels_and_fields() {
    let cluster = Cluster::start(1).unwrap();
    let api = cluster.api().unwrap();
    for (name, last, ip) in [("a", 10, "10.244.0.10"), ("b", 11, "10.244.0.11")] {
        api.apply(web(name, last).json()).unwrap();
        api.apply(endpoints(name).ready(ip, "node-0").json())
            .unwrap();
    }
    // Nobody's business from the start.
    let headless = service("headless").headless().tcp("", 80, 8080);
    api.apply(headless.json()).unwrap();
    let marked = web("marked", 12).label(OTHER_PROXY, "");
    api.apply(marked.json()).unwrap();
    let external = service("external").set("/spec/type", "ExternalName");
    let external = external.set("/spec/externalName", "example.com");
    api.apply(external.tcp("", 80, 8080).json()).unwrap();

    let mut running = run(&cluster, 0, &cluster.proxy_config(0).unwrap());
    let text = rules(&running.node);
    for name in ["headless", "marked", "external"] {
        assert!(!text.contains(&format!("default/{name}")), "{text}");
    }
    another_proxys_label_comes_and_goes(api, &mut running);
    a_slice_changes_hands(api, &mut running);
    a_slice_becomes_headless(api, &mut running);
    a_service_becomes_external(api, &mut running);
    running.terminate();
}

fn label_service(api: &Api, name: &str, key: &str, value: &Value) {
    let patch = json!({ "metadata": { "labels": { key: value } } });
    api.patch::<Service>(name, patch).unwrap();
}

fn label_slice(api: &Api, name: &str, key: &str, value: &Value) {
    let patch = json!({ "metadata": { "labels": { key: value } } });
    api.patch::<EndpointSlice>(name, patch).unwrap();
}

fn another_proxys_label_comes_and_goes(api: &Api, running: &mut Running) {
    // Whatever it says.
    for value in ["", "another-proxy"] {
        label_service(api, "default/a", OTHER_PROXY, &json!(value));
        running.wait_for_rules("default/a:", false);
        assert!(rules(&running.node).contains("default/b:"));
        label_service(api, "default/a", OTHER_PROXY, &json!(null));
        running.wait_for_rules("default/a:http -> 10.244.0.10:8080", true);
    }
    label_service(api, "default/marked", OTHER_PROXY, &json!(null));
    running.wait_for_rules("default/marked:http has no endpoints", true);
}

fn a_slice_changes_hands(api: &Api, running: &mut Running) {
    label_slice(api, "default/a-1", OWNER, &json!("b"));
    running.wait_for_rules("default/b:http -> 10.244.0.10:8080", true);
    running.wait_for_rules("default/a:http has no endpoints", true);
    let text = rules(&running.node);
    assert!(
        text.contains("default/b:http -> 10.244.0.11:8080"),
        "{text}"
    );
    assert!(!text.contains("default/a:http -> "), "{text}");
    label_slice(api, "default/a-1", OWNER, &json!("a"));
    running.wait_for_rules("default/a:http -> 10.244.0.10:8080", true);
    running.wait_for_rules("default/b:http -> 10.244.0.10:8080", false);
}

fn a_slice_becomes_headless(api: &Api, running: &mut Running) {
    label_slice(api, "default/b-1", HEADLESS, &json!(""));
    running.wait_for_rules("default/b:http has no endpoints", true);
    label_slice(api, "default/b-1", HEADLESS, &json!(null));
    running.wait_for_rules("default/b:http -> 10.244.0.11:8080", true);
}

fn a_service_becomes_external(api: &Api, running: &mut Running) {
    let external = json!({ "spec": {
        "type": "ExternalName", "externalName": "example.com",
        "clusterIP": null, "clusterIPs": null, "ipFamilies": null, "ipFamilyPolicy": null,
    } });
    api.patch::<Service>("default/b", external).unwrap();
    running.wait_for_rules("default/b:", false);
    assert!(rules(&running.node).contains("default/a:http -> 10.244.0.10:8080"));
}
