//! Which virtual servers in the kernel are ours.

use std::net::IpAddr;

use ipvs_netlink::{Family, Protocol, ServerId};
use nfnetlink::ipset::{Entry, IpPort};

use super::Key;
use crate::family::of_ipvs;
use crate::ownership::{Set, SetName};

/// True for a virtual server that stands for an element of one of our sets, or whose address is on
/// our link; `has` tells which of those are there. All others belong to somebody else.
///
/// So elements are written before servers and removed behind them.
pub fn owns_server(server: &ServerId, has: impl Fn(&Key) -> bool) -> bool {
    signs(server).any(|key| has(&key))
}

/// The objects each of which says that a virtual server is ours.
pub fn signs(server: &ServerId) -> impl Iterator<Item = Key> {
    let at = match *server {
        ServerId::Address {
            address,
            port,
            protocol,
        } => Some((address, port, protocol)),
        ServerId::Fwmark { .. } => None,
    };
    at.into_iter().flat_map(|(address, port, protocol)| {
        let family = of_ipvs(Family::of(&address));
        let of = move |name, entry| {
            let set = Set { name, family };
            Key::Entry { set, entry }
        };
        let at = Entry::IpPort(ip_port(address, port, protocol));
        let virtual_address = [
            SetName::ClusterIp,
            SetName::ExternalIp,
            SetName::ExternalIpLocal,
            SetName::LoadBalancer,
        ];
        let node_port = match protocol {
            Protocol::Tcp => of(SetName::NodePortTcp, Entry::Port(port)),
            Protocol::Udp => of(SetName::NodePortUdp, Entry::Port(port)),
            Protocol::Sctp => of(SetName::NodePortSctp, at),
        };
        let by_address = virtual_address.into_iter().map(move |name| of(name, at));
        std::iter::once(Key::Address(address))
            .chain(by_address)
            .chain([node_port])
    })
}

fn ip_port(address: IpAddr, port: u16, protocol: Protocol) -> IpPort {
    IpPort {
        address,
        protocol: protocol.number(),
        port,
    }
}
