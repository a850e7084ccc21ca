//! What a Service that is refused asks for, as far as it can be read.

use serde_json::Value;
use viprule_service::model::{Service, ServicePort, ServiceType};

use super::object::{
    self, Ingress, Labels, LoadBalancerStatus, Metadata, ServiceSpec, ServiceStatus,
};
use super::service::{created, external_ips, ignored, listed_cluster_ips, load_balancer_ips};
use super::{field, service_id};

/// The addresses and ports of a Service: nobody else may have them while nobody can say what the
/// Service is. `None` where it is none of ours, or nothing can be read.
pub fn asked(object: &object::Service<'_>) -> Option<Service> {
    if ignored(object).is_some() {
        return None;
    }
    let spec = &object.spec;
    let unheard = &mut Vec::new();
    let cluster_ips = listed_cluster_ips(spec).iter();
    let cluster_ips = cluster_ips.filter_map(|text| field::parse_ip(text));
    let port = |port: &object::ServicePort<'_>| {
        Some(ServicePort {
            name: Box::default(),
            protocol: field::protocol(&port.protocol, "").ok()?,
            port: field::port(port.port, "").ok()?,
            node_port: field::optional_port(port.node_port, "").unwrap_or(0),
        })
    };
    let asked = Service {
        id: service_id(&object.metadata)?,
        created: created(&object.metadata, unheard),
        kind: ServiceType::ClusterIp,
        cluster_ips: cluster_ips.collect(),
        ports: spec.ports.iter().filter_map(port).collect(),
        external_ips: external_ips(spec, unheard),
        load_balancer_ips: load_balancer_ips(&object.status, unheard),
        source_ranges: Box::default(),
        affinity_seconds: None,
        internal_policy_local: false,
        external_policy_local: false,
        health_check_node_port: 0,
        balancing: None,
    };
    (!asked.cluster_ips.is_empty() && !asked.ports.is_empty()).then_some(asked)
}

/// The same of a Service that has values of other types than the API's.
pub fn asked_of_value(object: &Value) -> Option<Service> {
    let text = |value: Option<&Value>| -> object::Text<'static> {
        let text = value.and_then(Value::as_str);
        text.map(|text| text.to_owned().into()).unwrap_or_default()
    };
    let at = |pointer| text(object.pointer(pointer));
    let list = |pointer| {
        let list = object.pointer(pointer).and_then(Value::as_array);
        list.into_iter().flatten()
    };
    let texts = |pointer| list(pointer).map(|value| text(Some(value))).collect();
    let number = |value: Option<&Value>| {
        let number = value.and_then(Value::as_i64);
        number.and_then(|number| i32::try_from(number).ok())
    };
    let port = |port: &Value| object::ServicePort {
        protocol: text(port.get("protocol")),
        port: number(port.get("port")).unwrap_or(0),
        node_port: number(port.get("nodePort")).unwrap_or(0),
        ..object::ServicePort::default()
    };
    let ingress = |entry: &Value| Ingress {
        ip: text(entry.get("ip")),
        ip_mode: entry.get("ipMode").map(|mode| text(Some(mode))),
    };
    let proxy = "/metadata/labels/service.kubernetes.io~1service-proxy-name";
    asked(&object::Service {
        metadata: Metadata {
            name: at("/metadata/name"),
            namespace: at("/metadata/namespace"),
            creation_timestamp: at("/metadata/creationTimestamp"),
            labels: Labels {
                service_proxy_name: object.pointer(proxy).map(|value| text(Some(value))),
                ..Labels::default()
            },
            ..Metadata::default()
        },
        spec: ServiceSpec {
            kind: at("/spec/type"),
            cluster_ip: at("/spec/clusterIP"),
            cluster_ips: texts("/spec/clusterIPs"),
            external_ips: texts("/spec/externalIPs"),
            ports: list("/spec/ports").map(port).collect(),
            ..ServiceSpec::default()
        },
        status: ServiceStatus {
            load_balancer: LoadBalancerStatus {
                ingress: list("/status/loadBalancer/ingress").map(ingress).collect(),
            },
        },
        ..object::Service::default()
    })
}

#[cfg(test)]
mod tests {
    use viprule_service::model::Protocol;

    use super::*;

    #[test]
    fn what_can_be_read_of_a_broken_service_is_asked_for() {
        let object = serde_json::json!({
            "metadata": {"name": "web", "namespace": "a", "creationTimestamp": 7},
            "spec": {
                "clusterIP": "10.0.0.1",
                "clusterIPs": ["10.0.0.1", "fd00::1", "no address", 5],
                "externalIPs": ["198.51.100.1", null],
                "ports": [
                    {"port": 80, "nodePort": 30080},
                    {"port": "http"},
                    {"port": 53, "protocol": "UDP", "nodePort": []},
                    {"port": 0},
                ],
            },
            "status": {"loadBalancer": {"ingress": [
                {"ip": "203.0.113.1"},
                {"ip": "203.0.113.2", "ipMode": "Proxy"},
                {"hostname": "elsewhere"},
            ]}},
        });
        let asked = asked_of_value(&object).unwrap();
        assert_eq!(asked.id.to_string(), "a/web");
        let addresses: Vec<String> = asked.cluster_ips.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.1", "fd00::1"]);
        let external = asked.external_ips.iter().chain(&asked.load_balancer_ips);
        let external: Vec<String> = external.map(ToString::to_string).collect();
        assert_eq!(external, ["198.51.100.1", "203.0.113.1"]);
        let ports = asked.ports.iter();
        let ports = ports.map(|it| (it.port, it.protocol, it.node_port));
        let expected = [(80, Protocol::Tcp, 30_080), (53, Protocol::Udp, 0)];
        assert_eq!(ports.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn nothing_is_asked_for_by_what_is_none_of_ours_or_has_no_address() {
        let of = |spec: &str, label: &str| {
            let text = format!(
                r#"{{"metadata":{{"name":"a","namespace":"a","labels":{{{label}}}}},"spec":{spec}}}"#
            );
            asked_of_value(&serde_json::from_str(&text).unwrap())
        };
        let ports = r#""ports":[{"port":80}]"#;
        assert!(of(&format!(r#"{{"clusterIP":"10.0.0.1",{ports}}}"#), "").is_some());
        let proxy = r#""service.kubernetes.io/service-proxy-name":"other""#;
        assert!(of(&format!(r#"{{"clusterIP":"10.0.0.1",{ports}}}"#), proxy).is_none());
        assert!(of(&format!(r#"{{"clusterIP":"None",{ports}}}"#), "").is_none());
        assert!(of(&format!(r#"{{"clusterIP":"?",{ports}}}"#), "").is_none());
        assert!(of(r#"{"clusterIP":"10.0.0.1","ports":"none"}"#, "").is_none());
    }
}
