//! What can be spoiled of virtual servers, sets and chains.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipvs_netlink::{Scheduler, ServerFlags, ServerId};
use nfnetlink::xtables::Rule;
use viprule_dataplane::family::in_plans;
use viprule_dataplane::ipvs::{Desired, Key, Object, line};
use viprule_service::model::{Balancing, Family, WeightKey};
use viprule_testkit::semantics::Cluster;
use viprule_testkit::strategy::every_packet;
use viprule_testkit::walker::Packet;

use super::Ipvs;
use crate::iptables;
use crate::mutations::{self, Fixture, Known, Rules, STICKY, assert_known};
use crate::world::{self, READY};

impl Rules for Ipvs {
    type Rule = Rule;

    const WITHOUT_EFFECT: &'static Known = &[
        ("FORWARD: ", "all is forwarded anyway"),
        (
            "INPUT: -m comment --comment \"kubernetes health check",
            "all is let in",
        ),
        ("filter KUBE-FORWARD: ", "all is forwarded anyway"),
        ("filter KUBE-NODE-PORT: ", "all is let in anyway"),
        (
            "LOAD-BALANCER-SOURCE-IP",
            "what the node sends does not come in",
        ),
        (
            "KUBE-POSTROUTING: -j MARK",
            "nobody looks at the mark any more",
        ),
        ("--physdev-is-in", "the next rule accepts that as well"),
        (
            "KUBE-SERVICES: -m set --match-set",
            "it is the end of the chain",
        ),
        (
            "EXTERNAL-IP dst,dst -m addrtype --dst-type LOCAL",
            "it is marked already",
        ),
    ];
    const INTERCHANGEABLE: &'static Known = &[
        ("filter KUBE-FORWARD: ", "all is forwarded anyway"),
        ("KUBE-IPVS-FILTER: -m set", "they all let through"),
        ("KUBE-SOURCE-RANGES-FIREWALL: ", "they all let through"),
        (
            "KUBE-POSTROUTING: -j MARK",
            "nobody looks at the mark any more",
        ),
        ("KUBE-SERVICES: ! -s", "each set is of other addresses"),
        ("--physdev-is-in", "both accept"),
        ("lb portal", "each set is of other addresses"),
        ("KUBE-SERVICES: -m set", "it is the end of the chain"),
        (
            "EXTERNAL-IP dst,dst -m addrtype --dst-type LOCAL",
            "each set is of other addresses",
        ),
    ];

    fn cluster() -> Cluster {
        let mut cluster = mutations::cluster();
        let weights = [(WeightKey::Node("node-1".into()), 3)].into();
        cluster.services[STICKY].balancing = Some(Box::new(Balancing {
            weights,
            ..Balancing::default()
        }));
        let far = &mut cluster.services[4];
        far.external_ips = ["198.51.100.5", "fd00:198::5"].map(world::ip).into();
        // The number of another Service's node port.
        far.ports[0].port = 30_001;
        // One that keeps the node off.
        let mut closed = world::service("closed", 7);
        closed.load_balancer_ips = ["203.0.113.7", "fd00:203::7"].map(world::ip).into();
        closed.source_ranges = ["192.0.2.0/25", "fd00:201::/64"]
            .map(|text| text.parse().expect("a network"))
            .into();
        for pod in ["10.244.9.71", "fd00:10:244::71"] {
            let slice = world::slice(&closed, &[(pod, "node-1", READY)]);
            cluster.slices.push(slice);
        }
        cluster.services.push(closed);
        cluster
    }

    fn packets(seen: &Cluster) -> Vec<Packet> {
        let packets = every_packet(seen).into_iter();
        packets.chain(more_packets(seen)).collect()
    }

    fn family(key: &Key) -> Family {
        let of = |ip: &IpAddr| Family::of(ip);
        match key {
            Key::Set(set) | Key::Entry { set, .. } => in_plans(set.family),
            Key::Server(server) | Key::Destination { server, .. } => match server {
                ServerId::Address { address, .. } => of(address),
                ServerId::Fwmark { .. } => Family::Ipv4,
            },
            Key::Address(address) => of(address),
            Key::Netfilter(key) => in_plans(key.table().family),
            Key::Link => Family::Ipv4,
        }
    }

    fn rules(object: &Object) -> &[Rule] {
        match object {
            Object::Netfilter(object) => object.rules(),
            _ => &[],
        }
    }

    fn line(_: &Key, rule: &Rule) -> String {
        rule.to_string()
    }

    fn with_rules(object: &Object, rules: Vec<Rule>) -> Vec<Object> {
        let Object::Netfilter(object) = object else {
            return vec![object.clone()];
        };
        let objects = iptables::with_rules(object, rules).into_iter();
        objects.map(Object::Netfilter).collect()
    }
}

/// Packets that only matter here: to other ports of every virtual address, and from the node's
/// network.
fn more_packets(seen: &Cluster) -> Vec<Packet> {
    let mut packets = Vec::new();
    for service in &seen.services {
        let external = service
            .external_ips
            .iter()
            .chain(&service.load_balancer_ips);
        for to in service.cluster_ips.iter().chain(external) {
            let (outside, beside) = match to {
                IpAddr::V4(_) => ("198.18.0.9", "192.168.77.9"),
                IpAddr::V6(_) => ("fd00:202::9", "fd00:77::9"),
            };
            for port in [7, 32_000, service.ports[0].port] {
                let to = SocketAddr::new(*to, port).to_string();
                packets.push(world::packet(seen, outside, &to));
                packets.push(world::packet(seen, beside, &to));
            }
        }
    }
    packets
}

/// Objects in the syntax of the tools.
fn texts(objects: &Desired) -> BTreeSet<String> {
    let objects = objects.iter();
    objects
        .map(|(key, object)| line(key, object).unwrap_or_else(|| key.to_string()))
        .collect()
}

#[test]
fn every_object_left_out_is_noticed() {
    let (cluster, settings) = (Ipvs::cluster(), world::settings());
    let fixture = Fixture::<Ipvs>::new(&cluster, &settings);
    let unnoticed = fixture.unnoticed(|key, _| match key {
        Key::Link | Key::Netfilter(_) => None,
        _ => Some(Vec::new()),
    });
    let known = [
        ("tcp:8000", "without endpoints all is refused anyway"),
        (
            "-LOAD-BALANCER 192.168.78.2,",
            "the node's own address, and its traffic keeps its source",
        ),
        (
            "-LOAD-BALANCER fd00:78::2,",
            "the node's own address, and its traffic keeps its source",
        ),
        (
            "-LOAD-BALANCER-SOURCE-IP ",
            "what the node sends does not come in",
        ),
        ("-NODE-PORT-TCP 30002", "it keeps its source"),
        ("-NODE-PORT-TCP 30005", "it keeps its source"),
        ("create KUBE", "no rule looks into it"),
        (
            "-LOCAL 203.0.113.5,tcp:30001",
            "its number is a node port, which is marked anyway",
        ),
    ];
    assert_known(&texts(&unnoticed), &known);
}

#[test]
fn every_change_of_balancing_is_noticed() {
    let (cluster, settings) = (Ipvs::cluster(), world::settings());
    let fixture = Fixture::<Ipvs>::new(&cluster, &settings);
    let weights = fixture.unnoticed(|key, object| match (key, object) {
        (Key::Destination { .. }, Object::Destination(content)) => {
            let mut other = *content;
            other.weight = 0;
            Some(vec![Object::Destination(other)])
        }
        _ => None,
    });
    assert_known(&texts(&weights), &[]);
    let servers = fixture.unnoticed(|_, object| match object {
        Object::Server(content) if content.flags.contains(ServerFlags::PERSISTENT) => {
            let mut other = *content;
            other.flags = ServerFlags::empty();
            Some(vec![Object::Server(other)])
        }
        _ => None,
    });
    assert_known(&texts(&servers), &[]);
    let schedulers = fixture.unnoticed(|_, object| match object {
        Object::Server(content) if content.scheduler == Scheduler::WRR => {
            let mut other = *content;
            other.scheduler = Scheduler::RR;
            Some(vec![Object::Server(other)])
        }
        _ => None,
    });
    assert_known(&texts(&schedulers), &[]);
}
