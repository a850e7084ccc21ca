//! `EndpointSlice`s.

use super::{First, Metadata, Text, fields};

fields! {
    /// An EndpointSlice (`discovery.k8s.io/v1`).
    struct EndpointSlice<'o> {
        /// What it says that it is; servers leave it out in lists.
        "kind" => kind: Text<'o>,
        /// The version of the API that it is of, likewise.
        "apiVersion" => api_version: Text<'o>,
        /// `metadata`.
        "metadata" => metadata: Metadata<'o>,
        /// `IPv4`, `IPv6` or `FQDN`.
        "addressType" => address_type: Text<'o>,
        /// Ports of every endpoint.
        "ports" => ports: Vec<EndpointPort<'o>>,
        /// Endpoints.
        "endpoints" => endpoints: Vec<Endpoint<'o>>,
    }
}

fields! {
    /// One of `ports`.
    struct EndpointPort<'o> {
        /// The name of the Service's port.
        "name" => name: Text<'o>,
        /// `TCP` where it is empty.
        "protocol" => protocol: Text<'o>,
        /// The number. The API server takes any (1.36).
        "port" => port: Option<i32>,
    }
}

fields! {
    /// One of `endpoints`.
    struct Endpoint<'o> {
        /// Addresses, of which consumers use the first.
        "addresses" => addresses: First<'o>,
        /// What it is ready for.
        "conditions" => conditions: Conditions,
        /// The node that it is on, empty where that is not known.
        "nodeName" => node_name: Text<'o>,
        /// Who should use it.
        "hints" => hints: Hints<'o>,
    }
}

fields! {
    /// `conditions` of an endpoint.
    struct Conditions {
        /// Takes new connections; true where it is not said.
        "ready" => ready: Option<bool>,
        /// Answers; true where it is not said.
        "serving" => serving: Option<bool>,
        /// Is being shut down; false where it is not said.
        "terminating" => terminating: Option<bool>,
    }
}

fields! {
    /// `hints` of an endpoint.
    struct Hints<'o> {
        /// Zones (KEP-2433).
        "forZones" => for_zones: Vec<Hint<'o>>,
        /// Nodes (KEP-3015).
        "forNodes" => for_nodes: Vec<Hint<'o>>,
    }
}

fields! {
    /// A zone or node of a hint.
    struct Hint<'o> {
        /// Its name.
        "name" => name: Text<'o>,
    }
}
