//! Terse facts for the tests of this crate.

use std::net::IpAddr;

use super::{Budgets, NodeFacts, PlanConfig};
use crate::model::{
    Conditions, CreationTime, Endpoint, EndpointSlice, Family, Protocol, Service, ServiceId,
    ServicePort, ServiceType, SliceId, SlicePort,
};

/// This node.
pub(crate) const NODE: &str = "node-0";

/// Takes new connections.
pub(crate) const READY: Conditions = Conditions {
    ready: true,
    serving: true,
    terminating: false,
};
/// Terminating, still answers.
pub(crate) const SERVING: Conditions = Conditions {
    ready: false,
    serving: true,
    terminating: true,
};
/// Terminating, no longer answers.
pub(crate) const STOPPED: Conditions = Conditions {
    ready: false,
    serving: false,
    terminating: true,
};
/// Not ready, not terminating.
pub(crate) const NOT_READY: Conditions = Conditions {
    ready: false,
    serving: true,
    terminating: false,
};

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn id(name: &str) -> ServiceId {
    ServiceId::new("ns", name).unwrap()
}

/// A `ClusterIP` Service with the port `http`, 80/TCP, on 10.1.0.1.
pub(crate) fn service(name: &str) -> Service {
    let http = ServicePort {
        name: "http".into(),
        protocol: Protocol::Tcp,
        port: 80,
        node_port: 0,
    };
    Service {
        id: id(name),
        created: CreationTime::default(),
        kind: ServiceType::ClusterIp,
        cluster_ips: [ip("10.1.0.1")].into(),
        ports: [http].into(),
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

pub(crate) fn slice_port(name: &str, port: u16) -> SlicePort {
    SlicePort {
        name: name.into(),
        protocol: Protocol::Tcp,
        port,
    }
}

/// An IPv4 slice of Service `a` with the port `http`, 8080/TCP.
pub(crate) fn slice<const N: usize>(name: &str, endpoints: [Endpoint; N]) -> EndpointSlice {
    EndpointSlice {
        id: SliceId::new(id("a"), name).unwrap(),
        family: Family::Ipv4,
        ports: [slice_port("http", 8080)].into(),
        endpoints: endpoints.into(),
    }
}

pub(crate) fn endpoint(address: &str, conditions: Conditions, node: &str) -> Endpoint {
    Endpoint {
        address: ip(address),
        conditions,
        node: Some(node.into()),
        hints: None,
    }
}

pub(crate) fn config() -> PlanConfig {
    PlanConfig {
        node_name: NODE.into(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
    }
}

pub(crate) fn facts() -> NodeFacts {
    NodeFacts {
        zone: Some("east".into()),
        node_ip: [Some(ip("192.0.2.10")), Some(ip("fd00:2::10"))],
        local_addresses: Vec::new(),
        pod_cidrs: Vec::new(),
        api_server: Vec::new(),
        service_cidrs: Vec::new(),
    }
}
