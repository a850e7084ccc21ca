//! What Services mean on a node in IPVS mode (contract 3), stated a second time.
//!
//! Where the tables of contract 1.7 say otherwise, this mode differs knowingly: without local
//! endpoints the others serve, nothing is dropped for a policy, node ports don't answer on loopback
//! addresses, the node itself is kept off by the source that it has by default, and a client comes
//! back to its endpoint through the same address only.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use viprule_service::model::{Family, Protocol, Service, ServicePort, ServiceType};

use super::endpoints::{Merged, Selection, merge, select, weight};
use super::frontend::{external_local, uses};
use super::node_ports;
use super::{Cluster, Detector, Settings};
use crate::walker::{Affinity, Distribution, Host, Origin, Outcome, Packet};

/// How the first packet of a connection has to end on this node.
pub fn expected(
    cluster: &Cluster,
    settings: &Settings,
    packet: &Packet,
    affinity: &Affinity,
) -> Distribution {
    let question = Question {
        cluster,
        settings,
        packet,
        host: host(cluster, settings),
    };
    if packet.is_martian(&question.host) {
        return Distribution::certain(Outcome::Dropped);
    }
    match question.server() {
        Some(server) => question.served(&server, affinity),
        None => Distribution::certain(question.unserved()),
    }
}

/// The host that packets meet: Services' addresses are its own.
pub fn host(cluster: &Cluster, settings: &Settings) -> Host {
    let mut addresses = cluster.local_addresses.clone();
    addresses.extend(bound(cluster, settings));
    Host {
        addresses,
        route_localnet: false,
    }
}

/// Services' addresses that the node gets, all but those that it has anyway and those of its API
/// server.
fn bound(cluster: &Cluster, settings: &Settings) -> Vec<IpAddr> {
    let is_free = |ip: &&IpAddr| !is_api_servers(cluster, **ip);
    let of_service = |service: &Service| {
        let external = if settings.allow_external_ips {
            &service.external_ips[..]
        } else {
            &[]
        };
        let external = external.iter().chain(&service.load_balancer_ips);
        let external = external.filter(is_free);
        let all = service.cluster_ips.iter().chain(external).copied();
        let served = all.filter(|ip| service.cluster_ip(Family::of(ip)).is_some());
        served.collect::<Vec<_>>()
    };
    let all = cluster.services.iter().flat_map(of_service);
    all.filter(|ip| !own(cluster).contains(ip)).collect()
}

/// True for an address of the API server that is not the node's. Other traffic to it can't be told
/// apart before it is the node's.
fn is_api_servers(cluster: &Cluster, ip: IpAddr) -> bool {
    let ways = cluster.ways_to_api_server();
    ways.iter().any(|way| way.ip() == ip) && !own(cluster).contains(&ip)
}

/// The node's own addresses, but for those that every machine has.
fn own(cluster: &Cluster) -> Vec<IpAddr> {
    let everybodys = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    };
    let all = cluster.local_addresses.iter().copied();
    all.filter(|ip| !everybodys(ip)).collect()
}

/// A packet on a node.
struct Question<'a> {
    cluster: &'a Cluster,
    settings: &'a Settings,
    packet: &'a Packet,
    host: Host,
}

/// A Service port that the packet is for, and as what; it may be several things at once.
struct Server<'a> {
    service: &'a Service,
    port: &'a ServicePort,
    cluster_ip: bool,
    external_ip: bool,
    load_balancer_ip: bool,
}

impl<'a> Question<'a> {
    fn family(&self) -> Family {
        self.packet.family()
    }

    fn source(&self) -> IpAddr {
        self.packet.source.ip()
    }

    /// Every Service port of the packet's family and protocol.
    fn ports(&self) -> impl Iterator<Item = (&'a Service, &'a ServicePort)> {
        let (family, protocol) = (self.family(), self.packet.protocol);
        let services = self.cluster.services.iter();
        services
            .filter(move |service| service.cluster_ip(family).is_some())
            .flat_map(|service| service.ports.iter().map(move |port| (service, port)))
            .filter(move |(_, port)| port.protocol == protocol)
    }

    fn server(&self) -> Option<Server<'a>> {
        let (to, number) = (self.packet.destination.ip(), self.packet.destination.port());
        self.ports().find_map(|(service, port)| {
            let here = port.port == number;
            let is_way = self.packet.protocol == Protocol::Tcp
                && self.cluster.is_way_to_api_server(self.packet.destination);
            let free = !is_way && !is_api_servers(self.cluster, to);
            let external = self.settings.allow_external_ips && service.external_ips.contains(&to);
            let server = Server {
                service,
                port,
                cluster_ip: here && service.cluster_ip(self.family()) == Some(to),
                external_ip: here && external && free,
                load_balancer_ip: here && service.load_balancer_ips.contains(&to) && free,
            };
            let node_port = self.cluster.node_port(port, self.family());
            let node_port = node_port != 0 && node_port == number;
            let on_node = node_port && self.node_ips().contains(&to);
            let meant = server.cluster_ip || server.external_ip || server.load_balancer_ip;
            (meant || on_node).then_some(server)
        })
    }

    /// Where node ports answer.
    fn node_ips(&self) -> Vec<IpAddr> {
        let family = self.family();
        let networks = node_ports::networks(self.settings, self.cluster, family);
        let mut addresses = if networks.is_empty() {
            own(self.cluster)
        } else {
            let inside = |ip: &IpAddr| networks.iter().any(|net: &IpNet| net.contains(ip));
            let all = self.cluster.local_addresses.iter().copied();
            all.filter(inside).collect()
        };
        addresses.retain(|ip| !ip.is_loopback() && Family::of(ip) == family);
        addresses
    }

    fn served(&self, server: &Server<'_>, affinity: &Affinity) -> Distribution {
        let from_outside = self.packet.origin != Origin::Node;
        if from_outside && !self.lets_in(server) {
            return Distribution::certain(Outcome::Dropped);
        }
        let selection = self.selection(server.service, server.port);
        let local_only = if server.cluster_ip {
            server.service.internal_policy_local
        } else {
            external_local(server.service)
        };
        let endpoints = if local_only && !selection.local.is_empty() {
            &selection.local
        } else {
            &selection.cluster
        };
        if endpoints.is_empty() {
            return Distribution::certain(Outcome::Rejected);
        }
        if !from_outside && self.is_kept_off(server) {
            return Distribution::certain(Outcome::Dropped);
        }
        if let Some(endpoint) = self.remembered(server, endpoints, affinity) {
            return Distribution::certain(self.delivered(server, endpoint));
        }
        let shares = endpoints
            .iter()
            .map(|endpoint| (endpoint, share(server.service, endpoint)));
        let total: u32 = shares.clone().map(|(_, share)| share).sum();
        let mut spread = Distribution::default();
        for (endpoint, share) in shares {
            let part = f64::from(share) / f64::from(total);
            spread.add(self.delivered(server, endpoint), part);
        }
        spread
    }

    fn selection(&self, service: &Service, port: &ServicePort) -> Selection {
        let family = self.family();
        let uses = uses(service, port, family, self.cluster);
        select(service, port, family, uses, self.cluster, self.settings)
    }

    fn delivered(&self, server: &Server<'_>, endpoint: &Merged) -> Outcome {
        // What arrives for the host's own network namespace doesn't leave again.
        let leaves =
            self.packet.origin == Origin::Node || !self.host.is_local(&endpoint.address.ip());
        let hidden = self.is_marked(Some(server)) || self.comes_back(endpoint.address);
        Outcome::Delivered {
            endpoint: endpoint.address,
            masqueraded: leaves && hidden,
        }
    }

    /// `loadBalancerSourceRanges` of this family; none where everybody is let in.
    fn ranges(&self, server: &Server<'a>) -> Vec<&'a IpNet> {
        let mine = |net: &&IpNet| Family::of(&net.addr()) == self.family();
        let ranges: Vec<&IpNet> = server.service.source_ranges.iter().filter(mine).collect();
        let restricts = server.load_balancer_ip && ranges.iter().all(|net| net.prefix_len() > 0);
        if restricts { ranges } else { Vec::new() }
    }

    fn node_is_inside(&self, ranges: &[&IpNet]) -> bool {
        let node = self.cluster.node_ip(self.settings, self.family());
        ranges.iter().any(|net| net.contains(&node))
    }

    /// True for everybody in the source ranges. The node reaches a load balancer's address from
    /// that same address.
    fn lets_in(&self, server: &Server<'a>) -> bool {
        let ranges = self.ranges(server);
        let own = self.source() == self.packet.destination.ip() && self.node_is_inside(&ranges);
        ranges.is_empty() || own || ranges.iter().any(|net| net.contains(&self.source()))
    }

    /// True for the node itself where the source ranges leave it out and it uses the address as its
    /// source.
    fn is_kept_off(&self, server: &Server<'a>) -> bool {
        let ranges = self.ranges(server);
        self.source() == self.packet.destination.ip()
            && !ranges.is_empty()
            && !self.node_is_inside(&ranges)
    }

    /// The endpoint that the client used last through this very address.
    fn remembered<'e>(
        &self,
        server: &Server<'_>,
        endpoints: &'e [Merged],
        affinity: &Affinity,
    ) -> Option<&'e Merged> {
        let seconds = server.service.affinity_seconds?;
        let last = affinity
            .iter()
            .filter(|entry| {
                entry.frontend == self.packet.destination
                    && entry.protocol == self.packet.protocol
                    && entry.client == self.source()
            })
            .min_by_key(|entry| entry.seconds_ago)?;
        if last.seconds_ago > seconds {
            return None;
        }
        endpoints
            .iter()
            .find(|endpoint| endpoint.address == last.endpoint)
    }

    /// True where the packet asks to be masqueraded.
    fn is_marked(&self, server: Option<&Server<'_>>) -> bool {
        if self.source().is_loopback() {
            return false;
        }
        let is = |what: fn(&Server<'_>) -> bool| server.is_some_and(what);
        let outside = server.is_some_and(|server| !external_local(server.service));
        let external_ip = is(|server| server.external_ip);
        let as_cluster_ip = if self.settings.masquerade_all {
            is(|server| server.cluster_ip)
        } else if self.settings.detector(self.family()).is_some() {
            is(|server| server.cluster_ip) && !self.is_from_local_pod()
        } else {
            // The node uses a cluster IP as its source towards that same one.
            self.ports().any(|(service, port)| {
                service.cluster_ip(self.family()) == Some(self.source())
                    && port.port == self.packet.destination.port()
            })
        };
        as_cluster_ip
            || (outside && (external_ip || is(|server| server.load_balancer_ip)))
            || (!external_ip && self.is_like_node_port())
    }

    /// True where the port's number is a node port of traffic that is masqueraded: whichever of the
    /// host's addresses the packet is for.
    fn is_like_node_port(&self) -> bool {
        let to = self.packet.destination;
        let node_ips = self.node_ips();
        let of_sctp = self.packet.protocol == viprule_service::model::Protocol::Sctp;
        let counts = self.host.is_local(&to.ip())
            && !node_ips.is_empty()
            && (!of_sctp || node_ips.contains(&to.ip()));
        counts
            && self.ports().any(|(service, port)| {
                let node_port = self.cluster.node_port(port, self.family());
                node_port != 0 && node_port == to.port() && !external_local(service)
            })
    }

    /// True where the packet would come back to a pod of this node that sent it.
    fn comes_back(&self, to: SocketAddr) -> bool {
        let is_local_pods = |(service, port): (&Service, &ServicePort)| {
            merge(service, port, self.family(), self.cluster, self.settings)
                .iter()
                .any(|endpoint| endpoint.local && endpoint.address == to)
        };
        self.source() == to.ip() && self.ports().any(is_local_pods)
    }

    fn is_from_local_pod(&self) -> bool {
        match (self.settings.detector(self.family()), &self.packet.origin) {
            (Some(Detector::Source(net)), _) => net.contains(&self.source()),
            (Some(Detector::Bridge(bridge)), Origin::Interface(name)) => name == bridge,
            (Some(Detector::InterfacePrefix(prefix)), Origin::Interface(name)) => {
                name.starts_with(prefix.as_str())
            }
            (None, _) | (_, Origin::Node) => false,
        }
    }

    /// What becomes of a packet that is for no server. Services' addresses show nothing else of the
    /// host, but for health checks.
    fn unserved(&self) -> Outcome {
        let to = self.packet.destination;
        if bound(self.cluster, self.settings).contains(&to.ip()) && !self.is_health_check() {
            return Outcome::Rejected;
        }
        let leaves = self.packet.origin == Origin::Node || !self.host.is_local(&to.ip());
        if leaves && (self.is_marked(None) || self.comes_back(to)) {
            Outcome::OnlyMasqueraded
        } else {
            Outcome::Untouched
        }
    }

    /// True for the port of a health check, whatever the protocol.
    fn is_health_check(&self) -> bool {
        let answers = |service: &&Service| {
            let has_it = service.kind == ServiceType::LoadBalancer
                && service.external_policy_local
                && service.health_check_node_port == self.packet.destination.port()
                && service.cluster_ip(self.family()).is_some();
            let on_node = |port: &ServicePort| {
                self.cluster.node_port(port, self.family()) == 0 || !self.node_ips().is_empty()
            };
            has_it && service.ports.iter().any(on_node)
        };
        self.packet.destination.port() != 0 && self.cluster.services.iter().any(|it| answers(&it))
    }
}

/// An endpoint's part of new connections.
fn share(service: &Service, endpoint: &Merged) -> u32 {
    let scheduler = service
        .balancing
        .as_ref()
        .and_then(|balancing| balancing.scheduler.as_ref());
    match scheduler {
        Some(scheduler) if scheduler.as_str() != "wrr" => 1,
        _ => weight(service, endpoint),
    }
}
