//! What conversion makes of API objects.

use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1 as discovery;
use serde_json::json;
use viprule_service::model::{EndpointSlice, Family, Node, Service};

use super::{Converted, Ignored, Interner, Outcome};

#[allow(clippy::needless_pass_by_value, reason = "callers write it in place")]
fn convert(spec: serde_json::Value) -> Converted<Service> {
    let object = json!({"metadata": {"name": "s", "namespace": "n"}, "spec": spec});
    super::service(&serde_json::from_value(with_kind(object, "v1", "Service")).unwrap()).unwrap()
}

fn with_kind(mut object: serde_json::Value, version: &str, kind: &str) -> serde_json::Value {
    object["apiVersion"] = version.into();
    object["kind"] = kind.into();
    object
}

fn programmed<T>(converted: Converted<T>) -> T {
    match converted.outcome {
        Outcome::Programmed(object) => object,
        Outcome::Ignored(reason) => panic!("ignored: {reason:?}"),
    }
}

fn texts<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn some_services_are_none_of_ours() {
    let reason = |spec| match convert(spec).outcome {
        Outcome::Ignored(reason) => reason,
        Outcome::Programmed(service) => panic!("{service:?}"),
    };
    assert_eq!(reason(json!({"clusterIP": "None"})), Ignored::Headless);
    assert_eq!(reason(json!({"clusterIP": ""})), Ignored::NoClusterIp);
    assert_eq!(reason(json!({})), Ignored::NoClusterIp);
    let external = json!({"type": "ExternalName", "clusterIP": "10.0.0.1", "ports": [{"port": 0}]});
    assert_eq!(reason(external), Ignored::ExternalName);

    let mut object: v1::Service = serde_json::from_value(with_kind(
        json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"clusterIP": "10.0.0.1"}}),
        "v1",
        "Service",
    ))
    .unwrap();
    let label = (
        "service.kubernetes.io/service-proxy-name".to_owned(),
        String::new(),
    );
    object.metadata.labels = Some([label].into());
    let outcome = super::service(&object).unwrap().outcome;
    assert_eq!(
        outcome,
        Outcome::Ignored(Ignored::ForeignProxy),
        "any value, even none"
    );
}

#[test]
fn a_family_has_the_cluster_ip_at_its_index() {
    let service = programmed(convert(json!({
        "clusterIP": "fd00::1", "clusterIPs": ["fd00::1", "10.0.0.1"], "ipFamilies": ["IPv6", "IPv4"],
    })));
    assert_eq!(texts(&service.cluster_ips), ["fd00::1", "10.0.0.1"]);

    let service = programmed(convert(json!({
        "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4", "IPv6"],
    })));
    assert_eq!(service.cluster_ip(Family::Ipv6), None, "not assigned yet");

    let service = programmed(convert(json!({"clusterIP": "10.0.0.1"})));
    assert_eq!(
        texts(&service.cluster_ips),
        ["10.0.0.1"],
        "objects of before dual stack"
    );
}

#[test]
fn load_balancer_addresses_are_those_that_arrive_here() {
    let object = json!({
        "metadata": {"name": "s", "namespace": "n"},
        "spec": {"clusterIP": "10.0.0.1"},
        "status": {"loadBalancer": {"ingress": [
            {"ip": "192.0.2.1"}, {"ip": "192.0.2.2", "ipMode": "VIP"},
            {"ip": "192.0.2.3", "ipMode": "Proxy"}, {"hostname": "lb.example"},
            {"ip": "192.0.2.1"}, {"ip": "bad"},
        ]}},
    });
    let object = serde_json::from_value(with_kind(object, "v1", "Service")).unwrap();
    let converted = super::service(&object).unwrap();
    assert_eq!(
        converted.warnings[0].field,
        "status.loadBalancer.ingress[5].ip"
    );
    assert_eq!(
        texts(&programmed(converted).load_balancer_ips),
        ["192.0.2.1", "192.0.2.2"]
    );
}

#[test]
fn external_addresses_are_skipped_where_they_are_none() {
    let converted = convert(json!({
        "clusterIP": "10.0.0.1",
        "externalIPs": ["192.0.2.010", " ", "x", "fd00::5", "192.0.2.10"],
    }));
    let warnings = texts(
        &converted
            .warnings
            .iter()
            .map(|w| format!("{}: {}", w.field, w.message))
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        warnings,
        [
            "spec.externalIPs[0]: \"192.0.2.010\" is read as 192.0.2.10, leading zeros are decimal",
            "spec.externalIPs[2]: \"x\" is not an IP address; it is skipped",
        ]
    );
    assert_eq!(
        texts(&programmed(converted).external_ips),
        ["192.0.2.10", "fd00::5"]
    );
}

#[test]
fn affinity_has_the_apis_default() {
    let service = programmed(convert(
        json!({"clusterIP": "10.0.0.1", "sessionAffinity": "ClientIP"}),
    ));
    assert_eq!(service.affinity_seconds, Some(10_800));
    let timeout = |seconds: i32| {
        let object = json!({
            "metadata": {"name": "s", "namespace": "n"},
            "spec": {"clusterIP": "10.0.0.1", "sessionAffinity": "ClientIP",
                     "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}},
        });
        super::service(&serde_json::from_value(with_kind(object, "v1", "Service")).unwrap())
            .map(|converted| programmed(converted).affinity_seconds)
    };
    assert_eq!(timeout(1), Ok(Some(1)));
    assert_eq!(timeout(86_400), Ok(Some(86_400)));
    assert_eq!(
        timeout(0).unwrap_err().to_string(),
        "Service n/s: spec.sessionAffinityConfig.clientIP.timeoutSeconds: 0 is not an affinity \
         timeout, 1 to 86400 are"
    );
    assert!(timeout(86_401).is_err());
    assert!(timeout(-1).is_err());
}

#[test]
fn the_health_check_port_needs_its_policy() {
    let port = |kind: &str, policy: &str| {
        programmed(convert(json!({
            "clusterIP": "10.0.0.1", "type": kind, "externalTrafficPolicy": policy,
            "healthCheckNodePort": 30_000,
        })))
        .health_check_node_port
    };
    assert_eq!(port("LoadBalancer", "Local"), 30_000);
    assert_eq!(port("LoadBalancer", "Cluster"), 0);
    assert_eq!(port("NodePort", "Local"), 0);
}

fn slice(object: serde_json::Value) -> Converted<EndpointSlice> {
    let object = with_kind(object, "discovery.k8s.io/v1", "EndpointSlice");
    let object: discovery::EndpointSlice = serde_json::from_value(object).unwrap();
    super::endpoint_slice(&object, &mut Interner::default()).unwrap()
}

#[test]
fn some_slices_are_none_of_ours() {
    let reason = |labels: serde_json::Value, kind: &str| {
        let object = json!({
            "metadata": {"name": "x", "namespace": "n", "labels": labels},
            "addressType": kind, "endpoints": [{"addresses": ["example.org"]}],
        });
        let converted = slice(object);
        match converted.outcome {
            Outcome::Ignored(reason) => (reason, converted.warnings.len()),
            Outcome::Programmed(slice) => panic!("{slice:?}"),
        }
    };
    let named = json!({"kubernetes.io/service-name": "s"});
    assert_eq!(reason(named, "FQDN"), (Ignored::Fqdn, 0));
    assert_eq!(reason(json!({}), "IPv4"), (Ignored::NoServiceName, 1));
    let headless = json!({"kubernetes.io/service-name": "s", "service.kubernetes.io/headless": ""});
    assert_eq!(reason(headless, "IPv4"), (Ignored::Headless, 0));
}

#[test]
fn endpoints_have_the_apis_defaults() {
    let slice = programmed(slice(json!({
        "metadata": {"name": "x", "namespace": "n", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 1}, {"port": 2}, {"name": "c"}, {"name": "d", "port": 0}],
        "endpoints": [
            {"addresses": []},
            {"addresses": ["10.0.0.1", "not looked at"], "conditions": {"ready": false}},
            {"addresses": ["10.0.0.2"], "hints": {"forZones": []}},
        ],
    })));
    assert_eq!(slice.ports.len(), 1, "ports need a name and a number");
    assert_eq!(slice.endpoints.len(), 2, "endpoints need an address");
    let first = &slice.endpoints[0].conditions;
    assert_eq!(
        (first.ready, first.serving, first.terminating),
        (false, true, false)
    );
    assert!(slice.endpoints[1].conditions.ready);
    assert_eq!(slice.endpoints[1].hints, None);
}

#[test]
fn a_node_is_read_as_far_as_services_need_it() {
    let node = |object| -> Node {
        let object = serde_json::from_value(with_kind(object, "v1", "Node")).unwrap();
        programmed(super::node(&object).unwrap())
    };
    let read = node(json!({
        "metadata": {"name": "a", "labels": {"topology.kubernetes.io/zone": "z"}},
        "spec": {"podCIDR": "10.1.0.0/24", "taints": [{"key": "x", "effect": "NoSchedule"}]},
        "status": {"addresses": [
            {"type": "ExternalIP", "address": "192.0.2.1"}, {"type": "Hostname", "address": "a"},
            {"type": "InternalIP", "address": "10.0.0.1"}, {"type": "InternalIP", "address": "?"},
            {"type": "InternalIP", "address": "fd00::1"},
        ]},
    }));
    assert_eq!(texts(&read.addresses), ["10.0.0.1", "fd00::1", "192.0.2.1"]);
    assert_eq!(texts(&read.pod_cidrs), ["10.1.0.0/24"]);
    assert!(read.eligible_for_load_balancers);

    let tainted = node(json!({
        "metadata": {"name": "a"},
        "spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]},
    }));
    assert!(!tainted.eligible_for_load_balancers);
    let leaving =
        node(json!({"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    assert!(!leaving.eligible_for_load_balancers);
}
