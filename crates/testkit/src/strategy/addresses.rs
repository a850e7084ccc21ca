//! The addresses of the strategies' world.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use viprule_service::model::{Family, Service, ServiceCidr};

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(a: u16, b: u16, c: u16, d: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd00, a, b, 0, 0, 0, c, d))
}

/// The node's own address.
pub(super) const fn node_address(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => v4(192, 168, 77, 2),
        Family::Ipv6 => v6(0x77, 0, 0, 2),
    }
}

/// The node's address on its second network.
pub(super) const fn second_address(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => v4(192, 168, 78, 2),
        Family::Ipv6 => v6(0x78, 0, 0, 2),
    }
}

/// The node's address on its pods' bridge, which lies among the pods' addresses.
const fn bridge_address(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => v4(10, 244, 0, 1),
        Family::Ipv6 => v6(0x10, 0x244, 0, 1),
    }
}

/// `127.0.0.1` or `::1`.
pub(super) const fn loopback(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}

/// Every address on the node's interfaces, sorted.
pub(super) fn local_addresses() -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Family::ALL.into_iter().flat_map(local_of).collect();
    addresses.sort_unstable();
    addresses
}

/// Those of one family.
pub(super) fn local_of(family: Family) -> [IpAddr; 4] {
    [
        node_address(family),
        second_address(family),
        bridge_address(family),
        loopback(family),
    ]
}

/// The cluster IP of the n-th Service.
pub(super) fn cluster_ip(family: Family, number: usize) -> IpAddr {
    let number = u8::try_from(number).unwrap_or(u8::MAX);
    match family {
        Family::Ipv4 => v4(10, 1, 0, number),
        Family::Ipv6 => v6(0x10, 0x1, 0, number.into()),
    }
}

/// An address among the cluster IPs that no Service has.
pub(super) fn free_cluster_ip(family: Family) -> IpAddr {
    cluster_ip(family, 200)
}

/// Where cluster IPs are from; the second one says nothing new.
pub(super) fn service_cidrs() -> Vec<ServiceCidr> {
    let range = |family, bits: [u8; 2]| {
        let bits = bits[usize::from(family == Family::Ipv6)];
        IpNet::new_assert(cluster_ip(family, 0), bits)
    };
    [("kubernetes", [16, 48]), ("more", [24, 64])]
        .map(|(name, bits)| ServiceCidr {
            name: name.into(),
            networks: Family::ALL.map(|family| range(family, bits)).into(),
        })
        .into()
}

/// Addresses of endpoints: four in this node's pod network, two in others', this node, another.
pub(super) fn endpoint(family: Family) -> [IpAddr; 8] {
    let pod = |node: u8, pod: u8| match family {
        Family::Ipv4 => v4(10, 244, node, pod),
        Family::Ipv6 => v6(0x10, 0x244, node.into(), pod.into()),
    };
    let other_node = match family {
        Family::Ipv4 => v4(192, 168, 77, 3),
        Family::Ipv6 => v6(0x77, 0, 0, 3),
    };
    [
        pod(0, 5),
        pod(0, 10),
        pod(0, 9),
        pod(0, 11),
        pod(1, 7),
        pod(2, 8),
        node_address(family),
        other_node,
    ]
}

/// Clients outside the cluster: two in source ranges, one in none.
pub(super) const fn clients(family: Family) -> [IpAddr; 3] {
    match family {
        Family::Ipv4 => [v4(203, 0, 113, 200), v4(192, 0, 2, 7), v4(198, 18, 0, 9)],
        Family::Ipv6 => [v6(0x200, 0, 0, 9), v6(0x201, 0, 0, 7), v6(0x202, 0, 0, 9)],
    }
}

/// External IPs to choose from: one that is nothing else, the node's own, one for load balancers.
pub(super) const fn external_ips(family: Family) -> [IpAddr; 3] {
    let [_, shared, _] = load_balancer_ips(family);
    match family {
        Family::Ipv4 => [v4(198, 51, 100, 40), node_address(family), shared],
        Family::Ipv6 => [v6(0x198, 0, 0, 40), node_address(family), shared],
    }
}

/// Load balancer IPs to choose from; the last is the node's own.
pub(super) const fn load_balancer_ips(family: Family) -> [IpAddr; 3] {
    match family {
        Family::Ipv4 => [
            v4(203, 0, 113, 40),
            v4(203, 0, 113, 41),
            second_address(Family::Ipv4),
        ],
        Family::Ipv6 => [
            v6(0x203, 0, 0, 40),
            v6(0x203, 0, 0, 41),
            second_address(Family::Ipv6),
        ],
    }
}

/// Where the API server may be reached: where Services are, at the same addresses on another port,
/// elsewhere.
pub(super) fn api_servers(services: &[Service]) -> Vec<SocketAddr> {
    let elsewhere = |ip| SocketAddr::new(ip, 6443);
    let mut all = vec![elsewhere(v4(198, 51, 100, 99))];
    for service in services {
        let external = service.external_ips.iter();
        let external: Vec<IpAddr> = external
            .chain(&service.load_balancer_ips)
            .copied()
            .collect();
        all.extend(external.iter().copied().map(elsewhere));
        for port in &service.ports {
            let addresses = external.iter().chain(&service.cluster_ips);
            all.extend(addresses.map(|ip| SocketAddr::new(*ip, port.port)));
        }
    }
    all
}

/// The pods' network.
pub(super) fn pod_network(family: Family) -> IpNet {
    match family {
        Family::Ipv4 => IpNet::new_assert(v4(10, 244, 0, 0), 16),
        Family::Ipv6 => IpNet::new_assert(v6(0x10, 0x244, 0, 0), 48),
    }
}

/// The clients' networks, the node's, and all.
pub(super) fn source_ranges() -> Vec<IpNet> {
    let net = |address: IpAddr, prefix| IpNet::new_assert(address, prefix).trunc();
    Family::ALL
        .into_iter()
        .flat_map(|family| {
            let [first, second, _] = clients(family);
            let wide = if family == Family::Ipv4 { 24 } else { 64 };
            [
                net(first, wide),
                net(second, wide + 1),
                net(node_address(family), wide),
                net(first, 0),
            ]
        })
        .collect()
}
