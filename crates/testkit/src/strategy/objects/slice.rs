//! Slices of a Service.

use serde_json::{Value, json};

use super::choice::Choice;
use crate::strategy::{NODE, ZONE};

/// None to two slices of each family that the Service may have.
pub(super) fn slices(service: &Value, choice: &mut Choice<'_>) -> Vec<Value> {
    let name = service["metadata"]["name"].as_str().unwrap_or_default();
    let mut slices = Vec::new();
    for family in ["IPv4", "IPv6"] {
        for index in 0..choice.of([1, 1, 2, 0]) {
            let name = format!("{name}-{}-{index}", family.to_lowercase());
            slices.push(slice(service, &name, family, choice));
        }
    }
    slices
}

fn slice(service: &Value, name: &str, family: &str, choice: &mut Choice<'_>) -> Value {
    let owner = service["metadata"]["name"].clone();
    let mut labels = json!({
        "kubernetes.io/service-name": owner,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    });
    match choice.below(16) {
        15 => labels["service.kubernetes.io/headless"] = "".into(),
        14 => labels["kubernetes.io/service-name"] = "Another_App".into(),
        13 => labels = json!({}),
        _ => {}
    }
    let mut ports = Vec::new();
    for port in service["spec"]["ports"].as_array().into_iter().flatten() {
        let mut of_slice = json!({"port": choice.of([8080, 80, 53])});
        for key in ["name", "protocol"] {
            if let Some(value) = port.get(key) {
                of_slice[key] = value.clone();
            }
        }
        match choice.below(12) {
            11 => of_slice["port"] = 70_000.into(),
            10 => of_slice["port"] = Value::Null,
            _ => {}
        }
        ports.push(of_slice);
    }
    let count = choice.of([1, 2, 3, 0]);
    let endpoints: Value = (0..count).map(|_| endpoint(family, choice)).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": name, "namespace": "shop", "labels": labels,
            "annotations": {
                "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05Z",
            },
        },
        "addressType": family, "ports": ports, "endpoints": endpoints,
    })
}

fn endpoint(family: &str, choice: &mut Choice<'_>) -> Value {
    let (node, last) = (choice.below(3), 10 + choice.below(6));
    let address = match family {
        "IPv4" => format!("10.244.{node}.{last}"),
        _ => format!("fd00:10:244:{node}::{last}"),
    };
    let mut endpoint = json!({"addresses": [address]});
    let conditions = [
        json!({"ready": true, "serving": true, "terminating": false}),
        json!({}),
        json!({"ready": true}),
        json!({"ready": false, "serving": true, "terminating": true}),
        json!({"ready": false, "serving": false, "terminating": true}),
        json!({"ready": false}),
    ];
    let conditions = choice.of(conditions);
    endpoint["conditions"] = conditions;
    if choice.of([true, true, false]) {
        endpoint["nodeName"] = match node {
            0 => NODE.into(),
            node => format!("node-{node}").into(),
        };
    }
    match choice.below(4) {
        0 | 1 => {}
        2 => endpoint["hints"] = json!({"forZones": [{"name": ZONE}]}),
        _ => {
            endpoint["hints"] =
                json!({"forZones": [{"name": "zone-b"}], "forNodes": [{"name": "node-1"}]});
        }
    }
    if choice.rarely() {
        endpoint["zone"] = ZONE.into();
        endpoint["targetRef"] = json!({"kind": "Pod", "name": "web-0", "namespace": "shop"});
    }
    endpoint
}
