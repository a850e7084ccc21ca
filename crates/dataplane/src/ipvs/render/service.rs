//! One Service's share of the sets, virtual servers and addresses (contract 3.3 to 3.6).

use std::net::IpAddr;

use ipnet::IpNet;
use ipvs_netlink::{Destination, DestinationId, Scheduler, Server, ServerFlags, ServerId};
use nfnetlink::Family;
use nfnetlink::ipset::{Entry, IpPort};
use nfnetlink::xtables::{Ipvs, Match, NotOr, Target};
use viprule_service::model;
use viprule_service::plan::{EndpointPlan, PortPlan, ServicePlan};

use super::from_netfilter;
use crate::family::in_netfilter;
use crate::ipvs::balancing::{Balancing, balancing};
use crate::ipvs::settings::Options;
use crate::ipvs::{Key, Object};
use crate::netfilter::{Draft, Kind, Table, keyed};
use crate::ownership::{Chain, Set, SetName};
use crate::protocol::in_ipvs;
use crate::state::State;

/// Everything that a Service needs besides the base and the entry points.
pub(in crate::ipvs) fn service(plan: &ServicePlan, options: &Options) -> State<Key, Object> {
    let Balancing {
        scheduler, flags, ..
    } = balancing(plan.scheduler.as_deref(), options);
    let mut objects = Vec::new();
    for port in &plan.ports {
        let family = in_netfilter(port.family);
        if options.families.contains(&family) {
            let renderer = PortRenderer {
                plan,
                port,
                family,
                options,
                balancing: (scheduler, flags),
                objects: &mut objects,
            };
            renderer.render();
        }
    }
    objects.into_iter().collect()
}

struct PortRenderer<'a> {
    plan: &'a ServicePlan,
    port: &'a PortPlan,
    family: Family,
    options: &'a Options,
    balancing: (Scheduler, ServerFlags),
    objects: &'a mut Vec<(Key, Object)>,
}

impl PortRenderer<'_> {
    fn render(mut self) {
        self.loop_back();
        self.cluster_ip();
        self.external_ips();
        self.load_balancer_ips();
        self.node_ports_and_health_check();
    }

    fn entry(&mut self, name: SetName, entry: Entry) {
        let family = self.family;
        let set = Set { name, family };
        self.objects
            .push((Key::Entry { set, entry }, Object::Entry));
    }

    fn with_port(&self, address: IpAddr, port: u16) -> IpPort {
        IpPort {
            address,
            protocol: self.port.protocol.number(),
            port,
        }
    }

    /// Endpoints of this node reach themselves with the node's address.
    fn loop_back(&mut self) {
        let port = self.port;
        let used = port.endpoints.iter().filter(|endpoint| endpoint.local);
        let used = used.map(|endpoint| endpoint.address);
        for endpoint in used.chain(port.idle_local_endpoints.iter().copied()) {
            let (ip, port) = (endpoint.ip(), endpoint.port());
            let entry = Entry::IpPortIp(self.with_port(ip, port), ip);
            self.entry(SetName::LoopBack, entry);
        }
    }

    fn cluster_ip(&mut self) {
        let port = self.port;
        if self.options.is_own(port.cluster_ip) {
            return;
        }
        let at = self.with_port(port.cluster_ip, port.port);
        self.entry(SetName::ClusterIp, Entry::IpPort(at));
        self.server(at, port.internal_local);
        self.bind(at.address);
    }

    fn external_ips(&mut self) {
        let port = self.port;
        let name = if port.external_local {
            SetName::ExternalIpLocal
        } else {
            SetName::ExternalIp
        };
        for ip in &port.external_ips {
            if !self.is_servable(*ip) {
                continue;
            }
            let at = self.with_port(*ip, port.port);
            self.entry(name, Entry::IpPort(at));
            self.external_server(at);
        }
    }

    fn load_balancer_ips(&mut self) {
        let port = self.port;
        for ip in &port.load_balancer_ips {
            if !self.is_servable(*ip) {
                continue;
            }
            let at = self.with_port(*ip, port.port);
            self.entry(SetName::LoadBalancer, Entry::IpPort(at));
            if port.external_local {
                self.entry(SetName::LoadBalancerLocal, Entry::IpPort(at));
            }
            if !port.source_ranges.is_empty() {
                self.source_ranges(at);
            }
            self.external_server(at);
        }
    }

    fn source_ranges(&mut self, at: IpPort) {
        let port = self.port;
        self.entry(SetName::LoadBalancerFirewall, Entry::IpPort(at));
        for range in &port.source_ranges {
            let entry = Entry::IpPortNet(at, *range);
            self.entry(SetName::LoadBalancerSourceCidr, entry);
        }
        if port.source_ranges_hold_node {
            // What the node sends to the address has it as its source.
            let entry = Entry::IpPortIp(at, at.address);
            self.entry(SetName::LoadBalancerSourceIp, entry);
        } else {
            self.keep_node_off(at);
        }
    }

    fn keep_node_off(&mut self, at: IpPort) {
        let address = IpNet::from(at.address);
        let to = Ipvs {
            protocol: Some(NotOr::is(at.protocol)),
            address: Some(NotOr::is(address)),
            port: Some(NotOr::is(at.port)),
            ..Ipvs::default()
        };
        let rule = Draft::new(self.family)
            .src(address)
            .with(Match::Ipvs(to))
            .then(Target::Drop);
        let table = Table {
            family: self.family,
            kind: Kind::Filter,
        };
        self.objects
            .push(from_netfilter(keyed(table, Chain::IpvsOutFilter, rule)));
    }

    /// An address that the node has anyway is not bound.
    fn external_server(&mut self, at: IpPort) {
        self.server(at, self.port.external_local);
        if !self.options.is_own(at.address) {
            self.bind(at.address);
        }
    }

    /// False for external addresses that can't be served. What others send to an address reaches
    /// IPVS where the address is the node's; then all of its ports are, the API server's too.
    fn is_servable(&self, address: IpAddr) -> bool {
        self.options.is_own(address) || !self.plan.is_api_server(address)
    }

    fn bind(&mut self, address: IpAddr) {
        self.entry(SetName::IpvsIps, Entry::Ip(address));
        self.objects.push((Key::Address(address), Object::Address));
    }

    fn node_ports_and_health_check(&mut self) {
        let port = self.port;
        if port.node_port != 0 {
            if self.options.node_ports(self.family).is_empty() {
                return;
            }
            self.node_port();
        }
        if port.health_check_node_port != 0 {
            let entry = Entry::Port(port.health_check_node_port);
            self.entry(SetName::HealthCheckNodePort, entry);
        }
    }

    fn node_port(&mut self) {
        let port = self.port;
        let (options, number) = (self.options, port.node_port);
        let addresses = options.node_ports(self.family);
        let (every, local) = match port.protocol {
            model::Protocol::Tcp => (SetName::NodePortTcp, SetName::NodePortLocalTcp),
            model::Protocol::Udp => (SetName::NodePortUdp, SetName::NodePortLocalUdp),
            model::Protocol::Sctp => (SetName::NodePortSctp, SetName::NodePortLocalSctp),
        };
        let sets = std::iter::once(every).chain(port.external_local.then_some(local));
        for name in sets {
            if port.protocol == model::Protocol::Sctp {
                for ip in addresses {
                    let entry = Entry::IpPort(self.with_port(*ip, number));
                    self.entry(name, entry);
                }
            } else {
                self.entry(name, Entry::Port(number));
            }
        }
        for ip in addresses {
            self.server(self.with_port(*ip, number), port.external_local);
        }
    }

    /// A virtual server with its destinations. Without local endpoints the others take what is for
    /// local ones (contract 3.4).
    fn server(&mut self, at: IpPort, local_only: bool) {
        let port = self.port;
        let server = ServerId::Address {
            address: at.address,
            port: at.port,
            protocol: in_ipvs(port.protocol),
        };
        let (scheduler, flags) = self.balancing;
        let mut content = Server::new(scheduler, server.family());
        content.flags = flags;
        if let Some(seconds) = port.affinity_seconds {
            content.flags |= ServerFlags::PERSISTENT;
            content.timeout = seconds;
        }
        self.objects
            .push((Key::Server(server), Object::Server(content)));
        if local_only && port.local_endpoints().next().is_some() {
            self.destinations(server, port.local_endpoints());
        } else {
            self.destinations(server, port.cluster_endpoints());
        }
    }

    fn destinations<'b>(
        &mut self,
        server: ServerId,
        endpoints: impl Iterator<Item = &'b EndpointPlan>,
    ) {
        self.objects.extend(endpoints.map(|endpoint| {
            let destination = DestinationId {
                address: endpoint.address.ip(),
                port: endpoint.address.port(),
            };
            let key = Key::Destination {
                server,
                destination,
            };
            let content = Destination::masqueraded(endpoint.weight.into());
            (key, Object::Destination(content))
        }));
    }
}
