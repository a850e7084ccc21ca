//! Services.

use serde_json::{Map, Value, json};

use super::choice::Choice;
use super::{Objects, annotations};

/// The Service that `objects` is at.
pub(super) fn service(objects: &mut Objects, choice: &mut Choice<'_>) -> Value {
    let number = objects.services;
    let mut metadata = json!({"name": format!("svc-{number}"), "namespace": "shop"});
    if choice.rarely() {
        metadata["labels"] = json!({"app.kubernetes.io/name": "web"});
    }
    if choice.below(16) == 15 {
        metadata["labels"] = json!({"service.kubernetes.io/service-proxy-name": "other"});
    }
    let mut notes = annotations(choice);
    balancing(&mut notes, choice);
    if !notes.is_empty() {
        metadata["annotations"] = notes.into();
    }
    let mut object = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata});
    let kinds = ["ClusterIP", "NodePort", "LoadBalancer"];
    let kind = match choice.below(16) {
        15 => {
            object["spec"] = json!({"type": "ExternalName", "externalName": "example.org"});
            return object;
        }
        14 => {
            object["spec"] = json!({"clusterIP": "None", "selector": {"app": "web"}});
            return object;
        }
        other => kinds[other as usize % kinds.len()],
    };
    let mut spec = json!({"type": kind, "selector": {"app": "web"}});
    addresses(&mut spec, number, choice);
    let on_nodes = kind != "ClusterIP";
    spec["ports"] = ports(objects, on_nodes, choice);
    if kind == "LoadBalancer" {
        spec["allocateLoadBalancerNodePorts"] = false.into();
        balancer(&mut object, &mut spec, number, choice);
    }
    policies(objects, &mut spec, choice);
    if choice.rarely() {
        let mut condition = json!({"type": "X", "status": "True", "reason": "R", "message": "<m>"});
        if choice.of([false, true]) {
            condition["lastTransitionTime"] = "9999-12-31T23:59:59Z".into();
        }
        object["status"]["conditions"] = json!([condition]);
    }
    object["spec"] = spec;
    object
}

/// The annotations that IPVS mode reads, good and bad.
fn balancing(annotations: &mut Map<String, Value>, choice: &mut Choice<'_>) {
    let mut note = |name: &str, text: &str| {
        annotations.insert(format!("ipvs.viprule.dev/{name}"), text.into());
    };
    if choice.rarely() {
        note(
            "scheduler",
            choice.of(["mh", "wrr", " sh ", "no such", "", "<rr>"]),
        );
    }
    if choice.rarely() {
        note(
            "scheduler-flags",
            choice.of(["mh-port", "sh-fallback,sh-port", "x"]),
        );
    }
    if choice.rarely() {
        note(
            "weights",
            choice.of([
                "10.244.0.0/16=3,node-1=2",
                "10.244.0.10=5",
                "node-1=0",
                "a&b=1",
            ]),
        );
    }
}

fn addresses(spec: &mut Value, number: u32, choice: &mut Choice<'_>) {
    let v4 = format!("10.1.{}.{}", number / 250, number % 250 + 1);
    let v6 = format!("fd00:10:1::{number:x}");
    match choice.below(6) {
        0 => spec["clusterIP"] = v4.into(),
        1 => spec["clusterIPs"] = json!([v4]),
        2 => {
            spec["clusterIP"] = v6.as_str().into();
            spec["clusterIPs"] = json!([v6]);
            spec["ipFamilies"] = json!(["IPv6"]);
        }
        3 => {
            spec["clusterIP"] = v4.as_str().into();
            spec["ipFamilies"] = json!(["IPv4"]);
            spec["ipFamilyPolicy"] = "SingleStack".into();
        }
        both => {
            let (ips, families) = if both == 4 {
                ([v4, v6], ["IPv4", "IPv6"])
            } else {
                ([v6, v4], ["IPv6", "IPv4"])
            };
            spec["clusterIP"] = ips[0].as_str().into();
            spec["clusterIPs"] = json!(ips);
            spec["ipFamilies"] = json!(families);
            spec["ipFamilyPolicy"] = "RequireDualStack".into();
        }
    }
    if choice.rarely() {
        let mut external = vec![format!("198.51.{}.{}", number / 250, number % 250 + 1)];
        if choice.rarely() {
            external.push(format!("fd00:98::{number:x}"));
        }
        spec["externalIPs"] = json!(external);
    }
}

/// One to three ports; who has more than one names them.
fn ports(objects: &mut Objects, on_nodes: bool, choice: &mut Choice<'_>) -> Value {
    let count = choice.of([1, 1, 2, 3]);
    let names = ["http", "dns", "metrics"];
    let ports = names.iter().zip(0_u16..).take(count).map(|(name, index)| {
        let mut port = json!({"port": 80 + index});
        if count > 1 || choice.rarely() {
            port["name"] = (*name).into();
        }
        match choice.below(4) {
            0 => {}
            1 => port["protocol"] = "TCP".into(),
            2 => port["protocol"] = "UDP".into(),
            _ => port["protocol"] = "SCTP".into(),
        }
        match choice.below(3) {
            0 => {}
            1 => port["targetPort"] = 8080.into(),
            _ => port["targetPort"] = "web".into(),
        }
        if choice.rarely() {
            port["appProtocol"] = "kubernetes.io/h2c".into();
        }
        if on_nodes && let Some(number) = objects.node_port() {
            port["nodePort"] = number.into();
        }
        port
    });
    ports.collect()
}

fn balancer(object: &mut Value, spec: &mut Value, number: u32, choice: &mut Choice<'_>) {
    let ip = format!("203.0.{}.{}", 113 + number / 250, number % 250 + 1);
    let mut ingress = vec![json!({"ip": ip, "ipMode": choice.of(["VIP", "VIP", "Proxy"])})];
    if choice.rarely() {
        ingress.push(json!({"hostname": "lb.example.org"}));
    }
    if choice.rarely() {
        ingress[0]["ports"] = json!([{"port": 80, "protocol": "TCP"}]);
    }
    object["status"]["loadBalancer"]["ingress"] = ingress.into();
    if choice.rarely() {
        let ranges = [
            json!(["192.0.2.0/24", "fd00:2::/64"]),
            json!([" 192.0.2.128/25 "]),
            json!(["0.0.0.0/0", "192.0.2.0/24"]),
        ];
        spec["loadBalancerSourceRanges"] = choice.of(ranges);
    }
    if choice.rarely() {
        spec["loadBalancerClass"] = "example.org/lb".into();
    }
}

fn policies(objects: &mut Objects, spec: &mut Value, choice: &mut Choice<'_>) {
    if choice.rarely() {
        spec["sessionAffinity"] = "ClientIP".into();
        if choice.of([true, false]) {
            spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": 600}});
        }
    }
    if choice.rarely() {
        spec["internalTrafficPolicy"] = choice.of(["Local", "Cluster"]).into();
    }
    if choice.rarely() {
        spec["trafficDistribution"] = "PreferClose".into();
    }
    let kind = spec["type"].as_str();
    let balancer = kind == Some("LoadBalancer");
    let reached = kind != Some("ClusterIP") || spec.get("externalIPs").is_some();
    if reached && choice.of([false, true]) {
        let check = if balancer { objects.node_port() } else { None };
        if !balancer || check.is_some() {
            spec["externalTrafficPolicy"] = "Local".into();
        }
        if let Some(check) = check {
            spec["healthCheckNodePort"] = check.into();
        }
    }
}
