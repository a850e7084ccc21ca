//! What an API server would have filled in before anybody could watch the object.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// `clusterIP` from `clusterIPs` and the other way round, `ipFamilies` from both.
pub(super) fn service(object: &mut Service) {
    let Some(spec) = &mut object.spec else {
        return;
    };
    let first = spec
        .cluster_ips
        .as_ref()
        .and_then(|listed| listed.first())
        .cloned();
    if spec.cluster_ip.as_deref().unwrap_or_default().is_empty() {
        spec.cluster_ip = first;
    } else if first.is_none() {
        spec.cluster_ips = spec.cluster_ip.clone().map(|only| vec![only]);
    }
    if spec.ip_families.as_ref().is_none_or(Vec::is_empty) {
        let family = |ip: &String| if ip.contains(':') { "IPv6" } else { "IPv4" }.to_owned();
        spec.ip_families = spec
            .cluster_ips
            .as_ref()
            .map(|listed| listed.iter().map(family).collect());
    }
}

/// Ports without a name have the empty one.
pub(super) fn endpoint_slice(object: &mut EndpointSlice) {
    for port in object.ports.iter_mut().flatten() {
        port.name.get_or_insert_default();
    }
}
