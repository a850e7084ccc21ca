//! EndpointSlices.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Family, Protocol, SliceId};

/// An EndpointSlice of addresses (contract 1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The Service and the slice's name.
    pub id: SliceId,
    /// The family of all its addresses (`addressType`).
    pub family: Family,
    /// Its ports; those without a number are left out.
    pub ports: Box<[SlicePort]>,
    /// Its endpoints, in the slice's order.
    pub endpoints: Box<[Endpoint]>,
}

/// One port of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SlicePort {
    /// The name, matched with the Service port's.
    pub name: Box<str>,
    /// The protocol, matched with the Service port's.
    pub protocol: Protocol,
    /// The number that packets are sent to, 1 to 65,535.
    pub port: u16,
}

/// One endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `addresses[0]`.
    pub address: IpAddr,
    /// `conditions`.
    pub conditions: Conditions,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// `hints`, where there are any.
    pub hints: Option<Box<Hints>>,
}

/// `conditions` with Kubernetes' defaults applied: ready and serving unless told otherwise, not
/// terminating unless told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conditions {
    /// Takes new connections.
    pub ready: bool,
    /// Answers, whether it is terminating or not.
    pub serving: bool,
    /// Is being shut down.
    pub terminating: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            ready: true,
            serving: true,
            terminating: false,
        }
    }
}

/// Topology hints (KEP-2433, KEP-3015).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Hints {
    /// `forZones[].name`.
    pub zones: Box<[Box<str>]>,
    /// `forNodes[].name`.
    pub nodes: Box<[Box<str>]>,
}
