//! Services and slices as the model has them, in few words.

use std::net::IpAddr;

use viprule_service::model::{
    Conditions, CreationTime, Endpoint, EndpointSlice, Family, Protocol, Service, ServiceId,
    ServicePort, ServiceType, SliceId, SlicePort,
};

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

/// A `LoadBalancer` in namespace `shop` with the TCP port `http`, 80, and nothing else: no node
/// port, no balancer's address.
///
/// # Panics
///
/// If the name is no DNS label.
pub fn service(name: &str, cluster_ips: &[IpAddr]) -> Service {
    Service {
        id: id(name),
        created: CreationTime::default(),
        kind: ServiceType::LoadBalancer,
        cluster_ips: cluster_ips.into(),
        ports: [ServicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: 0,
        }]
        .into(),
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
