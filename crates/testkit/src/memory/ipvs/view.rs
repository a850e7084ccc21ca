//! Virtual servers as tests name them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipvs_netlink::{DestinationId, Family, Protocol, ServerId};

use super::{Connections, DestinationKey, IpVs, ServerKey};

impl IpVs {
    /// Virtual servers of protocols that IPVS balances, with their destinations' weights.
    pub(in crate::memory) fn view(&self) -> BTreeMap<ServerId, BTreeMap<DestinationId, u32>> {
        let servers = self.servers.iter().filter_map(|(key, server)| {
            let destinations = server.destinations.iter();
            let destinations = destinations.map(|((af, address, port), it)| {
                let id = DestinationId {
                    address: ip(*af, *address),
                    port: u16::from_be_bytes(*port),
                };
                (id, it.weight)
            });
            Some((id(*key)?, destinations.collect()))
        });
        servers.collect()
    }

    /// True for a virtual server that has a destination with a weight.
    pub(in crate::memory) fn leads_on(&self, server: &ServerId) -> bool {
        let server = self.servers.get(&key(server));
        server.is_some_and(|it| it.destinations.iter().any(|(_, it)| it.weight > 0))
    }

    /// True where there is this virtual server.
    pub(in crate::memory) fn has_server(&self, server: &ServerId) -> bool {
        self.servers.contains_key(&key(server))
    }

    /// The weight of a destination.
    pub(in crate::memory) fn weight(
        &self,
        server: &ServerId,
        destination: &DestinationId,
    ) -> Option<u32> {
        let server = self.servers.get(&key(server))?;
        let mut destinations = server.destinations.iter();
        let found = destinations.find(|(id, _)| *id == destination_key(destination));
        found.map(|(_, it)| it.weight)
    }

    pub(in crate::memory) fn set_connections(
        &mut self,
        server: &ServerId,
        destination: &DestinationId,
        active: u32,
        inactive: u32,
    ) {
        let id = destination_key(destination);
        let connections = Connections { active, inactive };
        self.connections.insert((key(server), id), connections);
    }
}

fn destination_key(id: &DestinationId) -> DestinationKey {
    let (af, address) = octets(id.address);
    (af, address, id.port.to_be_bytes())
}

fn id(key: ServerKey) -> Option<ServerId> {
    Some(match key {
        ServerKey::Mark { af, mark } => ServerId::Fwmark {
            family: if af == 2 { Family::Ipv4 } else { Family::Ipv6 },
            mark,
        },
        ServerKey::Address {
            af,
            protocol,
            address,
            port,
        } => ServerId::Address {
            address: ip(af, address),
            port: u16::from_be_bytes(port),
            protocol: Protocol::ALL
                .into_iter()
                .find(|it| u16::from(it.number()) == protocol)?,
        },
    })
}

fn key(id: &ServerId) -> ServerKey {
    match id {
        ServerId::Fwmark { family, mark } => ServerKey::Mark {
            af: family.number(),
            mark: *mark,
        },
        ServerId::Address {
            address,
            port,
            protocol,
        } => {
            let (af, address) = octets(*address);
            ServerKey::Address {
                af,
                protocol: protocol.number().into(),
                address,
                port: port.to_be_bytes(),
            }
        }
    }
}

fn ip(af: u16, address: [u8; 16]) -> IpAddr {
    if af == 2 {
        let [a, b, c, d, ..] = address;
        Ipv4Addr::new(a, b, c, d).into()
    } else {
        Ipv6Addr::from(address).into()
    }
}

fn octets(address: IpAddr) -> (u16, [u8; 16]) {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            (2, bytes)
        }
        IpAddr::V6(address) => (10, address.octets()),
    }
}
