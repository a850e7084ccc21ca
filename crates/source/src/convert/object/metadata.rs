//! `metadata` of every object. `managedFields` alone can be longer than the rest of an object.

use super::{Presence, Text, fields};

fields! {
    /// `metadata`.
    struct Metadata<'o> {
        /// The name.
        "name" => name: Text<'o>,
        /// The namespace; Nodes have none.
        "namespace" => namespace: Text<'o>,
        /// The version, an opaque text.
        "resourceVersion" => resource_version: Text<'o>,
        /// When the object was created, RFC 3339.
        "creationTimestamp" => creation_timestamp: Text<'o>,
        /// Labels that count.
        "labels" => labels: Labels<'o>,
        /// Annotations that count.
        "annotations" => annotations: Annotations<'o>,
        /// Whether the object is being deleted. Its time does not count.
        "deletionTimestamp" => deletion_timestamp: Presence,
    }
}

fields! {
    /// `metadata.labels`.
    struct Labels<'o> {
        /// The Service of a slice, in the slice's namespace.
        "kubernetes.io/service-name" => service_name: Option<Text<'o>>,
        /// On slices of headless Services; any value.
        "service.kubernetes.io/headless" => headless: Option<Text<'o>>,
        /// On Services of another proxy; any value (KEP-2447).
        "service.kubernetes.io/service-proxy-name" => service_proxy_name: Option<Text<'o>>,
        /// `true` on Endpoints that are not mirrored to slices (KEP-752).
        "endpointslice.kubernetes.io/skip-mirror" => skip_mirror: Option<Text<'o>>,
        /// A node's zone.
        "topology.kubernetes.io/zone" => zone: Option<Text<'o>>,
    }
}

fields! {
    /// `metadata.annotations`.
    struct Annotations<'o> {
        /// When the change happened that a slice's newest content is due to, RFC 3339.
        "endpoints.kubernetes.io/last-change-trigger-time" => trigger: Option<Text<'o>>,
        /// On a bookmark: the initial events of a watch end with it (KEP-3157).
        "k8s.io/initial-events-end" => initial_events_end: Option<Text<'o>>,
        /// On Endpoints that are the lock of a leader election; any value.
        "control-plane.alpha.kubernetes.io/leader" => leader: Option<Text<'o>>,
        /// IPVS scheduler of a Service.
        "ipvs.viprule.dev/scheduler" => scheduler: Option<Text<'o>>,
        /// Its flags.
        "ipvs.viprule.dev/scheduler-flags" => scheduler_flags: Option<Text<'o>>,
        /// Weights of its endpoints.
        "ipvs.viprule.dev/weights" => weights: Option<Text<'o>>,
    }
}

fields! {
    /// An object of which only the names count.
    struct Named<'o> {
        /// What it says that it is; servers leave it out in lists.
        "kind" => kind: Text<'o>,
        /// The version of the API that it is of, likewise.
        "apiVersion" => api_version: Text<'o>,
        /// `metadata`.
        "metadata" => metadata: Metadata<'o>,
    }
}
