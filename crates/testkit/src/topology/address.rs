//! Where everything is. Node names and ranges are those of the golden cluster.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The name of the node under test in manifests.
pub const NODE_NAME: &str = "node-0";
/// The names of the other nodes.
pub const REMOTE_NAMES: [&str; 2] = ["node-1", "node-2"];
/// The node under test.
pub const NODE: [IpAddr; 2] = machine(2);
/// The client outside the cluster.
pub const CLIENT: [IpAddr; 2] = machine(100);
/// The switch; the nodes' default route ends there.
pub const FABRIC: [IpAddr; 2] = machine(1);

/// Addresses of the other nodes, IPv4 before IPv6.
pub const fn remote_nodes() -> [[IpAddr; 2]; 2] {
    [machine(3), machine(4)]
}

/// The pod ranges of the node under test and of the other nodes, in this order.
pub fn pod_ranges() -> [[IpNet; 2]; 3] {
    [0, 1, 2].map(|node| {
        let ipv4 = Ipv4Addr::new(10, 244, node, 0);
        let ipv6 = Ipv6Addr::new(0xfd00, 0x10, 0x244, node.into(), 0, 0, 0, 0);
        [
            IpNet::new_assert(ipv4.into(), 24),
            IpNet::new_assert(ipv6.into(), 64),
        ]
    })
}

/// The address on its pods' links of the node under test: 10.244.0.1 or `fd00:10:244::1`.
pub const fn pod_gateway(ipv6: bool) -> IpAddr {
    pod_gateways(0)[ipv6 as usize]
}

pub(super) fn is_pod_gateway(address: IpAddr) -> bool {
    address == pod_gateway(address.is_ipv6())
}

/// The node's own address on each of its pods' links, for node number `node`: 10.244.N.1 and
/// `fd00:10:244:N::1`.
pub const fn pod_gateways(node: u8) -> [IpAddr; 2] {
    [
        IpAddr::V4(Ipv4Addr::new(10, 244, node, 1)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x244, node as u16, 0, 0, 0, 1)),
    ]
}

/// Both addresses of a machine. The IPv6 one repeats the decimal digits: .100 is `::100`.
pub(crate) const fn machine(last: u8) -> [IpAddr; 2] {
    let digits = (last / 100) as u16 * 0x100 + (last / 10 % 10) as u16 * 0x10 + (last % 10) as u16;
    [
        IpAddr::V4(Ipv4Addr::new(192, 168, 77, last)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, digits)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_golden_cluster_s() {
        assert_eq!(
            NODE.map(|ip| ip.to_string()),
            ["192.168.77.2", "fd00:77::2"]
        );
        assert_eq!(
            CLIENT.map(|ip| ip.to_string()),
            ["192.168.77.100", "fd00:77::100"]
        );
        let ranges = pod_ranges().map(|pair| pair.map(|net| net.to_string()));
        assert_eq!(ranges[0], ["10.244.0.0/24", "fd00:10:244::/64"]);
        assert_eq!(ranges[2], ["10.244.2.0/24", "fd00:10:244:2::/64"]);
    }
}
