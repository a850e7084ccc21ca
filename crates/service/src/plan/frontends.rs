//! Where a Service listens: the virtual addresses of one family (contract 1.4).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::model::{Family, Protocol, Service};

/// What only one Service port can have: an address with a port, or a port of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frontend {
    /// A port of a virtual IP.
    Address {
        /// The virtual IP.
        address: IpAddr,
        /// The port, 1 to 65,535.
        port: u16,
        /// The protocol.
        protocol: Protocol,
    },
    /// A port of the node's addresses of one family.
    NodePort {
        /// The family.
        family: Family,
        /// The port, 1 to 65,535.
        port: u16,
        /// The protocol.
        protocol: Protocol,
    },
}

impl Frontend {
    /// The node port that answers at this address where the address is one of the node's.
    pub(crate) fn as_node_port(self) -> Self {
        match self {
            Self::Address {
                address,
                port,
                protocol,
            } => Self::NodePort {
                family: Family::of(&address),
                port,
                protocol,
            },
            Self::NodePort { .. } => self,
        }
    }
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address {
                address,
                port,
                protocol,
            } => write!(f, "{}/{protocol}", SocketAddr::new(*address, *port)),
            Self::NodePort {
                family,
                port,
                protocol,
            } => {
                write!(f, "{port}/{protocol} ({})", family.as_str())
            }
        }
    }
}

/// The field by which a Service asks for a frontend, strongest first: what Kubernetes hands out
/// comes before what a load balancer's controller writes, and that before what anybody may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendKind {
    /// `spec.clusterIPs`.
    ClusterIp,
    /// `spec.ports[].nodePort`.
    NodePort,
    /// `status.loadBalancer.ingress[].ip`.
    LoadBalancerIp,
    /// `spec.externalIPs`.
    ExternalIp,
}

impl FrontendKind {
    /// True for addresses that Kubernetes does not hand out.
    pub(crate) const fn is_external(self) -> bool {
        matches!(self, Self::LoadBalancerIp | Self::ExternalIp)
    }
}

impl fmt::Display for FrontendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterIp => "cluster IP",
            Self::NodePort => "node port",
            Self::LoadBalancerIp => "load balancer IP",
            Self::ExternalIp => "external IP",
        })
    }
}

/// A frontend that a port of a Service asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) frontend: Frontend,
    /// The strongest field that asks for it.
    pub(crate) kind: FrontendKind,
    /// The index of the port.
    pub(crate) index: u32,
}

/// Every frontend that a Service asks for in the families that it has. No port asks for one
/// twice.
pub(crate) fn claims(service: &Service, allow_external_ips: bool) -> Vec<Claim> {
    let external_ips: &[IpAddr] = if allow_external_ips {
        &service.external_ips
    } else {
        &[]
    };
    let by_field = [
        (FrontendKind::ClusterIp, &*service.cluster_ips),
        (FrontendKind::LoadBalancerIp, &*service.load_balancer_ips),
        (FrontendKind::ExternalIp, external_ips),
    ];
    let families = || {
        Family::ALL
            .into_iter()
            .filter(|it| service.cluster_ip(*it).is_some())
    };
    let mut claims = Vec::with_capacity(service.ports.len() * service.cluster_ips.len());
    for (index, port) in (0..).zip(&service.ports) {
        let protocol = port.protocol;
        for (kind, addresses) in by_field {
            let of_families = addresses
                .iter()
                .filter(|address| service.cluster_ip(Family::of(address)).is_some());
            claims.extend(of_families.map(|&address| Claim {
                frontend: Frontend::Address {
                    address,
                    port: port.port,
                    protocol,
                },
                kind,
                index,
            }));
        }
        let node_port = families().filter(|_| port.node_port != 0);
        claims.extend(node_port.map(|family| Claim {
            frontend: Frontend::NodePort {
                family,
                port: port.node_port,
                protocol,
            },
            kind: FrontendKind::NodePort,
            index,
        }));
    }
    // Kinds of one frontend and port are neighbours only if ports are compared before kinds.
    claims.sort_unstable_by_key(|it| (it.frontend, it.index, it.kind));
    claims.dedup_by_key(|it| (it.frontend, it.index));
    claims
}

/// The addresses of one family, in the order given.
pub(super) fn of_family(addresses: &[IpAddr], family: Family) -> Vec<IpAddr> {
    addresses
        .iter()
        .copied()
        .filter(|address| Family::of(address) == family)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{ip, service};

    #[test]
    fn each_family_keeps_its_own_addresses_in_order() {
        let all = [ip("10.0.0.9"), ip("fd00::2"), ip("10.0.0.1"), ip("fd00::1")];
        assert_eq!(
            of_family(&all, Family::Ipv4),
            [ip("10.0.0.9"), ip("10.0.0.1")]
        );
        assert_eq!(
            of_family(&all, Family::Ipv6),
            [ip("fd00::2"), ip("fd00::1")]
        );
    }

    fn texts(service: &Service, allow_external_ips: bool) -> Vec<String> {
        let claims = claims(service, allow_external_ips);
        let text = |it: &Claim| format!("{} {} {}", it.index, it.kind, it.frontend);
        claims.iter().map(text).collect()
    }

    #[test]
    fn a_port_claims_its_virtual_ips_and_its_node_port_in_each_family() {
        let mut service = service("a");
        service.cluster_ips = [ip("10.0.0.1"), ip("fd00::1")].into();
        service.external_ips = [ip("198.51.100.1")].into();
        service.load_balancer_ips = [ip("2001:db8::1")].into();
        service.ports[0].node_port = 30_080;
        let all = [
            "0 cluster IP 10.0.0.1:80/tcp",
            "0 external IP 198.51.100.1:80/tcp",
            "0 load balancer IP [2001:db8::1]:80/tcp",
            "0 cluster IP [fd00::1]:80/tcp",
            "0 node port 30080/tcp (IPv4)",
            "0 node port 30080/tcp (IPv6)",
        ];
        assert_eq!(texts(&service, true), all);
        assert_eq!(
            texts(&service, false),
            all.map(|it| (!it.contains("external")).then_some(it))
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn an_address_is_claimed_once_by_its_strongest_field() {
        let mut service = service("a");
        service.external_ips = [ip("10.1.0.1"), ip("203.0.113.1")].into();
        service.load_balancer_ips = [ip("203.0.113.1")].into();
        assert_eq!(
            texts(&service, true),
            [
                "0 cluster IP 10.1.0.1:80/tcp",
                "0 load balancer IP 203.0.113.1:80/tcp"
            ]
        );
    }

    #[test]
    fn without_a_cluster_ip_of_its_family_no_address_is_claimed() {
        let mut service = service("a");
        service.external_ips = [ip("2001:db8::1")].into();
        service.ports[0].node_port = 30_080;
        assert_eq!(
            texts(&service, true),
            [
                "0 cluster IP 10.1.0.1:80/tcp",
                "0 node port 30080/tcp (IPv4)"
            ]
        );
    }
}
