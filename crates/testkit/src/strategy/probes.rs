//! Packets that have a good chance to hit something.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use viprule_service::model::{EndpointSlice, Family, Protocol, Service, ServicePort};

use super::addresses;
use crate::semantics::Cluster;
use crate::walker::{Origin, Packet, Remembered};

/// A packet that is chosen only once the cluster is known.
#[derive(Debug, Clone)]
pub struct Probe {
    family: Family,
    destination: Index,
    source: Index,
    source_port: u16,
    interface: &'static str,
    /// Comes from outside whatever its source says.
    spoofed: bool,
    memories: Vec<Memory>,
}

#[derive(Debug, Clone)]
struct Memory {
    /// Of the Service that the packet is for, or of any.
    of_destination: bool,
    service: Index,
    port: Index,
    endpoint: Index,
    /// The client is this packet's, or somebody else.
    same_client: bool,
    /// It used the packet's destination, or another address.
    same_frontend: bool,
    seconds_ago: u32,
}

/// A packet, and what session affinity remembers.
pub fn probe() -> impl Strategy<Value = Probe> {
    (
        select(Family::ALL.to_vec()),
        any::<Index>(),
        any::<Index>(),
        32_768_u16..60_999,
        select(vec!["eth0", "cni0", "veth12"]),
        prop::bool::weighted(0.03),
        vec(memory(), 0..=4),
    )
        .prop_map(
            |(family, destination, source, source_port, interface, spoofed, memories)| Probe {
                family,
                destination,
                source,
                source_port,
                interface,
                spoofed,
                memories,
            },
        )
}

fn memory() -> impl Strategy<Value = Memory> {
    let ages = select(vec![0, 1, 300, 599, 601, 90_000]);
    let often = || prop::bool::weighted(0.8);
    let whose = (often(), often(), often());
    (whose, any::<[Index; 3]>(), ages).prop_map(
        |((of_destination, same_client, same_frontend), [service, port, endpoint], seconds_ago)| {
            Memory {
                of_destination,
                service,
                port,
                endpoint,
                same_client,
                same_frontend,
                seconds_ago,
            }
        },
    )
}

impl Probe {
    /// The packet and the memories for this cluster.
    pub fn resolve(&self, cluster: &Cluster) -> (Packet, Vec<Remembered>) {
        let mut targets = destinations(cluster, self.family);
        if targets.is_empty() {
            targets = Family::ALL
                .into_iter()
                .flat_map(|it| destinations(cluster, it))
                .collect();
        }
        let Target {
            destination,
            protocol,
            service,
            port,
        } = *self.destination.get(&targets);
        let family = Family::of(&destination.ip());
        let source = *self.source.get(&sources(cluster, family, destination.ip()));
        let origin = if is_local(cluster, source) && !self.spoofed {
            Origin::Node
        } else {
            Origin::Interface(self.interface.to_owned())
        };
        let source = SocketAddr::new(source, self.source_port);
        let packet = Packet {
            source,
            destination,
            protocol,
            origin,
        };
        let memories = self.memories.iter();
        let memories = memories
            .filter_map(|it| it.resolve(service, port, cluster, source.ip(), destination))
            .collect();
        (packet, memories)
    }
}

impl Memory {
    fn resolve(
        &self,
        service: &Service,
        port: &ServicePort,
        cluster: &Cluster,
        client: IpAddr,
        destination: SocketAddr,
    ) -> Option<Remembered> {
        let (service, port) = if self.of_destination {
            (service, port)
        } else {
            let service = self.service.get(&cluster.services);
            (service, self.port.get(&service.ports))
        };
        let mut endpoints = Vec::new();
        for slice in cluster
            .slices
            .iter()
            .filter(|slice| slice.id.service == service.id)
        {
            for number in slice.ports.iter().filter(|other| other.name == port.name) {
                endpoints.extend(
                    slice
                        .endpoints
                        .iter()
                        .map(|it| SocketAddr::new(it.address, number.port)),
                );
            }
        }
        endpoints.retain(|endpoint| endpoint.is_ipv4() == client.is_ipv4());
        if endpoints.is_empty() {
            return None;
        }
        let other = addresses::clients(Family::of(&client))[0];
        Some(Remembered {
            service: service.id.clone(),
            port: port.name.clone(),
            protocol: port.protocol,
            client: if self.same_client { client } else { other },
            frontend: if self.same_frontend {
                destination
            } else {
                SocketAddr::new(other, destination.port())
            },
            endpoint: *self.endpoint.get(&endpoints),
            seconds_ago: self.seconds_ago,
        })
    }
}

/// One packet from everybody who matters to everything that means something or nearly does: from
/// clients, from a pod here, from the node's addresses, and from the Service's own addresses and
/// endpoints. Pods' packets come through `cni0`, others' through `eth0`.
pub fn every_packet(cluster: &Cluster) -> Vec<Packet> {
    let mut packets = BTreeMap::new();
    for family in Family::ALL {
        for Target {
            destination,
            protocol,
            service,
            ..
        } in destinations(cluster, family)
        {
            let own = service.load_balancer_ips.iter().copied();
            let sources = addresses::clients(family)
                .into_iter()
                .chain(addresses::endpoint(family).into_iter().take(1))
                .chain(addresses::local_of(family))
                .chain(own.chain(endpoints(cluster, service)))
                .filter(|source| Family::of(source) == family);
            for source in sources {
                let origin = if is_local(cluster, source) {
                    Origin::Node
                } else if addresses::pod_network(family).contains(&source) {
                    Origin::Interface("cni0".to_owned())
                } else {
                    Origin::Interface("eth0".to_owned())
                };
                let source = SocketAddr::new(source, 40_000);
                let packet = Packet {
                    source,
                    destination,
                    protocol,
                    origin,
                };
                packets.insert((destination, protocol, source), packet);
            }
        }
    }
    packets.into_values().collect()
}

fn endpoints(cluster: &Cluster, service: &Service) -> impl Iterator<Item = IpAddr> {
    let mine = |slice: &&EndpointSlice| slice.id.service == service.id;
    let slices = cluster.slices.iter().filter(mine);
    slices.flat_map(|slice| slice.endpoints.iter().map(|endpoint| endpoint.address))
}

fn is_local(cluster: &Cluster, source: IpAddr) -> bool {
    source.is_loopback() || cluster.local_addresses.contains(&source)
}

#[derive(Clone, Copy)]
struct Target<'a> {
    destination: SocketAddr,
    protocol: Protocol,
    /// The Service that the destination has something to do with.
    service: &'a Service,
    port: &'a ServicePort,
}

/// How much more often a packet is for a Service's own address and port than for others.
const OFTEN: usize = 4;

/// Everything that some Service could want, and a little that none wants.
fn destinations(cluster: &Cluster, family: Family) -> Vec<Target<'_>> {
    let mut all = Vec::new();
    for service in &cluster.services {
        let virtual_ips: Vec<IpAddr> = virtual_ips(service)
            .filter(|ip| Family::of(ip) == family)
            .collect();
        if service.cluster_ip(family).is_none() && service.ports.len() > 1 {
            // Nothing of such a Service is served in this family: seldom worth a packet.
            continue;
        }
        for port in &service.ports {
            let mut add = |ip: IpAddr, number: u16, protocol| {
                let destination = SocketAddr::new(ip, number);
                all.push(Target {
                    destination,
                    protocol,
                    service,
                    port,
                });
            };
            for ip in virtual_ips.iter().flat_map(|ip| [ip; OFTEN]) {
                add(*ip, port.port, port.protocol);
            }
            if port.node_port != 0 {
                let local = addresses::local_of(family);
                let [own, second, ..] = local;
                for ip in local
                    .into_iter()
                    .chain([own, second])
                    .chain(virtual_ips.first().copied())
                {
                    add(ip, port.node_port, port.protocol);
                }
                if family == Family::Ipv4 {
                    add([127, 9, 9, 9].into(), port.node_port, port.protocol);
                }
            }
            let node = addresses::node_address(family);
            add(node, port.port, port.protocol);
            add(addresses::free_cluster_ip(family), port.port, port.protocol);
            if service.health_check_node_port != 0 {
                add(node, service.health_check_node_port, Protocol::Tcp);
            }
            if let Some(ip) = virtual_ips.first() {
                add(*ip, 7, port.protocol);
                let tcp = port.protocol == Protocol::Tcp;
                add(
                    *ip,
                    port.port,
                    if tcp { Protocol::Udp } else { Protocol::Tcp },
                );
            }
        }
    }
    all
}

fn virtual_ips(service: &Service) -> impl Iterator<Item = IpAddr> {
    let external = service
        .external_ips
        .iter()
        .chain(&service.load_balancer_ips);
    service.cluster_ips.iter().chain(external).copied()
}

/// Clients outside, pods here and elsewhere, endpoints, the node, and the destination itself.
fn sources(cluster: &Cluster, family: Family, destination: IpAddr) -> Vec<IpAddr> {
    let mut all = addresses::clients(family).to_vec();
    all.extend(addresses::endpoint(family));
    all.extend(addresses::local_of(family));
    let own = cluster
        .services
        .iter()
        .flat_map(|service| service.load_balancer_ips.iter().copied());
    let endpoints = cluster.slices.iter().flat_map(|slice| &slice.endpoints);
    let others = own.chain(endpoints.map(|endpoint| endpoint.address));
    all.extend(others.filter(|ip| Family::of(ip) == family));
    if cluster.local_addresses.contains(&destination) {
        all.push(destination);
    }
    all
}
