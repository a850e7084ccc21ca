//! Where a Service listens: the virtual addresses of one family (contract 1.4).

use std::fmt;
use std::net::IpAddr;

use crate::model::{Family, Protocol, Service};

/// A virtual address that only one Service port can have.
///
/// Kubernetes hands out cluster IPs and node ports once; manifests may hand them out twice.
/// External and load balancer IPs may be shared, so they are none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frontend {
    /// A port of a cluster IP.
    ClusterIp {
        /// The cluster IP.
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

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterIp {
                address,
                port,
                protocol,
            } => {
                write!(
                    f,
                    "cluster IP {}/{protocol}",
                    std::net::SocketAddr::new(*address, *port)
                )
            }
            Self::NodePort {
                family,
                port,
                protocol,
            } => {
                let family = match family {
                    Family::Ipv4 => "IPv4",
                    Family::Ipv6 => "IPv6",
                };
                write!(f, "node port {port}/{protocol} ({family})")
            }
        }
    }
}

/// Every frontend that a Service asks for, with the index of the port that asks.
pub(crate) fn claims(service: &Service) -> impl Iterator<Item = (Frontend, u32)> + '_ {
    service.cluster_ips.iter().flat_map(move |&address| {
        let family = Family::of(&address);
        (0..).zip(&service.ports).flat_map(move |(index, port)| {
            let (protocol, node_port) = (port.protocol, port.node_port);
            let cluster_ip = Frontend::ClusterIp {
                address,
                port: port.port,
                protocol,
            };
            let node_port = Frontend::NodePort {
                family,
                port: node_port,
                protocol,
            };
            std::iter::once((cluster_ip, index))
                .chain((port.node_port != 0).then_some((node_port, index)))
        })
    })
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

    #[test]
    fn a_port_claims_its_cluster_ip_and_its_node_port_in_each_family() {
        let mut service = service("a");
        service.cluster_ips = [ip("10.0.0.1"), ip("fd00::1")].into();
        service.ports[0].node_port = 30_080;
        let texts: Vec<String> = claims(&service)
            .map(|(frontend, index)| format!("{index} {frontend}"))
            .collect();
        assert_eq!(
            texts,
            [
                "0 cluster IP 10.0.0.1:80/tcp",
                "0 node port 30080/tcp (IPv4)",
                "0 cluster IP [fd00::1]:80/tcp",
                "0 node port 30080/tcp (IPv6)",
            ]
        );
    }

    #[test]
    fn a_port_without_a_node_port_claims_none() {
        assert_eq!(claims(&service("a")).count(), 1);
    }
}
