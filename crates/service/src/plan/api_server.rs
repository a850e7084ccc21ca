//! What would cut this node off from its API server, and so from the news that it is over.
//!
//! External IPs are whatever somebody wrote into a Service. One that is the API server's is not
//! taken from it. Cluster IPs are Kubernetes' own to give: an agent in a pod reaches the API server
//! through one.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::{ApiServerConflict, NodeFacts, PlanConfig};
use crate::model::{EndpointSlice, Family, Protocol, Service, ServicePort};

/// True where the API server is reached there.
fn is_there(address: IpAddr, port: &ServicePort, facts: &NodeFacts) -> bool {
    port.protocol == Protocol::Tcp
        && facts
            .api_server
            .binary_search(&SocketAddr::new(address, port.port))
            .is_ok()
}

/// The addresses that a port may have as frontends.
pub(super) fn without(ips: Vec<IpAddr>, port: &ServicePort, facts: &NodeFacts) -> Vec<IpAddr> {
    let mut ips = ips;
    ips.retain(|ip| !is_there(*ip, port, facts));
    ips
}

/// Where the API server is reached on this machine at what would be a port's node port.
fn at_node_port<'a>(
    port: &'a ServicePort,
    facts: &'a NodeFacts,
) -> impl Iterator<Item = SocketAddr> + 'a {
    let all = facts.api_server.iter().copied();
    all.filter(|at| {
        port.protocol == Protocol::Tcp && at.port() == port.node_port && facts.is_local(at.ip())
    })
}

/// True where a port's node port would be in the way to the API server.
pub(super) fn has_node_port(port: &ServicePort, family: Family, facts: &NodeFacts) -> bool {
    at_node_port(port, facts).any(|at| Family::of(&at.ip()) == family)
}

/// What a Service asks for that is the API server's.
pub(super) fn conflict(
    service: &Service,
    config: &PlanConfig,
    facts: &NodeFacts,
) -> Option<ApiServerConflict> {
    // Nearly always.
    if facts.api_server.is_empty() {
        return None;
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for ip in external(service, config.allow_external_ips) {
        if facts.api_server.iter().any(|it| it.ip() == ip) && !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    let withheld = addresses.iter().flat_map(|ip| {
        let ports = service.ports.iter();
        let taken = ports.filter(|port| is_there(*ip, port, facts));
        taken.map(|port| SocketAddr::new(*ip, port.port))
    });
    let of_node_ports = service
        .ports
        .iter()
        .flat_map(|port| at_node_port(port, facts));
    let withheld: Box<[SocketAddr]> = withheld.chain(of_node_ports).collect();
    (!addresses.is_empty() || !withheld.is_empty()).then(|| ApiServerConflict {
        addresses: addresses.into(),
        withheld,
    })
}

fn external(service: &Service, with_external_ips: bool) -> impl Iterator<Item = IpAddr> + '_ {
    let external_ips = service
        .external_ips
        .iter()
        .filter(move |_| with_external_ips);
    external_ips.chain(&service.load_balancer_ips).copied()
}

/// True where a plan may change with what is there.
pub(crate) fn is_concerned(service: &Service, there: &BTreeSet<SocketAddr>) -> bool {
    let has_port = |at: &SocketAddr| service.ports.iter().any(|it| it.node_port == at.port());
    external(service, true).any(|ip| there.iter().any(|at| at.ip() == ip))
        || there.iter().any(has_port)
}

/// Where connections to a port of a Service get to, whether endpoints are ready or not.
pub(crate) fn reached<'a>(
    service: &'a Service,
    slices: &'a [EndpointSlice],
    port: u16,
) -> impl Iterator<Item = SocketAddr> + 'a {
    let ports = service.ports.iter();
    let ports = ports.filter(move |it| it.port == port && it.protocol == Protocol::Tcp);
    ports.flat_map(move |port| {
        slices.iter().flat_map(move |slice| {
            let of_port = slice
                .ports
                .iter()
                .filter(|it| it.name == port.name && it.protocol == Protocol::Tcp);
            of_port.flat_map(move |of_port| {
                let endpoints = slice.endpoints.iter();
                endpoints.map(|endpoint| SocketAddr::new(endpoint.address, of_port.port))
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan_service;
    use crate::plan::testing::{NOT_READY, READY, config, endpoint, facts, ip, service, slice};

    fn facts_with(api_server: &[&str]) -> NodeFacts {
        let mut api_server: Vec<SocketAddr> =
            api_server.iter().map(|it| it.parse().unwrap()).collect();
        api_server.sort_unstable();
        NodeFacts {
            api_server,
            ..facts()
        }
    }

    fn conflict(service: &Service, facts: &NodeFacts) -> (Vec<String>, Vec<String>) {
        let conflict = super::conflict(service, &config(), facts);
        let Some(ApiServerConflict {
            addresses,
            withheld,
        }) = conflict
        else {
            return (Vec::new(), Vec::new());
        };
        (
            addresses.iter().map(ToString::to_string).collect(),
            withheld.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn only_its_address_with_its_port_is_no_frontend() {
        let mut service = service("a");
        service.cluster_ips = [ip("10.1.0.1"), ip("fd00::1")].into();
        service.external_ips = [ip("192.0.2.1"), ip("192.0.2.2"), ip("fd00:9::1")].into();
        service.load_balancer_ips = [ip("192.0.2.2"), ip("192.0.2.3")].into();
        let facts = facts_with(&["192.0.2.1:6443", "192.0.2.2:80", "[fd00:9::1]:80"]);
        let plan = plan_service(&service, &[], &config(), &facts);
        let frontends: Vec<_> = plan
            .ports
            .iter()
            .map(|port| (&port.external_ips[..], &port.load_balancer_ips[..]))
            .collect();
        let nothing: &[IpAddr] = &[];
        assert_eq!(
            frontends,
            [
                (&[ip("192.0.2.1")][..], &[ip("192.0.2.3")][..]),
                (nothing, nothing)
            ]
        );
        let (addresses, withheld) = conflict(&service, &facts);
        assert_eq!(addresses, ["192.0.2.1", "192.0.2.2", "fd00:9::1"]);
        assert_eq!(withheld, ["192.0.2.2:80", "[fd00:9::1]:80"]);
        assert!(plan.is_api_server(ip("192.0.2.1")));
        assert!(!plan.is_api_server(ip("192.0.2.3")));
    }

    #[test]
    fn a_node_port_is_no_frontend_of_the_family_in_which_it_is_the_api_servers() {
        let mut service = service("a");
        service.cluster_ips = [ip("10.1.0.1"), ip("fd00::1")].into();
        service.ports[0].node_port = 30_443;
        let api_server = ["192.0.2.77:30443", "198.51.100.1:30443", "[fd00:9::1]:6443"];
        let facts = NodeFacts {
            local_addresses: vec![ip("192.0.2.77"), ip("fd00:9::1")],
            ..facts_with(&api_server)
        };
        let plan = plan_service(&service, &[], &config(), &facts);
        let node_ports: Vec<_> = plan.ports.iter().map(|port| port.node_port).collect();
        assert_eq!(node_ports, [0, 30_443]);
        let (addresses, withheld) = conflict(&service, &facts);
        assert_eq!(addresses, [""; 0]);
        assert_eq!(withheld, ["192.0.2.77:30443"]);
        service.ports[0].protocol = Protocol::Udp;
        assert_eq!(super::conflict(&service, &config(), &facts), None);
    }

    #[test]
    fn a_cluster_ip_stays_whoever_is_reached_through_it() {
        let facts = facts_with(&["10.1.0.1:80"]);
        let plan = plan_service(&service("a"), &[], &config(), &facts);
        assert_eq!(plan.ports[0].cluster_ip, ip("10.1.0.1"));
        assert_eq!(plan.api_server, None);
    }

    #[test]
    fn other_protocols_get_in_nobodys_way() {
        let mut service = service("a");
        service.external_ips = [ip("192.0.2.1")].into();
        service.ports[0].protocol = Protocol::Udp;
        let facts = facts_with(&["192.0.2.1:80"]);
        let plan = plan_service(&service, &[], &config(), &facts);
        assert_eq!(plan.ports[0].external_ips, [ip("192.0.2.1")]);
        assert_eq!(conflict(&service, &facts).1, [""; 0]);
    }

    #[test]
    fn external_ips_that_are_not_programmed_are_no_conflict() {
        let mut service = service("a");
        service.external_ips = [ip("192.0.2.1")].into();
        let facts = facts_with(&["192.0.2.1:80"]);
        let gated = PlanConfig {
            allow_external_ips: false,
            ..config()
        };
        assert_eq!(super::conflict(&service, &gated, &facts), None);
    }

    #[test]
    fn every_endpoint_of_the_port_is_reached() {
        let slices = [slice(
            "a-1",
            [
                endpoint("10.244.0.5", READY, "node-1"),
                endpoint("10.244.0.6", NOT_READY, "node-1"),
            ],
        )];
        let service = service("a");
        let reached = |port| -> Vec<String> {
            let all = super::reached(&service, &slices, port);
            all.map(|it| it.to_string()).collect()
        };
        assert_eq!(reached(80), ["10.244.0.5:8080", "10.244.0.6:8080"]);
        assert_eq!(reached(443), [""; 0]);
    }
}
