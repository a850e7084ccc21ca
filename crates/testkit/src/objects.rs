//! Services, slices and nodes as the model has them, and how plans are made of them, in few words.

use std::net::IpAddr;

use viprule_service::model::{
    Conditions, CreationTime, Endpoint, EndpointSlice, Family, Node, Protocol, Service, ServiceId,
    ServicePort, ServiceType, SliceId, SlicePort,
};
use viprule_service::plan::{Budgets, PlanConfig};

/// Takes new connections.
pub const READY: Conditions = Conditions {
    ready: true,
    serving: true,
    terminating: false,
};
/// Starts, or fails its probe.
pub const NOT_READY: Conditions = Conditions {
    ready: false,
    serving: false,
    terminating: false,
};
/// Shuts down, but still answers.
pub const DRAINING: Conditions = Conditions {
    ready: false,
    serving: true,
    terminating: true,
};
/// Shuts down and doesn't answer any more.
pub const DEAD: Conditions = Conditions {
    ready: false,
    serving: false,
    terminating: true,
};

/// An address that a test wrote down.
///
/// # Panics
///
/// If it is none.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an IP address")
}

/// The Service of this name in namespace `shop`.
///
/// # Panics
///
/// If the name is no DNS label.
pub fn id(name: &str) -> ServiceId {
    ServiceId::new("shop", name).expect("a DNS label")
}

/// A `ClusterIP` Service that has nothing yet: no address, no port, no policy.
pub fn bare_service(id: ServiceId) -> Service {
    Service {
        id,
        created: CreationTime::default(),
        kind: ServiceType::ClusterIp,
        cluster_ips: [].into(),
        ports: [].into(),
        external_ips: [].into(),
        load_balancer_ips: [].into(),
        source_ranges: [].into(),
        affinity_seconds: None,
        internal_policy_local: false,
        external_policy_local: false,
        health_check_node_port: 0,
        balancing: None,
    }
}

/// A `LoadBalancer` in namespace `shop` with the TCP port `http`, 80, and nothing else: no node
/// port, no balancer's address.
///
/// # Panics
///
/// If the name is no DNS label.
pub fn service(name: &str, cluster_ips: &[IpAddr]) -> Service {
    Service {
        kind: ServiceType::LoadBalancer,
        cluster_ips: cluster_ips.into(),
        ports: [port("http", 80)].into(),
        ..bare_service(id(name))
    }
}

/// A TCP port without node port.
pub fn port(name: &str, port: u16) -> ServicePort {
    ServicePort {
        name: name.into(),
        protocol: Protocol::Tcp,
        port,
        node_port: 0,
    }
}

/// An endpoint without hints.
pub fn endpoint(address: IpAddr, node: Option<&str>, conditions: Conditions) -> Endpoint {
    Endpoint {
        address,
        conditions,
        node: node.map(Into::into),
        hints: None,
    }
}

/// The slice of a family that a Service of [`service`] has, its endpoints on port 8080.
///
/// # Panics
///
/// If the Service's name is too long for a slice's.
pub fn slice(service: &ServiceId, family: Family, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let name = format!("{}-{family:?}", service.name()).to_lowercase();
    EndpointSlice {
        id: SliceId::new(service.clone(), &name).expect("a DNS name"),
        family,
        ports: [SlicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 8080,
        }]
        .into(),
        endpoints: endpoints.into(),
    }
}

/// A node that load balancers may use, in no zone and without pod networks.
pub fn node(name: &str, addresses: &[IpAddr]) -> Node {
    Node {
        name: name.to_owned(),
        addresses: addresses.to_vec(),
        zone: None,
        pod_cidrs: Vec::new(),
        eligible_for_load_balancers: true,
    }
}

/// Plans for the node of this name, with kube-proxy's defaults and our own.
pub fn plan_config(node_name: &str) -> PlanConfig {
    PlanConfig {
        node_name: node_name.to_owned(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
    }
}
