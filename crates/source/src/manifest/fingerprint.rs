//! Content hashes of model objects: what is kept of them to notice changes.

use std::hash::{DefaultHasher, Hash, Hasher};

use viprule_service::model::{Endpoint, EndpointSlice, Event, Node, Service, ServiceCidr};

/// The hash of what an object's events say; the same within one process only.
pub(super) fn fingerprint(events: &[Event]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for event in events {
        add(event, &mut hasher);
    }
    hasher.finish()
}

fn add(event: &Event, hasher: &mut impl Hasher) {
    match event {
        Event::ServiceApplied(object) => service(object, hasher),
        Event::SliceApplied(object) => slice(object, hasher),
        Event::NodeApplied(object) => node(object, hasher),
        Event::ServiceCidrApplied(object) => service_cidr(object, hasher),
        Event::ServiceDeleted(_)
        | Event::SliceDeleted(_)
        | Event::SliceMoved { .. }
        | Event::ServicesRelisted(_)
        | Event::SlicesRelisted(_)
        | Event::NodeDeleted
        | Event::ServiceCidrDeleted(_)
        | Event::ServiceCidrsRelisted(_)
        | Event::LocalAddresses(_)
        | Event::ApiServer(_)
        | Event::Refused(_)
        | Event::RefusedAsks(_)
        | Event::NoLongerRefused(_) => {}
    }
}

// The patterns name every field, so that a new one can't be forgotten here.

fn service(object: &Service, hasher: &mut impl Hasher) {
    let Service {
        id,
        created,
        kind,
        cluster_ips,
        ports,
        external_ips,
        load_balancer_ips,
        source_ranges,
        affinity_seconds,
        internal_policy_local,
        external_policy_local,
        health_check_node_port,
        balancing,
    } = object;
    (
        id,
        kind,
        cluster_ips,
        ports,
        external_ips,
        load_balancer_ips,
    )
        .hash(hasher);
    (
        source_ranges,
        affinity_seconds,
        internal_policy_local,
        external_policy_local,
    )
        .hash(hasher);
    (health_check_node_port, balancing, created).hash(hasher);
}

fn slice(object: &EndpointSlice, hasher: &mut impl Hasher) {
    let EndpointSlice {
        id,
        family,
        ports,
        endpoints,
    } = object;
    (id, family, ports, endpoints.len()).hash(hasher);
    for endpoint in endpoints {
        let Endpoint {
            address,
            conditions,
            node,
            hints,
        } = endpoint;
        (address, conditions, node, hints).hash(hasher);
    }
}

fn service_cidr(object: &ServiceCidr, hasher: &mut impl Hasher) {
    let ServiceCidr { name, networks } = object;
    (name, networks).hash(hasher);
}

fn node(object: &Node, hasher: &mut impl Hasher) {
    let Node {
        name,
        addresses,
        zone,
        pod_cidrs,
        eligible_for_load_balancers,
    } = object;
    (
        name,
        addresses,
        zone,
        pod_cidrs,
        eligible_for_load_balancers,
    )
        .hash(hasher);
}
