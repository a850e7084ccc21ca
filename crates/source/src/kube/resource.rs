//! What is watched (contract 1.1).

use std::fmt;

use kube::api::{ListParams, WatchParams};

/// What one watch is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// This node's object.
    Node,
    /// Services, less headless ones and those of another proxy.
    Service,
    /// EndpointSlices, less those of headless Services.
    EndpointSlice,
    /// `ServiceCIDR`s. A server may have none, or not give them.
    ServiceCidr,
}

/// Objects in one page of a list. `kubectl` and client-go ask for 500, which costs the server more for
/// each object (`scripts/bench-source`).
const PAGE: u32 = 2_000;

impl Resource {
    /// What every mode needs, in the order in which it is best told.
    pub const USUAL: [Self; 3] = [Self::Node, Self::Service, Self::EndpointSlice];
    /// The same, and where cluster IPs are from.
    pub const ALL: [Self; 4] = [
        Self::Node,
        Self::Service,
        Self::EndpointSlice,
        Self::ServiceCidr,
    ];

    /// True for what there may be none of: servers before Kubernetes 1.33 have no such objects, and
    /// accounts may lack the right to read them. Nobody waits for it.
    pub(super) const fn is_optional(self) -> bool {
        matches!(self, Self::ServiceCidr)
    }

    /// The kind of its objects.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::ServiceCidr => "ServiceCIDR",
        }
    }

    /// The version of their API.
    pub(super) const fn version(self) -> &'static str {
        match self {
            Self::Node | Self::Service => "v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::ServiceCidr => "networking.k8s.io/v1",
        }
    }

    /// As roles and paths name it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Node => "nodes",
            Self::Service => "services",
            Self::EndpointSlice => "endpointslices",
            Self::ServiceCidr => "servicecidrs",
        }
    }

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Node => "/api/v1/nodes",
            Self::Service => "/api/v1/services",
            Self::EndpointSlice => "/apis/discovery.k8s.io/v1/endpointslices",
            Self::ServiceCidr => "/apis/networking.k8s.io/v1/servicecidrs",
        }
    }

    const fn labels(self) -> Option<&'static str> {
        match self {
            Self::Node | Self::ServiceCidr => None,
            Self::Service => Some("!service.kubernetes.io/service-proxy-name"),
            Self::EndpointSlice => Some("!service.kubernetes.io/headless"),
        }
    }

    fn fields(self, node: &str) -> Option<String> {
        match self {
            Self::Node => Some(format!("metadata.name={node}")),
            Self::Service => Some("spec.clusterIP!=None".to_owned()),
            Self::EndpointSlice | Self::ServiceCidr => None,
        }
    }

    /// One page of a list, the first where there is no `next` token.
    pub(super) fn page(self, node: &str, next: Option<String>) -> ListParams {
        ListParams {
            label_selector: self.labels().map(str::to_owned),
            field_selector: self.fields(node),
            limit: Some(PAGE),
            continue_token: next,
            ..ListParams::default()
        }
    }

    /// A watch that the server is to end after `timeout` seconds. `initial`: it begins with what
    /// exists (KEP-3157).
    pub(super) fn watch(self, node: &str, timeout: u32, initial: bool) -> WatchParams {
        WatchParams {
            label_selector: self.labels().map(str::to_owned),
            field_selector: self.fields(node),
            timeout: Some(timeout),
            bookmarks: true,
            send_initial_events: initial,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plural())
    }
}
