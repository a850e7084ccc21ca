//! Which virtual servers in the kernel are ours.

use std::net::IpAddr;

use ipvs_netlink::{Family, Protocol, ServerId};
use nfnetlink::ipset::{Entry, IpPort};

use super::Key;
use crate::ownership::{Set, SetName};

/// True for a virtual server that stands for an element of one of our sets, or whose address is on
/// our link; `has` tells which of those are there. All others belong to somebody else.
///
/// So elements are written before servers and removed behind them.
pub fn owns_server(server: &ServerId, has: impl Fn(&Key) -> bool) -> bool {
    let ServerId::Address {
        address,
        port,
        protocol,
    } = *server
    else {
        return false;
    };
    let family = match Family::of(&address) {
        Family::Ipv4 => nfnetlink::Family::Ipv4,
        Family::Ipv6 => nfnetlink::Family::Ipv6,
    };
    let is_in = |name, entry| {
        let set = Set { name, family };
        has(&Key::Entry { set, entry })
    };
    let at = Entry::IpPort(ip_port(address, port, protocol));
    let virtual_address = [
        SetName::ClusterIp,
        SetName::ExternalIp,
        SetName::ExternalIpLocal,
        SetName::LoadBalancer,
    ];
    has(&Key::Address(address))
        || virtual_address.into_iter().any(|name| is_in(name, at))
        || match protocol {
            Protocol::Tcp => is_in(SetName::NodePortTcp, Entry::Port(port)),
            Protocol::Udp => is_in(SetName::NodePortUdp, Entry::Port(port)),
            Protocol::Sctp => is_in(SetName::NodePortSctp, at),
        }
}

fn ip_port(address: IpAddr, port: u16, protocol: Protocol) -> IpPort {
    IpPort {
        address,
        protocol: protocol.number(),
        port,
    }
}
