//! `EndpointSlices`.

use super::{metadata, object_builder, push, set};
use crate::wire::Protocol;
use serde_json::{Value, json};

/// An `EndpointSlice` under construction; prints as YAML.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSlice(pub(super) Value);

object_builder!(EndpointSlice);

/// A slice named `namespace/name` of the Service `service` in the same namespace. Its address type
/// is that of the first endpoint, IPv4 as long as there is none.
pub fn slice(name: &str, service: &str) -> EndpointSlice {
    let slice = EndpointSlice(json!({
        "addressType": "IPv4",
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata(name),
        "endpoints": [],
        "ports": [],
    }));
    slice.label("kubernetes.io/service-name", service)
}

impl EndpointSlice {
    /// A port; `name` must be that of the Service's port, empty if that has none.
    #[must_use]
    pub fn port(mut self, protocol: Protocol, name: &str, port: u16) -> Self {
        let entry = json!({ "name": name, "port": port, "protocol": protocol.to_string() });
        push(&mut self.0, "/ports", entry);
        self
    }

    /// A TCP port.
    #[must_use]
    pub fn tcp(self, name: &str, port: u16) -> Self {
        self.port(Protocol::Tcp, name, port)
    }

    /// A UDP port.
    #[must_use]
    pub fn udp(self, name: &str, port: u16) -> Self {
        self.port(Protocol::Udp, name, port)
    }

    /// An SCTP port.
    #[must_use]
    pub fn sctp(self, name: &str, port: u16) -> Self {
        self.port(Protocol::Sctp, name, port)
    }

    /// A ready endpoint on a node.
    #[must_use]
    pub fn ready(self, address: &str, node: &str) -> Self {
        self.endpoint(endpoint(address).node(node))
    }

    /// Any endpoint.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        let ipv6 = endpoint.0["addresses"][0]
            .as_str()
            .is_some_and(|ip| ip.contains(':'));
        if self.0["endpoints"].as_array().is_some_and(Vec::is_empty) && ipv6 {
            self.0["addressType"] = "IPv6".into();
        }
        push(&mut self.0, "/endpoints", endpoint.0);
        self
    }
}

/// An endpoint of a slice under construction.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint(Value);

/// A ready endpoint, on no node in particular.
pub fn endpoint(address: &str) -> Endpoint {
    Endpoint(json!({
        "addresses": [address],
        "conditions": { "ready": true, "serving": true, "terminating": false },
    }))
}

impl Endpoint {
    /// The node that it runs on.
    #[must_use]
    pub fn node(self, name: &str) -> Self {
        self.set("/nodeName", name.into())
    }

    /// The zone that it runs in.
    #[must_use]
    pub fn zone(self, zone: &str) -> Self {
        self.set("/zone", zone.into())
    }

    /// Neither ready nor serving.
    #[must_use]
    pub fn not_ready(self) -> Self {
        self.set("/conditions/ready", false.into())
            .set("/conditions/serving", false.into())
    }

    /// Terminating, and still serving or not.
    #[must_use]
    pub fn terminating(self, serving: bool) -> Self {
        self.set("/conditions/ready", false.into())
            .set("/conditions/serving", serving.into())
            .set("/conditions/terminating", true.into())
    }

    /// A hint that clients in this zone should use it.
    #[must_use]
    pub fn hint_zone(mut self, zone: &str) -> Self {
        push(&mut self.0, "/hints/forZones", json!({ "name": zone }));
        self
    }

    /// A hint that clients on this node should use it.
    #[must_use]
    pub fn hint_node(mut self, node: &str) -> Self {
        push(&mut self.0, "/hints/forNodes", json!({ "name": node }));
        self
    }

    /// Sets any field, by a path such as `/conditions/ready`.
    #[must_use]
    pub fn set(mut self, path: &str, value: Value) -> Self {
        set(&mut self.0, path, value);
        self
    }
}
