//! Nodes, without their images, which are most of a Node.

use super::{Metadata, Text, fields};

fields! {
    /// A Node (`v1`).
    struct Node<'o> {
        /// What it says that it is; servers leave it out in lists.
        "kind" => kind: Text<'o>,
        /// The version of the API that it is of, likewise.
        "apiVersion" => api_version: Text<'o>,
        /// `metadata`.
        "metadata" => metadata: Metadata<'o>,
        /// `spec`.
        "spec" => spec: NodeSpec<'o>,
        /// `status`.
        "status" => status: NodeStatus<'o>,
    }
}

fields! {
    /// `spec` of a Node.
    struct NodeSpec<'o> {
        /// The first range of its pods.
        "podCIDR" => pod_cidr: Text<'o>,
        /// Ranges of its pods.
        "podCIDRs" => pod_cidrs: Vec<Text<'o>>,
        /// Taints.
        "taints" => taints: Vec<Taint<'o>>,
    }
}

fields! {
    /// One of `spec.taints`.
    struct Taint<'o> {
        /// Its key.
        "key" => key: Text<'o>,
    }
}

fields! {
    /// `status` of a Node.
    struct NodeStatus<'o> {
        /// Addresses.
        "addresses" => addresses: Vec<NodeAddress<'o>>,
    }
}

fields! {
    /// One of `status.addresses`.
    struct NodeAddress<'o> {
        /// `InternalIP`, `ExternalIP`, `Hostname` and so on.
        "type" => kind: Text<'o>,
        /// The address or name.
        "address" => address: Text<'o>,
    }
}
