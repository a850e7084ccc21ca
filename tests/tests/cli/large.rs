//! Files with a whole cluster in them.

use std::fmt::Write as _;

use crate::support::{Place, good};

/// One `kind: List` as kubectl prints it, with some 300,000 YAML nodes.
fn list(services: u32, endpoints: u32) -> String {
    let mut text = "apiVersion: v1\nkind: List\nitems:\n".to_owned();
    for service in 0..services {
        let (high, low) = (service / 256, service % 256);
        let _ = writeln!(
            text,
            "- apiVersion: v1\n  kind: Service\n  metadata: {{name: s{service}, namespace: shop}}\n  \
             spec: {{clusterIP: 10.1.{high}.{low}, ports: [{{name: http, port: 80}}]}}\n\
             - apiVersion: discovery.k8s.io/v1\n  kind: EndpointSlice\n  metadata: {{name: \
             s{service}-a, namespace: shop, labels: {{kubernetes.io/service-name: s{service}}}}}\n  \
             addressType: IPv4\n  ports: [{{name: http, port: 8080}}]\n  endpoints:"
        );
        for endpoint in 1..=endpoints {
            let _ = writeln!(
                text,
                "  - {{addresses: [10.{}.{low}.{endpoint}], nodeName: node-0, \
                 conditions: {{ready: true, serving: true, terminating: false}}}}",
                128 + high
            );
        }
    }
    text
}

#[test]
fn a_list_of_hundreds_of_thousands_of_yaml_nodes_is_read() {
    let place = Place::new();
    let text = list(120, 200);
    place.write("list.yaml", &text);
    let out = place
        .viprule("render --node node-0 --manifests {} --ip-family ipv4")
        .clean(0);
    let endpoints = out
        .lines()
        .filter(|line| line.contains("-j DNAT --to-destination"));
    assert_eq!(endpoints.count(), 24_000);
}

#[test]
fn an_error_deep_in_a_list_is_told_with_its_place() {
    let place = Place::new();
    let text = list(40, 40).replacen("10.128.39.40]", "10.128.39.400]", 1);
    let line = text
        .lines()
        .position(|line| line.contains("10.128.39.400]"))
        .unwrap()
        + 1;
    place.write("list.yaml", &text);
    place.write("good.yaml", &good("fine", "10.2.0.1"));
    place.viprule("render --node node-0 --manifests {}").says(&[
        &format!("list.yaml: document 1, line {line}: EndpointSlice shop/s39-a: "),
        "endpoints[39].addresses[0]: \"10.128.39.400\" is not an IP address",
    ]);
}
