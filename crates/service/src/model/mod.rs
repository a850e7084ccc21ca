//! Facts that come from Kubernetes, validated and without what a Service dataplane ignores.

mod balancing;
mod names;
mod node;
mod refused;
mod service;
mod service_cidr;
mod slice;

use std::collections::BTreeSet;

pub use balancing::{Balancing, SchedulerFlags, SchedulerName, WeightKey};
pub use names::{Family, NameError, Protocol, ServiceId, ServicePortName, SliceId, is_node_name};
pub use node::Node;
pub use refused::Refused;
pub use service::{CreationTime, Service, ServicePort, ServiceType};
pub use service_cidr::ServiceCidr;
pub use slice::{Conditions, Endpoint, EndpointSlice, Hints, SlicePort};

/// Something that happened to one object.
///
/// Events are idempotent: applying one twice changes nothing the second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A Service exists with this content, new or changed.
    ServiceApplied(Service),
    /// A Service is gone, or is none of ours any more (headless, `ExternalName`, foreign
    /// `service-proxy-name`).
    ServiceDeleted(ServiceId),
    /// An EndpointSlice exists with this content, new or changed.
    SliceApplied(EndpointSlice),
    /// An EndpointSlice is gone.
    SliceDeleted(SliceId),
    /// An EndpointSlice that exists may have belonged to another Service before. It belongs to `to`
    /// alone now, or to none; its content comes in an event of its own.
    SliceMoved {
        /// The slice's namespace.
        namespace: Box<str>,
        /// The slice's own name.
        name: Box<str>,
        /// The Service that it belongs to now.
        to: Option<ServiceId>,
    },
    /// The Services that exist are these; others are gone. Says nothing about their content.
    ServicesRelisted(BTreeSet<ServiceId>),
    /// The EndpointSlices that exist are these; others are gone. Says nothing about their content.
    SlicesRelisted(BTreeSet<SliceId>),
    /// This node's object exists with this content.
    NodeApplied(Node),
    /// This node's object is gone.
    NodeDeleted,
    /// A `ServiceCIDR` exists with this content, new or changed.
    ServiceCidrApplied(ServiceCidr),
    /// The `ServiceCIDR` of this name is gone.
    ServiceCidrDeleted(Box<str>),
    /// The `ServiceCIDR`s that exist are these; others are gone. Says nothing about their content.
    ServiceCidrsRelisted(BTreeSet<Box<str>>),
    /// The addresses on this machine's interfaces, all of them, sorted.
    LocalAddresses(Vec<std::net::IpAddr>),
    /// Where whoever tells all this reaches the API server: every address that its name has or that
    /// a connection leads to, with the TCP port. Never told where there is no API server.
    ApiServer(BTreeSet<std::net::SocketAddr>),
    /// Something exists that can't be used. What was told of it before stays in force; where
    /// nothing was, nobody knows what it asks for. Ends with any other event about the object.
    Refused(Refused),
    /// A Service that is refused, and of which nothing is in force, asks for these addresses and ports,
    /// as far as they can be read; the rest of its fields says nothing. So nobody else gets them while
    /// the kernel may have them as this Service's. Comes after [`Event::Refused`] and ends with it.
    RefusedAsks(Service),
    /// It is usable, as it was told before, or gone.
    NoLongerRefused(Refused),
}
