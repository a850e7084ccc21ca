//! From one mode to the other and back, while clients connect and are connected.

use crate::scene::{
    CLUSTER_IP, DNS, ENDPOINTS, FLAGS, NODE_PORT, chosen, connections, lives, rolling, serve,
    stage, wait_until, write_endpoints,
};
use crate::support::{LIMIT, Run, Stage, Watched, alone, at, flawless, rate};
use std::collections::BTreeMap;
use std::time::Duration;
use viprule_testkit::Mode::{self, Iptables, Ipvs};
use viprule_testkit::Protocol::{Tcp, Udp};
use viprule_testkit::client::{KeepAlive, KeptLoad, Load, UdpFlow};
use viprule_testkit::dump::{Family, ForeignState};

/// Connections a second, see [`rate`].
const MANY: u32 = 1_000;
/// Connections before a switch.
const FURTHER: u64 = 100;

/// How names begin of chains that only the other mode has.
const ONLY_IPTABLES: [&str; 6] = [
    "KUBE-SVC-",
    "KUBE-SEP-",
    "KUBE-EXT-",
    "KUBE-NODEPORTS",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-PROXY-CANARY",
];
const ONLY_IPVS: [&str; 5] = [
    "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
    "KUBE-NODE-PORT ",
    "KUBE-LOAD-BALANCER",
    "KUBE-SOURCE-RANGES-FIREWALL",
];

/// Fails if a chain of the other mode is left, or none of this one is there.
#[track_caller]
fn has_chains_of(stage: &Stage, mode: Mode) {
    let (own, other) = match mode {
        Iptables => (&ONLY_IPTABLES[..], &ONLY_IPVS[..]),
        Ipvs => (&ONLY_IPVS[..], &ONLY_IPTABLES[..]),
        Mode::Nftables => panic!("its switches are in the suite traffic"),
    };
    for family in Family::ALL {
        let rules = stage.dump(family).to_string();
        assert!(own.iter().any(|name| rules.contains(name)), "{rules}");
        let left = other.iter().find(|name| rules.contains(**name));
        assert_eq!(left, None, "{mode}: {rules}");
    }
}

/// Puts one mode's agent in the place of the other's.
fn follow(stage: &Stage, former: &mut Run, mode: Mode) -> Run {
    former.terminate();
    let mut run = stage.start_as(mode, FLAGS);
    run.expect("first sync: ");
    has_chains_of(stage, mode);
    run
}

#[test]
fn modes_follow_each_other_without_a_failed_connection() {
    let targets = [CLUSTER_IP, NODE_PORT].map(at);
    flawless(|| {
        let endpoints = &ENDPOINTS[..4];
        let stage = stage(alone());
        let untouched = ForeignState::take(stage.world.node()).unwrap();
        stage.write("service.yaml", &rolling());
        write_endpoints(&stage, endpoints.iter().copied());
        let _servers: Vec<_> = endpoints.iter().map(|ip| serve(&stage, Tcp, ip)).collect();
        let mut run = stage.start_as(Iptables, FLAGS);
        run.expect("first sync: ");
        has_chains_of(&stage, Iptables);

        let client = stage.world.client();
        let load = Watched::start(&stage.world, Load::new(rate(MANY), targets));
        let kept = KeptLoad::new(8, Duration::from_millis(50), targets).timeout(LIMIT);
        let kept = kept.start(client).unwrap();
        let mut open: Vec<BTreeMap<String, KeepAlive>> = vec![connections(&stage, endpoints)];
        for mode in [Ipvs, Iptables, Ipvs, Iptables] {
            load.outlast(FURTHER);
            run = follow(&stage, &mut run, mode);
            assert_eq!(
                chosen(&stage, CLUSTER_IP, 40).len(),
                endpoints.len(),
                "{mode}"
            );
            for (backend, connection) in open.iter_mut().flatten() {
                lives(connection, backend);
            }
            open.push(connections(&stage, endpoints));
        }
        load.outlast(FURTHER);
        for (backend, connection) in open.iter_mut().flatten() {
            lives(connection, backend);
        }
        let kept = kept.stop();
        let loaded = load.stop();
        assert!(kept.answered > 0, "{kept:?}");
        assert_eq!((kept.failed(), kept.closed), (0, 0), "{kept:?}");

        // What connections through IPVS needed goes with them.
        assert!(!stage.servers().is_empty(), "they still need it");
        drop(open);
        wait_until("nothing of IPVS is left", &stage, || {
            stage.servers().is_empty()
        });
        has_chains_of(&stage, Iptables);
        assert!(stage.world.outside().tcp(targets[0]).unwrap().is_answered());
        run.terminate();
        stage.cleanup();
        let after = ForeignState::take(stage.world.node()).unwrap();
        assert_eq!(untouched, after, "{}", untouched.changes(&after));
        loaded
    });
}

/// A client that keeps its port would meet what the former mode left for its flow.
#[test]
fn flows_of_udp_go_on_through_every_change_of_mode() {
    let endpoints = &ENDPOINTS[..2];
    let stage = stage(crate::support::shared());
    stage.write("service.yaml", &rolling());
    write_endpoints(&stage, endpoints.iter().copied());
    let _servers: Vec<_> = endpoints.iter().map(|ip| serve(&stage, Udp, ip)).collect();
    let mut run = stage.start_as(Iptables, FLAGS);
    run.expect("first sync: ");
    let mut flows = Vec::new();
    let answered = |flow: &mut UdpFlow| {
        // The first datagram may still go the old way.
        let answer = (0..5).find_map(|_| flow.ask().result.ok());
        answer.map(|it| it.backend.ip().to_string())
    };
    for mode in [Ipvs, Iptables, Ipvs, Iptables] {
        let client = stage.world.outside();
        flows.extend((0..4).map(|_| client.udp_flow(at(DNS)).unwrap().unwrap()));
        for flow in &mut flows {
            assert!(answered(flow).is_some(), "before {mode}");
        }
        run = follow(&stage, &mut run, mode);
        for flow in &mut flows {
            assert!(answered(flow).is_some(), "{mode}");
        }
        write_endpoints(&stage, endpoints[..1].iter().copied());
        run.changed();
        for flow in &mut flows {
            // Flows end a moment after the sync.
            wait_until("the endpoint that is left", &stage, || {
                answered(flow).as_deref() == Some(endpoints[0])
            });
        }
        write_endpoints(&stage, endpoints.iter().copied());
        run.changed();
    }
}

/// One shot of the command line in each mode.
#[test]
fn apply_replaces_what_the_other_mode_wrote() {
    let endpoints = &ENDPOINTS[..2];
    let stage = stage(crate::support::shared());
    stage.write("service.yaml", &rolling());
    write_endpoints(&stage, endpoints.iter().copied());
    let _servers: Vec<_> = endpoints.iter().map(|ip| serve(&stage, Tcp, ip)).collect();
    for mode in [Iptables, Ipvs, Iptables, Ipvs] {
        stage.apply_as(mode, FLAGS);
        has_chains_of(&stage, mode);
        assert_eq!(
            chosen(&stage, NODE_PORT, 40).len(),
            endpoints.len(),
            "{mode}"
        );
    }
    stage.assert_in_sync(FLAGS);
}
