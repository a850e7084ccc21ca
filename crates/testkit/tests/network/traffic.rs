//! Traffic through hand-written DNAT rules.

use crate::support::{BACKENDS, BACKENDS6, PROTOCOLS, VIP, VIP6, all_at, at, program, world};
use std::time::Duration;
use viprule_testkit::client::{Failure, assert_uniform};
use viprule_testkit::dump::Family;
use viprule_testkit::server::Server;
use viprule_testkit::{Protocol, World};

fn serve(world: &World, ips: &[&str]) -> Vec<Server> {
    let both = ips
        .iter()
        .flat_map(|ip| PROTOCOLS.map(|protocol| (protocol, at(ip, 8080))));
    both.map(|(protocol, at)| world.serve(protocol, &at.to_string()).unwrap())
        .collect()
}

#[test]
fn each_protocol_and_family_spreads_evenly() {
    let world = world();
    program(&world, Family::V4, VIP, &BACKENDS, "");
    program(&world, Family::V6, VIP6, &BACKENDS6, "");
    for (vip, backends, node) in [
        (VIP, BACKENDS, "192.168.77.2"),
        (VIP6, BACKENDS6, "fd00:77::2"),
    ] {
        let servers = serve(&world, &backends);
        for protocol in PROTOCOLS {
            for client in [
                world.outside(),
                world.on_node(),
                world.in_pod(backends[1]).unwrap(),
            ] {
                let spread = client.spread(protocol, at(vip, 80), 600).unwrap();
                assert_uniform(&spread, &all_at(&backends, 8080));
                assert_eq!(spread.answered(), 600);
            }
            let spread = world.outside().spread(protocol, at(vip, 80), 20).unwrap();
            let gateway = if vip == VIP {
                "10.244.0.1"
            } else {
                "fd00:10:244::1"
            };
            for peer in spread.peers.keys().map(ToString::to_string) {
                assert!(peer == node || peer == gateway, "{peer} isn't masqueraded");
            }
        }
        let answered: u64 = servers.iter().map(Server::answered).sum();
        assert_eq!(
            answered,
            3 * (3 * 600 + 20),
            "servers and clients count the same"
        );
    }
}

#[test]
fn a_pod_reaches_itself_through_the_service() {
    let world = world();
    program(&world, Family::V4, VIP, &BACKENDS[..1], "");
    program(&world, Family::V6, VIP6, &BACKENDS6[..1], "");
    for (vip, pod) in [(VIP, BACKENDS[0]), (VIP6, BACKENDS6[0])] {
        let _servers = serve(&world, &[pod]);
        for protocol in PROTOCOLS {
            let attempt = world
                .in_pod(pod)
                .unwrap()
                .ask(protocol, at(vip, 80))
                .unwrap();
            let answer = attempt.result.unwrap();
            assert_eq!(answer.backend, at(pod, 8080), "{protocol}");
            assert_ne!(
                answer.peer.ip().to_string(),
                pod,
                "{protocol} hairpin is masqueraded"
            );
        }
    }
}

#[test]
fn reject_refuses_at_once_and_drop_times_out() {
    let world = world();
    let filter = |chain: &str, ip: &str, what: &str| format!("-A {chain} -d {ip} -j {what}\n");
    for (family, rejected, dropped) in [
        (Family::V4, "10.1.0.30", "10.1.0.50"),
        (Family::V6, "fd00:10:1::30", "fd00:10:1::50"),
    ] {
        let rules: String = ["FORWARD", "OUTPUT"]
            .map(|c| filter(c, rejected, "REJECT") + &filter(c, dropped, "DROP"))
            .concat();
        let vip = if family == Family::V4 { VIP } else { VIP6 };
        program(&world, family, vip, &[], &rules);
        let pod = world
            .in_pod(if vip == VIP {
                BACKENDS[0]
            } else {
                BACKENDS6[0]
            })
            .unwrap();
        for client in [world.outside(), world.on_node(), pod] {
            for protocol in PROTOCOLS {
                // Many of them: the kernel's limit on ICMP errors must not get in the way.
                let repeated = client.repeated_syns().unwrap();
                let spread = client.spread(protocol, at(rejected, 80), 50).unwrap();
                let refused = spread.failures.get(&Failure::Refused);
                assert_eq!(
                    refused,
                    Some(&50),
                    "{protocol} {rejected} {client:?} {spread:?}"
                );
                // A refusal that is only noticed when the SYN is repeated takes a second.
                let repeated = client.repeated_syns().unwrap() - repeated;
                assert!(repeated < 50, "{protocol} {client:?} {repeated}");
                let hasty = client.timeout(Duration::from_millis(250));
                let attempt = hasty.ask(protocol, at(dropped, 80)).unwrap();
                let timed_out = Some(&Failure::TimedOut);
                assert_eq!(
                    attempt.failure(),
                    timed_out,
                    "{protocol} {dropped} {client:?}"
                );
            }
        }
    }
}

#[test]
fn open_connections_survive_new_rules_and_die_with_their_backend() {
    let world = world();
    let mut servers = serve(&world, &BACKENDS);
    program(&world, Family::V4, VIP, &BACKENDS[..1], "");
    let mut connection = world.outside().keep_alive(at(VIP, 80)).unwrap().unwrap();
    let mut flow = world.outside().udp_flow(at(VIP, 80)).unwrap().unwrap();
    let first = connection.ask().result.unwrap();
    assert_eq!(first.backend, at(BACKENDS[0], 8080));
    assert_eq!(connection.local_address().unwrap().ip(), world_client());
    assert_eq!(flow.ask().result.unwrap().backend, at(BACKENDS[0], 8080));
    let port = flow.local_address().unwrap().port();

    program(&world, Family::V4, VIP, &BACKENDS[1..2], "");
    assert_eq!(
        connection.ask().result.unwrap(),
        first,
        "the old connection stays"
    );
    assert_eq!(
        flow.ask().result.unwrap().backend,
        at(BACKENDS[0], 8080),
        "and the old flow"
    );
    assert_eq!(flow.local_address().unwrap().port(), port);
    let new = world.outside().tcp(at(VIP, 80)).unwrap().result.unwrap();
    assert_eq!(new.backend, at(BACKENDS[1], 8080));

    servers[0].stop_accepting();
    assert_eq!(
        connection.ask().result.unwrap(),
        first,
        "a draining server still answers"
    );
    let direct = world.on_node().tcp(at(BACKENDS[0], 8080)).unwrap();
    assert_eq!(
        direct.failure(),
        Some(&Failure::Refused),
        "but accepts nobody"
    );
    servers.clear();
    assert!(matches!(
        connection.ask().result,
        Err(Failure::Closed | Failure::Reset)
    ));
    // The address is free at once.
    let _again = serve(&world, &BACKENDS);
}

fn world_client() -> std::net::IpAddr {
    viprule_testkit::topology::address::CLIENT[0]
}

#[test]
fn replies_that_bypass_the_node_break_what_is_not_masqueraded() {
    for (via_node, answered) in [(false, false), (true, true)] {
        let builder = World::builder().pod(BACKENDS[2]);
        let builder = if via_node {
            builder.replies_via_node()
        } else {
            builder
        };
        let world = builder.build().unwrap();
        let _server = world.serve(Protocol::Tcp, "10.244.1.7:8080").unwrap();
        let rule = format!(
            "*nat\n-A PREROUTING -d {VIP} -p tcp --dport 80 -j DNAT --to-destination \
             10.244.1.7:8080\nCOMMIT\n"
        );
        world
            .node()
            .command(Family::V4.restore_tool())
            .input(rule)
            .text()
            .unwrap();
        let mut client = world.outside();
        if !answered {
            client = client.timeout(Duration::from_millis(500));
        }
        let attempt = client.tcp(at(VIP, 80)).unwrap();
        assert_eq!(attempt.is_answered(), answered, "{attempt:?}");
        if let Ok(answer) = attempt.result {
            assert_eq!(answer.peer.ip(), world_client());
        }
    }
}
