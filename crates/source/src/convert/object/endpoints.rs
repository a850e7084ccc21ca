//! `Endpoints`, which manifests may have in place of `EndpointSlice`s.

use super::{EndpointPort, Metadata, Text, fields};

fields! {
    /// An Endpoints object (`v1`).
    struct Endpoints<'o> {
        /// `metadata`.
        "metadata" => metadata: Metadata<'o>,
        /// Addresses with the same ports each.
        "subsets" => subsets: Vec<Subset<'o>>,
    }
}

fields! {
    /// One of `subsets`.
    struct Subset<'o> {
        /// Addresses that take new connections.
        "addresses" => addresses: Vec<SubsetAddress<'o>>,
        /// Addresses that don't.
        "notReadyAddresses" => not_ready_addresses: Vec<SubsetAddress<'o>>,
        /// Ports of every address.
        "ports" => ports: Vec<EndpointPort<'o>>,
    }
}

fields! {
    /// One of a subset's addresses.
    struct SubsetAddress<'o> {
        /// The address.
        "ip" => ip: Text<'o>,
        /// The node that it is on, empty where that is not known.
        "nodeName" => node_name: Text<'o>,
    }
}
