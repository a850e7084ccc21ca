//! Health checks of load balancers with `externalTrafficPolicy: Local` (contract 1.4 and 6.2).

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::HealthCheck;
use super::backends;
use crate::model::{EndpointSlice, Family, Protocol, Service, ServiceType};

/// The health check node port where it applies, else 0.
pub(super) fn node_port(service: &Service) -> u16 {
    let applies = service.kind == ServiceType::LoadBalancer && service.external_policy_local;
    if applies {
        service.health_check_node_port
    } else {
        0
    }
}

/// What the health check answers, if the Service has one.
pub(super) fn check(
    service: &Service,
    slices: &[EndpointSlice],
    node: &str,
) -> Option<HealthCheck> {
    let port = node_port(service);
    let count = |family| {
        service
            .cluster_ip(family)
            .map_or(0, |_| local_ready_addresses(slices, family, node))
    };
    (port != 0).then(|| HealthCheck {
        created: service.created,
        port,
        local_endpoints: Family::ALL.map(count),
    })
}

/// Distinct addresses over all ports that slices have, whether the Service has them or not.
fn local_ready_addresses(slices: &[EndpointSlice], family: Family, node: &str) -> usize {
    let ports: BTreeSet<(&str, Protocol)> = slices
        .iter()
        .filter(|slice| slice.family == family)
        .flat_map(|slice| slice.ports.iter().map(|port| (&*port.name, port.protocol)))
        .collect();
    let merged = ports
        .into_iter()
        .flat_map(|(name, protocol)| backends::merge(slices, family, name, protocol).into_iter());
    let addresses: BTreeSet<IpAddr> = merged
        .filter(|backend| backend.endpoint.conditions.ready && backend.is_on(node))
        .map(|backend| backend.address.ip())
        .collect();
    addresses.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CreationTime;
    use crate::plan::testing::{
        NODE, NOT_READY, READY, SERVING, endpoint, ip, service, slice, slice_port,
    };

    fn load_balancer() -> Service {
        let mut service = service("a");
        service.kind = ServiceType::LoadBalancer;
        service.external_policy_local = true;
        service.health_check_node_port = 32_000;
        service
    }

    #[test]
    fn only_local_load_balancers_have_one() {
        assert_eq!(node_port(&load_balancer()), 32_000);
        let mut cluster = load_balancer();
        cluster.external_policy_local = false;
        assert_eq!(node_port(&cluster), 0);
        let mut node_port_type = load_balancer();
        node_port_type.kind = ServiceType::NodePort;
        assert_eq!(node_port(&node_port_type), 0);
        assert_eq!(check(&node_port_type, &[], NODE), None);
    }

    #[test]
    fn it_is_there_without_any_endpoint() {
        let expected = HealthCheck {
            created: CreationTime::at(7),
            port: 32_000,
            local_endpoints: [0, 0],
        };
        let mut service = load_balancer();
        service.created = CreationTime::at(7);
        assert_eq!(check(&service, &[], NODE), Some(expected));
    }

    #[test]
    fn it_counts_addresses_of_local_ready_endpoints_once_over_all_ports() {
        let mut slices = [slice(
            "s",
            [
                endpoint("10.0.0.1", READY, NODE),
                endpoint("10.0.0.2", READY, NODE),
                endpoint("10.0.0.3", READY, "other"),
                endpoint("10.0.0.4", SERVING, NODE),
                endpoint("10.0.0.5", NOT_READY, NODE),
            ],
        )];
        slices[0].ports = [slice_port("http", 8080), slice_port("metrics", 9090)].into();
        let counts = check(&load_balancer(), &slices, NODE)
            .unwrap()
            .local_endpoints;
        assert_eq!(counts, [2, 0]);
    }

    #[test]
    fn an_address_in_two_slices_counts_once() {
        let slices = [
            slice("s1", [endpoint("10.0.0.1", READY, NODE)]),
            slice("s2", [endpoint("10.0.0.1", READY, NODE)]),
        ];
        let counts = check(&load_balancer(), &slices, NODE)
            .unwrap()
            .local_endpoints;
        assert_eq!(counts, [1, 0]);
    }

    #[test]
    fn a_family_without_a_cluster_ip_counts_nothing() {
        let mut v6 = slice("s6", [endpoint("fd00::1", READY, NODE)]);
        v6.family = Family::Ipv6;
        let slices = [slice("s4", [endpoint("10.0.0.1", READY, NODE)]), v6];
        let mut service = load_balancer();
        let counts = |service: &Service| check(service, &slices, NODE).unwrap().local_endpoints;
        assert_eq!(counts(&service), [1, 0]);
        service.cluster_ips = [ip("fd00:1::1"), ip("10.1.0.1")].into();
        assert_eq!(counts(&service), [1, 1]);
        service.cluster_ips = [ip("fd00:1::1")].into();
        assert_eq!(counts(&service), [0, 1]);
    }
}
