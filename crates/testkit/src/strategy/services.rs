//! Services with every combination of fields.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use viprule_service::model::{
    Balancing, EndpointSlice, Family, Protocol, SchedulerFlags, SchedulerName, Service,
    ServicePort, ServiceType, WeightKey,
};

use super::endpoints::{Endpoints, endpoints};
use super::{NODE, addresses};
use crate::objects::{bare_service, id};

/// What a Service is made from once its number is known.
#[derive(Debug, Clone)]
pub(super) struct Seed {
    kind: ServiceType,
    families: Vec<Family>,
    ports: Vec<Port>,
    external_ips: Vec<IpAddr>,
    load_balancer_ips: Vec<IpAddr>,
    source_ranges: Vec<IpNet>,
    affinity_seconds: Option<u32>,
    internal_policy_local: bool,
    external_policy_local: bool,
    health_check: bool,
    balancing: Option<Balancing>,
    endpoints: Endpoints,
}

#[derive(Debug, Clone)]
struct Port {
    name: &'static str,
    protocol: Protocol,
    /// Services have room for ports of this number; equal ones differ in the protocol.
    slot: u16,
    on_nodes: bool,
    /// The port is the node port's number.
    same_number: bool,
}

pub(super) fn service() -> impl Strategy<Value = Seed> {
    let identity = (
        select(vec![
            ServiceType::ClusterIp,
            ServiceType::NodePort,
            ServiceType::LoadBalancer,
        ]),
        subsequence(Family::ALL.to_vec(), 1..=2),
        vec(port(), 1..=3),
    );
    let addresses = (
        some_of(
            Family::ALL
                .into_iter()
                .flat_map(addresses::external_ips)
                .collect(),
        ),
        some_of(
            Family::ALL
                .into_iter()
                .flat_map(addresses::load_balancer_ips)
                .collect(),
        ),
        source_ranges(),
    );
    let policies = (
        prop_oneof![2 => Just(None), 1 => Just(Some(600)), 1 => Just(Some(1))],
        prop::bool::weighted(0.3),
        any::<bool>(),
        any::<bool>(),
    );
    (identity, addresses, policies, balancing(), endpoints()).prop_map(
        |((kind, families, ports), (external, lb, ranges), policies, balancing, endpoints)| {
            let (affinity_seconds, internal, external_local, health_check) = policies;
            Seed {
                kind,
                families,
                ports,
                external_ips: external,
                load_balancer_ips: lb,
                source_ranges: ranges,
                affinity_seconds,
                internal_policy_local: internal,
                external_policy_local: external_local,
                health_check,
                balancing,
                endpoints,
            }
        },
    )
}

/// Often none, else a few.
fn some_of(pool: Vec<IpAddr>) -> BoxedStrategy<Vec<IpAddr>> {
    let most = pool.len().min(4);
    prop_oneof![1 => Just(Vec::new()), 2 => subsequence(pool, 1..=most)].boxed()
}

/// Mostly none; else a scheduler that spreads by weights or evenly, and weights of every kind.
fn balancing() -> impl Strategy<Value = Option<Balancing>> {
    let scheduler = select(vec![None, None, Some("wrr"), Some("rr")]);
    let flags = prop::option::weighted(0.2, any::<[bool; 3]>().prop_map(SchedulerFlags));
    let keys: Vec<WeightKey> = Family::ALL
        .into_iter()
        .flat_map(|family| {
            let [first, .., other] = addresses::endpoint(family);
            [
                WeightKey::Address(first),
                WeightKey::Address(other),
                WeightKey::Network(addresses::pod_network(family)),
            ]
        })
        .chain([WeightKey::Node(NODE.into())])
        .collect();
    let weights = vec((select(keys), 1_u16..5), 1..=4);
    let some = (scheduler, flags, weights).prop_map(|(scheduler, flags, weights)| Balancing {
        scheduler: scheduler.and_then(SchedulerName::new),
        flags,
        weights: weights.into(),
    });
    prop::option::weighted(0.4, some)
}

/// Often none; seldom one that lets everybody in.
fn source_ranges() -> BoxedStrategy<Vec<IpNet>> {
    let (all, some): (Vec<IpNet>, Vec<IpNet>) = addresses::source_ranges()
        .into_iter()
        .partition(|net| net.prefix_len() == 0);
    let some = || subsequence(some.clone(), 1..=4);
    prop_oneof![
        2 => Just(Vec::new()),
        4 => some(),
        1 => (some(), select(all)).prop_map(|(mut some, all)| { some.push(all); some }),
    ]
    .boxed()
}

fn port() -> impl Strategy<Value = Port> {
    (
        select(vec!["", "http", "dns"]),
        select(vec![
            Protocol::Tcp,
            Protocol::Tcp,
            Protocol::Udp,
            Protocol::Sctp,
        ]),
        0_u16..2,
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(name, protocol, slot, on_nodes, same_number)| Port {
            name,
            protocol,
            slot,
            on_nodes,
            same_number,
        })
}

impl Seed {
    /// The Service with this number. Its ports are nobody else's.
    pub(super) fn service(&self, number: usize) -> Service {
        let first = u16::try_from(number).unwrap_or_default() * 10;
        let mut ports: Vec<ServicePort> = Vec::new();
        for port in &self.ports {
            let node_port = 30_000 + first + port.slot;
            let new = ServicePort {
                name: port.name.into(),
                protocol: port.protocol,
                port: if port.same_number {
                    node_port
                } else {
                    80 + first + port.slot
                },
                node_port: if port.on_nodes { node_port } else { 0 },
            };
            let clashes = |other: &ServicePort| {
                let numbers = |port: &ServicePort| (port.port, port.node_port);
                other.protocol == new.protocol
                    && (other.name == new.name
                        || numbers(other).0 == numbers(&new).0
                        || (other.node_port != 0 && numbers(other).1 == numbers(&new).1)
                        || other.port == new.node_port
                        || other.node_port == new.port)
            };
            if !ports.iter().any(clashes) {
                ports.push(new);
            }
        }
        Service {
            kind: self.kind,
            cluster_ips: self
                .families
                .iter()
                .map(|family| addresses::cluster_ip(*family, number))
                .collect(),
            ports: ports.into(),
            external_ips: self.external_ips.clone().into(),
            load_balancer_ips: self.load_balancer_ips.clone().into(),
            source_ranges: self.source_ranges.clone().into(),
            affinity_seconds: self.affinity_seconds,
            internal_policy_local: self.internal_policy_local,
            external_policy_local: self.external_policy_local,
            health_check_node_port: if self.health_check { 32_000 + first } else { 0 },
            balancing: self.balancing.clone().map(Box::new),
            ..bare_service(id(&format!("svc-{number}")))
        }
    }

    /// The Service's slices.
    pub(super) fn slices(&self, service: &Service) -> Vec<EndpointSlice> {
        self.endpoints.slices(service)
    }
}
