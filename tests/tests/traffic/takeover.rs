//! In place of kube-proxy, on a node where it has run: its rules are ours from the first moment.

use crate::support::golden::{Golden, load_kube_proxys};
use crate::support::{
    CLUSTER_CIDR, Place, Stage, Turn, Watched, alone, at, flawless, rate, shared,
};
use netlink_batch::Socket;
use netlink_batch::socket::NETFILTER;
use nfnetlink::nfacct;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::client::{Client, Load};
use viprule_testkit::dump::{Dump, Family, ForeignState, VirtualServers, is_our_chain};
use viprule_testkit::{LIMIT, Mode};

/// Connections a second, see [`rate`].
const MANY: u32 = 1_000;
/// Connections before and after.
const FURTHER: u64 = 300;

/// What kube-proxy counts with (contract 2.4).
const COUNTERS: [&str; 2] = [
    "ct_state_invalid_dropped_pkts",
    "localhost_nps_accepted_pkts",
];

/// Addresses of the golden cluster that answer machines outside.
const TARGETS: [&str; 10] = [
    "10.1.20.144:8080",
    "192.168.77.2:32697",
    "10.1.0.70:80",
    "10.1.0.60:80",
    "10.1.0.40:443",
    "192.168.77.2:30443",
    "198.51.100.40:443",
    "192.168.77.2:30041",
    "[fd00:10:1::80]:80",
    "[fd00:77::2]:30080",
];

/// Has what kube-proxy wrote loaded, its counters and its sysctl.
fn kube_proxys(turn: Turn) -> Golden {
    let golden = Golden::new(turn);
    let node = golden.stage.world.node();
    // Before nftables mode there was iptables mode.
    if Mode::of_this_run() != Mode::Ipvs {
        let ensure = || {
            let mut socket = Socket::open(NETFILTER).unwrap();
            for counter in COUNTERS {
                nfacct::ensure(&mut socket, counter).unwrap();
            }
        };
        node.run(ensure).unwrap();
        node.set_sysctl("net/ipv4/conf/all/route_localnet", "1")
            .unwrap();
    }
    load_kube_proxys(node);
    golden
}

/// The packets that a counter has counted.
fn counted(stage: &Stage, counter: &str) -> Option<u64> {
    let ask = || nfacct::get(&mut Socket::open(NETFILTER).unwrap(), counter).unwrap();
    stage
        .world
        .node()
        .run(ask)
        .unwrap()
        .map(|counter| counter.packets)
}

/// Fails unless nothing of ours is left but what kubelet uses too.
#[track_caller]
fn is_clean(dump: &Dump) {
    for (table, chains) in &dump.tables {
        for (name, chain) in &chains.chains {
            let left = is_our_chain(name) && name != "KUBE-FIREWALL";
            assert!(!left, "chain {name} in {table}");
            let jump = chain
                .rules
                .iter()
                .find(|rule| rule.contains("KUBE-") && !rule.contains("KUBE-FIREWALL"));
            assert_eq!(jump, None, "in {table}");
        }
    }
}

#[test]
fn kube_proxys_rules_are_taken_over_without_a_failed_connection() {
    flawless(|| {
        let golden = kube_proxys(alone());
        let stage = &golden.stage;
        let mut open: Vec<_> = TARGETS
            .iter()
            .flat_map(|target| {
                Place::ALL
                    .map(|place| stage.client(place, at(target)))
                    .map(|client| (client, at(target)))
            })
            .map(|(client, target)| client.keep_alive(target).unwrap().unwrap())
            .collect();
        let answers: Vec<_> = open
            .iter_mut()
            .map(|open| open.ask().result.unwrap())
            .collect();
        let mut flow = stage
            .world
            .outside()
            .udp_flow(at("10.1.0.20:53"))
            .unwrap()
            .unwrap();
        let flowed = flow.ask().result.unwrap();
        let load = Load::new(rate(MANY), TARGETS.map(at));
        let load = Watched::start(&stage.world, load);
        load.outlast(FURTHER);

        let before = Family::ALL.map(|family| stage.dump(family));
        let servers = (Mode::of_this_run() == Mode::Ipvs).then(|| stage.servers());
        // The machine of the dumps had no bridge for its pods.
        let node_ports = if servers.is_some() {
            " --nodeport-addresses 192.168.77.0/24,fd00:77::/64"
        } else {
            ""
        };
        let mut run = stage.start(&format!("{CLUSTER_CIDR}{node_ports}"));
        let first = run.expect("first sync: ");
        load.outlast(FURTHER);
        match servers {
            None if Mode::of_this_run() == Mode::Nftables => {
                let left = || Family::ALL.map(|family| stage.dump(family));
                let start = Instant::now();
                while left()
                    .iter()
                    .any(|dump| dump.to_string().contains(":KUBE-SVC-"))
                {
                    assert!(start.elapsed() < LIMIT, "{:#?}", left());
                    sleep(Duration::from_millis(50));
                }
                left().iter().for_each(is_clean);
                stage.assert_in_sync(CLUSTER_CIDR);
            }
            None => {
                assert_eq!(first.counts(), [0, 0, 1], "{first:?}");
                only_default_kubernetes_differs(stage, &before);
            }
            Some(servers) => {
                let rules = Family::ALL.map(|family| stage.dump(family));
                assert_eq!(rules, before);
                only_default_kubernetes_is_gone(&servers, &stage.servers());
            }
        }
        let again: Vec<_> = open
            .iter_mut()
            .map(|open| open.ask().result.unwrap())
            .collect();
        assert_eq!(again, answers, "open connections live on");
        assert_eq!(flow.ask().result.unwrap(), flowed, "and so do flows");
        run.terminate();
        load.stop()
    });
}

/// The dumps' apiserver had one Service more.
#[track_caller]
fn only_default_kubernetes_differs(stage: &Stage, before: &[Dump; 2]) {
    let [v4, v6] = Family::ALL.map(|family| stage.dump(family));
    assert_eq!(before[1].differences(&v6), []);
    let mut expected = before[0].clone();
    let services = expected
        .tables
        .get_mut("filter")
        .unwrap()
        .chains
        .get_mut("KUBE-SERVICES")
        .unwrap();
    let count = services.rules.len();
    services
        .rules
        .retain(|rule| !rule.contains("default/kubernetes:https has no endpoints"));
    assert_eq!(services.rules.len(), count - 1);
    assert_eq!(expected.differences(&v4), []);
}

/// The same in IPVS mode.
#[track_caller]
fn only_default_kubernetes_is_gone(before: &VirtualServers, after: &VirtualServers) {
    let [lost, new] = [(before, after), (after, before)].map(|(one, other)| {
        let other = other.lines();
        let only = one.lines().into_iter().filter(|line| !other.contains(line));
        only.collect::<Vec<_>>()
    });
    let kubernetes = [
        "-A -t 10.1.0.1:443 -s rr",
        "add KUBE-CLUSTER-IP 10.1.0.1,tcp:443",
    ];
    let kubernetes = [
        &kubernetes[..],
        &["add KUBE-IPVS-IPS 10.1.0.1", "inet 10.1.0.1/32"],
    ];
    assert_eq!(lost, kubernetes.concat());
    assert!(new.is_empty(), "{new:#?}");
}

#[test]
fn affinity_is_remembered_through_takeover_restart_and_change() {
    let golden = kube_proxys(shared());
    let stage = &golden.stage;
    let target = at("10.1.0.20:80");
    // Each forgets its endpoint by half a chance.
    let clients: Vec<Client<'_>> = ["203.0.113.9", "192.0.2.5", "192.0.2.200", "192.168.77.100"]
        .map(|source| stage.world.outside().from_address(source.parse().unwrap()))
        .into_iter()
        .chain(
            ["5", "40", "60", "70", "80", "200"]
                .map(|last| stage.world.in_pod(&format!("10.244.0.{last}")).unwrap()),
        )
        .chain([stage.world.on_node()])
        .collect();
    let ask = || -> Vec<SocketAddr> {
        let answers = clients
            .iter()
            .map(|client| client.tcp(target).unwrap().result.unwrap());
        answers.map(|answer| answer.backend).collect()
    };
    let mut first = ask();
    let mut run = stage.run(CLUSTER_CIDR);
    if Mode::of_this_run() == Mode::Nftables {
        // What the rules of another mode remember is theirs.
        first = ask();
    }
    assert_eq!(ask(), first, "after takeover");
    run.kill();
    let mut run = stage.run(CLUSTER_CIDR);
    assert_eq!(ask(), first, "after restart");
    // A third endpoint becomes ready: those who have one stay.
    let manifest = viprule_testkit::golden::MANIFEST;
    let unready = "[10.244.2.10], conditions: {ready: false, serving: false";
    assert!(manifest.contains(unready));
    let ready = "[10.244.2.10], conditions: {ready: true, serving: true";
    stage.write("cluster.yaml", &manifest.replace(unready, ready));
    run.changed();
    assert_eq!(ask(), first, "after a change");
}

#[test]
fn cleanup_removes_all_that_kube_proxy_or_viprule_wrote() {
    let golden = kube_proxys(shared());
    let stage = &golden.stage;
    let before = ForeignState::take(stage.world.node()).unwrap();
    stage.run(CLUSTER_CIDR).terminate();
    assert!(
        stage
            .client(Place::Outside, at(TARGETS[0]))
            .tcp(at(TARGETS[0]))
            .unwrap()
            .is_answered()
    );
    let ipvs = Mode::of_this_run() == Mode::Ipvs;
    if Mode::of_this_run() == Mode::Iptables {
        let on_loopback = stage.world.on_node().tcp(at("127.0.0.1:32697")).unwrap();
        assert!(on_loopback.is_answered(), "{on_loopback:?}");
        assert!(
            counted(stage, COUNTERS[1]).unwrap() > 0,
            "the counter counts"
        );
    }

    stage.cleanup();
    for family in Family::ALL {
        is_clean(&stage.dump(family));
    }
    if ipvs {
        let left = stage.servers();
        assert!(left.is_empty(), "{left}");
    } else {
        for counter in COUNTERS {
            assert_eq!(counted(stage, counter), None, "{counter}");
        }
    }
    let after = ForeignState::take(stage.world.node()).unwrap();
    assert_eq!(before, after, "{}", before.changes(&after));
    let client = stage.world.outside().timeout(crate::support::PATIENCE);
    assert!(!client.tcp(at(TARGETS[0])).unwrap().is_answered());
    assert_eq!(stage.cleanup(), "nothing to change\n");
}
