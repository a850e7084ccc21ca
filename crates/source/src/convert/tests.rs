//! What conversion makes of API objects.

use serde_json::{Value, json};
use viprule_service::model::{CreationTime, EndpointSlice, Family, Node, Service};

use super::object::{self, decode_value};
use super::{Converted, Ignored, Interner, ObjectError, Outcome};

fn try_service(object: &Value) -> Result<Converted<Service>, ObjectError> {
    super::service(&decode_value(object).unwrap())
}

#[allow(clippy::needless_pass_by_value, reason = "callers write it in place")]
fn convert(spec: Value) -> Converted<Service> {
    let metadata = json!({"name": "s", "namespace": "n"});
    try_service(&json!({"metadata": metadata, "spec": spec})).unwrap()
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

    let labels = json!({"service.kubernetes.io/service-proxy-name": ""});
    let object = json!({
        "metadata": {"name": "s", "namespace": "n", "labels": labels},
        "spec": {"clusterIP": "10.0.0.1"},
    });
    let outcome = try_service(&object).unwrap().outcome;
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
    let converted = try_service(&object).unwrap();
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
        try_service(&object).map(|converted| programmed(converted).affinity_seconds)
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

fn try_slice(object: &Value) -> Result<Converted<EndpointSlice>, ObjectError> {
    let object: object::EndpointSlice<'_> = decode_value(object).unwrap();
    super::endpoint_slice(&object, &mut Interner::default())
}

#[allow(clippy::needless_pass_by_value, reason = "callers write it in place")]
fn slice(object: Value) -> Converted<EndpointSlice> {
    try_slice(&object).unwrap()
}

#[test]
fn some_slices_are_none_of_ours() {
    let reason = |labels: Value, kind: &str| {
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
        "ports": [{"port": 1}, {"name": "c"}, {"name": "d", "port": 0}],
        "endpoints": [
            {"addresses": []},
            {"addresses": ["10.0.0.1", "not looked at"], "conditions": {"ready": false}},
            {"addresses": ["10.0.0.2"], "hints": {"forZones": []}},
        ],
    })));
    assert_eq!(slice.ports.len(), 1, "ports need a number");
    assert_eq!(&*slice.ports[0].name, "", "as the API server fills it in");
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
    let node = |object: Value| -> Node {
        programmed(super::node(&decode_value(&object).unwrap()).unwrap())
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

#[test]
fn fields_that_do_not_count_may_hold_anything() {
    let metadata = json!({
        "name": "s", "namespace": "n", "managedFields": 5, "ownerReferences": {"x": null},
        "creationTimestamp": null, "labels": {"a": null}, "annotations": {"b": 7},
    });
    let spec = json!({
        "clusterIP": "10.0.0.1", "selector": 5, "trafficDistribution": {},
        "ports": [{"port": 80, "targetPort": {}, "appProtocol": []}],
    });
    let status = json!({"conditions": "none", "loadBalancer": {"ingress": [{"ports": 5}]}});
    let odd = json!({"metadata": metadata, "spec": spec, "status": status});
    let spec = json!({"clusterIP": "10.0.0.1", "ports": [{"port": 80}]});
    assert_eq!(try_service(&odd).unwrap(), convert(spec));
}

/// What a real API server (1.36) stores, and kube-proxy serves.
#[test]
fn no_time_refuses_an_object() {
    let service = |time: Value| {
        let condition = json!({
            "type": "X", "status": "True", "reason": "R", "message": "m",
            "lastTransitionTime": time,
        });
        let object = json!({
            "metadata": {"name": "s", "namespace": "n", "creationTimestamp": time},
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]},
            "status": {"conditions": [condition], "loadBalancer": {}},
        });
        programmed(try_service(&object).unwrap())
    };
    let node = |time: Value| -> Node {
        let object = json!({
            "metadata": {"name": "a", "deletionTimestamp": time},
            "spec": {"taints": [{"key": "x", "effect": "NoExecute", "timeAdded": time}]},
        });
        programmed(super::node(&decode_value(&object).unwrap()).unwrap())
    };
    let created = |time| service(time).created;
    let usual = service(json!("2026-01-02T03:04:05Z"));
    assert_eq!(usual.created, CreationTime::at(1_767_323_045));
    assert_eq!(created(Value::Null), CreationTime::default());
    let unknown = service(Value::Null);
    let usual = Service {
        created: CreationTime::default(),
        ..usual
    };
    assert_eq!(unknown, usual);
    assert!(node(Value::Null).eligible_for_load_balancers);
    for time in ["9999-12-31T23:59:59Z", "10000-01-01T11:59:59Z", ""] {
        let service = Service {
            created: CreationTime::default(),
            ..service(json!(time))
        };
        assert_eq!(service, usual, "{time}");
        assert!(!node(json!(time)).eligible_for_load_balancers, "{time}");
    }
}

#[test]
fn null_is_as_absent() {
    let spec = json!({"clusterIP": "10.0.0.1", "ports": [{"port": 80}]});
    let object = json!({
        "metadata": {"name": "s", "namespace": "n", "labels": null, "annotations": null},
        "spec": {
            "clusterIP": "10.0.0.1", "clusterIPs": null, "ipFamilies": null, "type": null,
            "ports": [{"port": 80, "name": null, "protocol": null, "nodePort": null}],
            "externalIPs": null, "loadBalancerSourceRanges": null, "sessionAffinity": null,
            "sessionAffinityConfig": null, "internalTrafficPolicy": null,
            "externalTrafficPolicy": null, "healthCheckNodePort": null,
        },
        "status": {"loadBalancer": {"ingress": null}},
    });
    assert_eq!(try_service(&object).unwrap(), convert(spec));
    for status in [Value::Null, json!({"loadBalancer": null})] {
        let object =
            json!({"metadata": {"name": "s", "namespace": "n"}, "spec": null, "status": status});
        let outcome = try_service(&object).unwrap().outcome;
        assert_eq!(outcome, Outcome::Ignored(Ignored::NoClusterIp));
    }

    let metadata =
        json!({"name": "x", "namespace": "n", "labels": {"kubernetes.io/service-name": "s"}});
    let with = |ports: Value, endpoints: Value| {
        programmed(slice(json!({
            "metadata": metadata, "addressType": "IPv4", "ports": ports, "endpoints": endpoints,
        })))
    };
    let empty = with(Value::Null, Value::Null);
    assert!(empty.ports.is_empty() && empty.endpoints.is_empty());
    let nulls = with(
        json!([{"name": null, "protocol": null, "port": 1}, {"port": null}]),
        json!([
            {"addresses": ["10.0.0.1"], "conditions": null, "nodeName": null, "hints": null},
            {"addresses": ["10.0.0.1"], "conditions": {"ready": null, "serving": null},
             "hints": {"forZones": null, "forNodes": null}},
            {"addresses": null},
        ]),
    );
    let plain = with(
        json!([{"port": 1}]),
        json!([{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.1"]}]),
    );
    assert_eq!(nulls, plain);
}

#[test]
fn a_wrong_type_in_a_field_that_counts_has_its_path() {
    let error = |object: &Value| {
        let error = decode_value::<object::Service<'_>>(object).unwrap_err();
        let text = object.to_string();
        let same = object::decode::<object::Service<'_>>(&text).unwrap_err();
        assert_eq!(error.field, same.field);
        format!("{}: {}", error.field, error.message)
    };
    let cases = [
        (
            json!({"spec": []}),
            "spec: invalid type: sequence, expected an object",
        ),
        (
            json!({"spec": {"ports": [{"port": 1}, {"port": "http"}]}}),
            "spec.ports[1].port: invalid type: string \"http\", expected a number",
        ),
        (
            json!({"spec": {"externalIPs": ["10.0.0.1", 5]}}),
            "spec.externalIPs[1]: invalid type: integer `5`, expected a string",
        ),
        (
            json!({"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": true}}}),
            "metadata.labels[\"service.kubernetes.io/service-proxy-name\"]: invalid type: boolean \
             `true`, expected a string",
        ),
    ];
    for (object, expected) in cases {
        assert_eq!(error(&object), expected);
    }
    let long = error(&json!({"metadata": {"labels": "x".repeat(100_000)}}));
    assert!(long.len() < 400 && long.ends_with('…'), "{long}");
}

/// The API server (1.36) does not look at the number.
#[test]
fn a_slice_port_with_an_impossible_number_is_left_out() {
    let converted = slice(json!({
        "metadata": {"name": "x", "namespace": "n", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4",
        "ports": [{"name": "a", "port": 70_000}, {"name": "b", "port": 80}, {"name": "c", "port": -1}],
        "endpoints": [{"addresses": ["10.0.0.1"]}],
    }));
    let warnings: Vec<_> = converted
        .warnings
        .iter()
        .map(|warning| format!("{}: {}", warning.field, warning.message))
        .collect();
    assert_eq!(
        warnings,
        [
            "ports[0].port: 70000 is not a port, 1 to 65535 are; it is skipped",
            "ports[2].port: -1 is not a port, 1 to 65535 are; it is skipped",
        ]
    );
    let slice = programmed(converted);
    assert_eq!(slice.ports.len(), 1);
    assert_eq!((&*slice.ports[0].name, slice.ports[0].port), ("b", 80));
    assert_eq!(slice.endpoints.len(), 1);
}

/// Label values allow more than the names of Services.
#[test]
fn a_slice_of_a_service_that_cannot_be_is_ignored() {
    let converted = slice(json!({
        "metadata": {"name": "x", "namespace": "n", "labels": {"kubernetes.io/service-name": "My_App"}},
        "addressType": "IPv4",
    }));
    assert_eq!(converted.outcome, Outcome::Ignored(Ignored::NoServiceName));
    assert_eq!(converted.warnings.len(), 1);
    assert!(
        converted.warnings[0]
            .message
            .starts_with("has the character 'M'"),
        "{:?}",
        converted.warnings
    );
}
