//! Nodes.

use super::{object_builder, push};
use crate::topology::address;
use serde_json::{Value, json};

/// A Node under construction; prints as YAML.
#[derive(Debug, Clone, PartialEq)]
pub struct Node(pub(super) Value);

object_builder!(Node);

/// A node without addresses, with its hostname label.
pub fn node(name: &str) -> Node {
    let node = Node(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name },
        "spec": {},
        "status": { "addresses": [{ "type": "Hostname", "address": name }] },
    }));
    node.label("kubernetes.io/hostname", name)
}

impl Node {
    /// The node under test of a [`World`](crate::World): its name, addresses and pod ranges.
    pub fn under_test() -> Self {
        let [ipv4, ipv6] = &address::pod_ranges()[0];
        let node = node(address::NODE_NAME).pod_cidr(&ipv4.to_string());
        let node = node.pod_cidr(&ipv6.to_string());
        address::NODE
            .iter()
            .fold(node, |node, ip| node.internal_ip(&ip.to_string()))
    }

    /// Adds an address of type `InternalIP`.
    #[must_use]
    pub fn internal_ip(mut self, ip: &str) -> Self {
        push(
            &mut self.0,
            "/status/addresses",
            json!({ "type": "InternalIP", "address": ip }),
        );
        self
    }

    /// Adds a pod range; the first is also `podCIDR`.
    #[must_use]
    pub fn pod_cidr(mut self, range: &str) -> Self {
        push(&mut self.0, "/spec/podCIDRs", range.into());
        let first = self.0["spec"]["podCIDRs"][0].clone();
        self.set("/spec/podCIDR", first)
    }

    /// The zone label.
    #[must_use]
    pub fn zone(self, zone: &str) -> Self {
        self.label("topology.kubernetes.io/zone", zone)
    }
}
