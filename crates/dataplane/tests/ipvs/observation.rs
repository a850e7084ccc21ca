//! What the kernel has, and whose it is.

use ipvs_netlink::{
    Destination, DestinationId, Family, Protocol, Scheduler, Server, ServerFlags, ServerId,
};
use nfnetlink::ipset::{Entry, IpPort};
use viprule_dataplane::iptables;
use viprule_dataplane::ipvs::{Ipvs, Key, Object, Observation, Saves, Settings};
use viprule_dataplane::netfilter::{self, BaseChain, parse_save};
use viprule_dataplane::ownership::{Layout, Set, SetName};
use viprule_dataplane::{CommonSettings, Dataplane as _, diff};

use crate::world::{facts, ip};

fn at(address: &str, port: u16, protocol: Protocol) -> ServerId {
    ServerId::Address {
        address: ip(address),
        port,
        protocol,
    }
}

fn set(name: SetName) -> Set {
    Set {
        name,
        family: nfnetlink::Family::Ipv4,
    }
}

fn plain() -> Server {
    Server::new(Scheduler::RR, Family::Ipv4)
}

/// Which of some servers are ours where this is there.
fn ours(tell: impl FnOnce(&mut Observation<Object>), servers: &[ServerId]) -> Vec<ServerId> {
    let mut observation = Observation::new();
    for server in servers {
        observation.server(*server, plain());
    }
    tell(&mut observation);
    let state = observation.finish().state;
    let keys = state.iter().filter_map(|(key, _)| match key {
        Key::Server(server) => Some(*server),
        _ => None,
    });
    keys.collect()
}

#[test]
fn servers_are_ours_by_sets_and_addresses() {
    let web = at("10.1.0.1", 80, Protocol::Tcp);
    let dns = at("10.1.0.1", 80, Protocol::Udp);
    let node = at("192.0.2.1", 30_080, Protocol::Tcp);
    let sctp = at("192.0.2.1", 30_080, Protocol::Sctp);
    let mark = ServerId::Fwmark {
        family: Family::Ipv4,
        mark: 1,
    };
    let all = [web, dns, node, sctp, mark];
    assert_eq!(ours(|_| (), &all), []);
    assert_eq!(ours(|it| it.address(ip("10.1.0.1")), &all), [web, dns]);
    let element = IpPort {
        address: ip("10.1.0.1"),
        protocol: 6,
        port: 80,
    };
    for name in [
        SetName::ClusterIp,
        SetName::ExternalIp,
        SetName::ExternalIpLocal,
        SetName::LoadBalancer,
    ] {
        let tell = |it: &mut Observation<_>| it.entry(set(name), Entry::IpPort(element));
        assert_eq!(ours(tell, &all), [web]);
    }
    let port = |name| move |it: &mut Observation<Object>| it.entry(set(name), Entry::Port(30_080));
    assert_eq!(ours(port(SetName::NodePortTcp), &all), [node]);
    assert_eq!(ours(port(SetName::NodePortUdp), &all), []);
    assert_eq!(ours(port(SetName::HealthCheckNodePort), &all), []);
    let on_node = IpPort {
        address: ip("192.0.2.1"),
        protocol: 132,
        port: 30_080,
    };
    let tell = |it: &mut Observation<_>| {
        it.entry(set(SetName::NodePortSctp), Entry::IpPort(on_node));
    };
    assert_eq!(ours(tell, &all), [sctp]);
    // The other family's sets say nothing of this one.
    let six = Set {
        name: SetName::NodePortTcp,
        family: nfnetlink::Family::Ipv6,
    };
    assert_eq!(ours(|it| it.entry(six, Entry::Port(30_080)), &all), []);
}

#[test]
fn what_the_kernel_adds_is_left_out() {
    let server = at("10.1.0.1", 80, Protocol::Tcp);
    let seen = |flags, timeout| {
        let mut observation: Observation<Object> = Observation::new();
        observation.address(ip("10.1.0.1"));
        let mut told = plain();
        (told.flags, told.timeout) = (flags, timeout);
        observation.server(server, told);
        match observation.finish().state.get(&Key::Server(server)) {
            Some(Object::Server(server)) => (server.flags, server.timeout),
            other => panic!("{other:?}"),
        }
    };
    let (hashed, none) = (ServerFlags::HASHED, ServerFlags::empty());
    let persistent = ServerFlags::PERSISTENT;
    assert_eq!(seen(hashed, 0), (none, 0));
    assert_eq!(seen(hashed, 360), (none, 0));
    assert_eq!(seen(hashed | persistent, 360), (persistent, 360));
}

#[test]
fn destinations_at_weight_0_are_draining() {
    let (mine, foreign) = (
        at("10.1.0.1", 80, Protocol::Tcp),
        at("10.9.9.9", 80, Protocol::Tcp),
    );
    let mut observation: Observation<Object> = Observation::new();
    observation.address(ip("10.1.0.1"));
    // Every link that is up has one.
    observation.address(ip("fe80::1"));
    let one = |last: u8| DestinationId {
        address: [10, 2, 0, last].into(),
        port: 80,
    };
    for server in [mine, foreign] {
        observation.server(server, plain());
        observation.destination(server, one(1), Destination::masqueraded(1));
        observation.destination(server, one(2), Destination::masqueraded(0));
    }
    let observed = observation.finish();
    assert_eq!(observed.draining, [(mine, one(2))]);
    let keys: Vec<Key> = observed.state.iter().map(|(key, _)| *key).collect();
    assert_eq!(
        keys,
        [
            Key::Server(mine),
            Key::Destination {
                server: mine,
                destination: one(1)
            },
            Key::Address(ip("10.1.0.1"))
        ]
    );
}

/// Each mode removes what the other one left, but for kubelet's chain.
#[test]
fn the_other_modes_chains_and_jumps_are_left_over() {
    let iptables = include_str!("../../../../tests/golden/cluster/iptables-save.txt");
    let ipvs = include_str!("../../../../tests/golden/cluster/ipvs/iptables-save.txt");
    let family = nfnetlink::Family::Ipv4;

    let mut saves = Saves::new();
    saves.read(iptables, Some(family)).unwrap();
    let settings = Settings {
        common: CommonSettings {
            families: vec![family],
            ..CommonSettings::default()
        },
        ..Settings::default()
    };
    let wanted = Ipvs::new(settings, &facts()).entry_points(&|_| false);
    let observed = saves.finish().state;
    let kept: Vec<String> = survivors(&observed, &wanted);
    // A kube-proxy of another mode would leave these as well.
    assert_eq!(
        kept,
        ["ip filter KUBE-FIREWALL", "ip filter KUBE-FIREWALL",]
    );

    let observed = parse_save::<netfilter::Object>(Layout::Iptables, family, ipvs).unwrap();
    let wanted = iptables::entry_points(&iptables::Options::default());
    let gone: Vec<_> = diff(&observed, &wanted)
        .deletes
        .iter()
        .map(|(key, _)| **key)
        .collect();
    let jumps = |base| {
        let of = |key: &&netfilter::Key| matches!(key, netfilter::Key::Jump { base: other, .. } if *other == base);
        gone.iter().filter(of).count()
    };
    assert_eq!(
        [BaseChain::Input, BaseChain::Forward, BaseChain::Output].map(jumps),
        [3, 1, 1]
    );
    assert_eq!(
        [BaseChain::Prerouting, BaseChain::Postrouting].map(jumps),
        [0, 0],
        "both modes have these"
    );
    for name in [
        "KUBE-NODE-PORT",
        "KUBE-LOAD-BALANCER",
        "KUBE-SOURCE-RANGES-FIREWALL",
        "KUBE-IPVS-FILTER",
        "KUBE-IPVS-OUT-FILTER",
    ] {
        assert!(
            gone.iter().any(|key| key.chain_name() == name),
            "{name} stays"
        );
    }
}

/// What of ours is neither wanted nor removed.
fn survivors(
    observed: &viprule_dataplane::ipvs::Desired,
    wanted: &viprule_dataplane::ipvs::Desired,
) -> Vec<String> {
    let diff = diff(observed, wanted);
    let gone: Vec<&Key> = diff.deletes.iter().map(|(key, _)| *key).collect();
    observed
        .iter()
        .map(|(key, _)| key)
        .filter(|key| wanted.get(key).is_none() && !gone.contains(key))
        .map(ToString::to_string)
        .collect()
}
