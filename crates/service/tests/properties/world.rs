//! Random objects from pools small enough that they meet: Services that share frontends, slices
//! that share endpoints.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use viprule_service::model::{
    Conditions, CreationTime, Endpoint, EndpointSlice, Family, Hints, Node, Protocol, Service,
    ServiceId, ServicePort, ServiceType, SliceId, SlicePort,
};
use viprule_service::plan::{Budgets, PlanConfig};

/// This node.
pub(crate) const NODE: &str = "node-0";

pub(crate) const SERVICES: [&str; 5] = ["a", "b", "c", "d", "e"];
pub(crate) const SLICES: [&str; 3] = ["s1", "s2", "s3"];

pub(crate) fn config(allow_external_ips: bool) -> PlanConfig {
    PlanConfig {
        node_name: NODE.into(),
        bind_address: None,
        allow_external_ips,
        budgets: Budgets::default(),
    }
}

pub(crate) fn id(name: &str) -> ServiceId {
    ServiceId::new("ns", name).unwrap()
}

pub(crate) fn slice_id(service: &str, name: &str) -> SliceId {
    SliceId::new(id(service), name).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Some of a few addresses or networks, in their order.
fn some_of<T: Clone + std::fmt::Debug + 'static>(
    texts: &'static [&'static str],
    parse: fn(&str) -> T,
) -> impl Strategy<Value = Box<[T]>> {
    let all: Vec<T> = texts.iter().map(|text| parse(text)).collect();
    subsequence(all, 0..=texts.len()).prop_map(Into::into)
}

fn cluster_ips() -> impl Strategy<Value = Box<[IpAddr]>> {
    let v4 = || select(vec!["10.1.0.1", "10.1.0.2", "10.1.0.3"]).prop_map(ip);
    let v6 = || select(vec!["fd00:1::1", "fd00:1::2"]).prop_map(ip);
    prop_oneof![
        v4().prop_map(|v4| [v4].into()),
        v6().prop_map(|v6| [v6].into()),
        (v4(), v6()).prop_map(|(v4, v6)| [v4, v6].into()),
        (v4(), v6()).prop_map(|(v4, v6)| [v6, v4].into()),
    ]
}

/// One or two ports; the second may have the first one's frontends.
fn service_ports() -> impl Strategy<Value = Box<[ServicePort]>> {
    let port = |name: &'static str| {
        let protocol = select(vec![Protocol::Tcp, Protocol::Udp]);
        let node_port = select(vec![0, 0, 30_080, 30_081]);
        (protocol, select(vec![80, 30_080]), node_port).prop_map(
            move |(protocol, port, node_port)| ServicePort {
                name: name.into(),
                protocol,
                port,
                node_port,
            },
        )
    };
    (port("http"), option::of(port("metrics")))
        .prop_map(|(first, second)| std::iter::once(first).chain(second).collect())
}

pub(crate) fn service(name: &'static str) -> impl Strategy<Value = Service> {
    let kind = vec![
        ServiceType::ClusterIp,
        ServiceType::NodePort,
        ServiceType::LoadBalancer,
    ];
    let net = |text: &str| text.parse().unwrap();
    let virtual_ips = (
        cluster_ips(),
        some_of(
            &["198.51.100.1", "2001:db8::1", "10.1.0.1", "192.0.2.77"],
            ip,
        ),
        some_of(&["203.0.113.1", "2001:db8::2", "198.51.100.1"], ip),
        some_of(&["192.0.2.0/24", "fd00:2::/64", "0.0.0.0/0"], net),
    );
    let policies = (
        any::<bool>(),
        any::<bool>(),
        option::of(1..=3_u32),
        select(vec![0, 32_000]),
        select(vec![
            CreationTime::at(1),
            CreationTime::at(2),
            CreationTime::default(),
        ]),
    );
    (select(kind), service_ports(), virtual_ips, policies).prop_map(
        move |(kind, ports, virtual_ips, policies)| Service {
            id: id(name),
            created: policies.4,
            kind,
            ports,
            cluster_ips: virtual_ips.0,
            external_ips: virtual_ips.1,
            load_balancer_ips: virtual_ips.2,
            source_ranges: virtual_ips.3,
            internal_policy_local: policies.0,
            external_policy_local: policies.1,
            affinity_seconds: policies.2,
            health_check_node_port: policies.3,
            balancing: None,
        },
    )
}

fn conditions() -> impl Strategy<Value = Conditions> {
    prop_oneof![
        3 => Just(Conditions::default()),
        1 => any::<(bool, bool, bool)>().prop_map(|(ready, serving, terminating)| {
            Conditions { ready, serving, terminating }
        }),
    ]
}

fn hints() -> impl Strategy<Value = Option<Box<Hints>>> {
    let name = |text: &str| -> Box<str> { text.into() };
    let zones = some_of(&["east", "west"], name);
    let nodes = some_of(&[NODE, "other"], name);
    option::of((zones, nodes).prop_map(|(zones, nodes)| Box::new(Hints { zones, nodes })))
}

fn endpoint(family: Family) -> impl Strategy<Value = Endpoint> {
    let addresses = match family {
        Family::Ipv4 => ["10.0.0.1", "10.0.0.2", "10.0.0.10", "9.0.0.1"],
        Family::Ipv6 => ["fd00::1", "fd00::2", "fd00::10", "2001::1"],
    };
    let node = option::of(select(vec![NODE, "other"]).prop_map(Into::into));
    (select(addresses.to_vec()), conditions(), node, hints()).prop_map(
        |(address, conditions, node, hints)| Endpoint {
            address: ip(address),
            conditions,
            node,
            hints,
        },
    )
}

fn slice_ports() -> impl Strategy<Value = Box<[SlicePort]>> {
    let port = |name: &'static str| {
        let protocol = select(vec![Protocol::Tcp, Protocol::Tcp, Protocol::Udp]);
        (protocol, select(vec![8080, 9090])).prop_map(move |(protocol, port)| SlicePort {
            name: name.into(),
            protocol,
            port,
        })
    };
    (
        option::weighted(0.9, port("http")),
        option::of(port("metrics")),
    )
        .prop_map(|(http, metrics)| http.into_iter().chain(metrics).collect())
}

pub(crate) fn slice(
    service: &'static str,
    name: &'static str,
) -> impl Strategy<Value = EndpointSlice> {
    prop_oneof![3 => Just(Family::Ipv4), 1 => Just(Family::Ipv6)].prop_flat_map(move |family| {
        (slice_ports(), vec(endpoint(family), 0..5)).prop_map(move |(ports, endpoints)| {
            let id = slice_id(service, name);
            EndpointSlice {
                id,
                family,
                ports,
                endpoints: endpoints.into(),
            }
        })
    })
}

pub(crate) fn node() -> impl Strategy<Value = Node> {
    let zone = option::of(select(vec!["east", "west"]).prop_map(Into::into));
    let addresses = some_of(&["192.0.2.10", "fd00:2::10", "10.9.9.9"], ip);
    let pod_cidrs = some_of(&["10.244.0.0/24"], |text| text.parse().unwrap());
    (zone, addresses, pod_cidrs, any::<bool>()).prop_map(
        |(zone, addresses, pod_cidrs, eligible)| Node {
            name: NODE.into(),
            addresses: addresses.into(),
            zone,
            pod_cidrs: pod_cidrs.into(),
            eligible_for_load_balancers: eligible,
        },
    )
}

/// An address alone, external, load balancers' or cluster IPs.
pub(crate) fn api_server() -> impl Strategy<Value = BTreeSet<SocketAddr>> {
    let all = [
        "192.0.2.1:6443",
        "198.51.100.1:443",
        "203.0.113.1:80",
        "[2001:db8::1]:443",
        "10.1.0.1:443",
        "[fd00:1::1]:80",
    ];
    let all: Vec<SocketAddr> = all.iter().map(|text| text.parse().unwrap()).collect();
    let len = all.len();
    subsequence(all, 0..=len).prop_map(|some| some.into_iter().collect())
}

pub(crate) fn local_addresses() -> impl Strategy<Value = Vec<IpAddr>> {
    some_of(&["127.0.0.1", "192.0.2.10", "fd00:2::10"], ip).prop_map(Into::into)
}
