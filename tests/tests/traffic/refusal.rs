//! Services without usable endpoints: refused at once, or not answered at all.

use crate::support::golden::Golden;
use crate::support::{CLUSTER_CIDR, PATIENCE, Place, Stage, at, shared, timed_out};
use std::net::SocketAddr;
use viprule_testkit::Protocol::{self, Sctp, Tcp, Udp};
use viprule_testkit::client::{Client, Failure};
use viprule_testkit::manifests::{join, service, slice};
use viprule_testkit::server::Server;
use viprule_testkit::topology::address::CLIENT;
use viprule_testkit::{Mode, World};

/// Attempts to be refused.
const ATTEMPTS: u64 = 21;

/// Fails unless all attempts are refused, and the first packet's refusal is noticed. Nothing but TCP
/// repeats its first packet, and what holds up one attempt on a busy machine does not hold up all of
/// them.
#[track_caller]
fn refused_at_once(client: Client<'_>, protocol: Protocol, target: SocketAddr) {
    let repeated = client.repeated_syns().unwrap();
    for _ in 0..ATTEMPTS {
        let attempt = client.ask(protocol, target).unwrap();
        let refused = Some(&Failure::Refused);
        assert_eq!(
            attempt.failure(),
            refused,
            "{protocol} {target} {client:?} {attempt:?}"
        );
    }
    let repeated = client.repeated_syns().unwrap() - repeated;
    assert!(
        repeated < ATTEMPTS,
        "{protocol} {target} {client:?} repeated {repeated} first packets"
    );
}

#[test]
fn a_service_without_endpoints_refuses_at_once() {
    let golden = Golden::new(shared());
    // Somebody who would answer if the rules didn't refuse.
    let stranger = golden
        .stage
        .stranger("10.244.0.10", Tcp, at("10.1.0.30:80"));
    let neighbour = golden.stage.world.serve(Tcp, "192.168.77.2:30030").unwrap();
    for target in [at("10.1.0.30:80"), at("192.168.77.2:30030")] {
        let answered = golden.stage.world.outside().tcp(target).unwrap();
        assert!(answered.is_answered(), "before: {answered:?}");
    }
    golden.stage.apply(CLUSTER_CIDR);
    let before = (stranger.answered(), neighbour.answered());
    for place in Place::ALL {
        for target in [at("10.1.0.30:80"), at("192.168.77.2:30030")] {
            refused_at_once(golden.stage.client(place, target), Tcp, target);
        }
    }
    assert_eq!((stranger.answered(), neighbour.answered()), before);
}

#[test]
fn every_protocol_and_family_is_refused_at_once() {
    let stage = Stage::new(
        shared(),
        World::builder().pods(["10.244.0.11,fd00:10:244::11"]),
    );
    let empty = service("empty")
        .cluster_ip("10.1.0.31")
        .cluster_ip("fd00:10:1::31");
    let empty = empty
        .tcp("t", 80, 80)
        .node_port(30031)
        .udp("u", 80, 80)
        .node_port(30031);
    stage.write("empty.yaml", &empty.sctp("s", 80, 80).node_port(30031));
    let targets = [
        "10.1.0.31:80",
        "192.168.77.2:30031",
        "[fd00:10:1::31]:80",
        "[fd00:77::2]:30031",
    ]
    .map(at);
    let mut strangers = Vec::new();
    for protocol in [Tcp, Udp, Sctp] {
        for node_port in [targets[1], targets[3]] {
            strangers.push(Server::start(stage.world.node(), protocol, node_port).unwrap());
        }
    }
    for server in &strangers {
        let outside = stage.world.outside();
        let answered = outside.ask(server.protocol(), server.address()).unwrap();
        assert!(answered.is_answered(), "before: {server:?} {answered:?}");
    }
    let before: u64 = strangers.iter().map(Server::answered).sum();
    stage.apply(CLUSTER_CIDR);
    for protocol in [Tcp, Udp, Sctp] {
        for target in targets {
            for place in Place::ALL {
                refused_at_once(stage.client(place, target), protocol, target);
            }
        }
    }
    let after: u64 = strangers.iter().map(Server::answered).sum();
    assert_eq!(after, before);
}

mod nftables {
    use super::*;

    #[test]
    fn other_ports_of_a_cluster_ip_are_refused_and_cluster_ips_of_nobody_not_answered() {
        let stage = Stage::new(shared(), World::builder().pods(["10.244.0.11"]));
        let one = service("one").cluster_ip("10.1.0.31").tcp("t", 80, 80);
        let slice = slice("one-1", "one").tcp("t", 80);
        let slice = slice.ready("10.244.0.11", "node-0");
        let ranges = "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\n\
                      metadata: {name: kubernetes}\nspec: {cidrs: [10.1.0.0/24]}\n";
        let objects = [one.to_string(), slice.to_string(), ranges.to_owned()];
        stage.write("one.yaml", &join(objects));
        stage.apply(CLUSTER_CIDR);
        let (other_port, nobody) = (at("10.1.0.31:81"), at("10.1.0.99:80"));
        for place in Place::ALL {
            refused_at_once(stage.client(place, other_port), Tcp, other_port);
            let client = stage.client(place, nobody).timeout(PATIENCE);
            let attempt = client.tcp(nobody).unwrap();
            timed_out(&attempt, &format!("{place:?}"));
        }
        // Without the ranges it goes where its route leads.
        stage.write("one.yaml", &join([one.to_string(), slice.to_string()]));
        stage.apply(CLUSTER_CIDR);
        let stranger = stage.stranger("10.244.0.11", Tcp, nobody);
        for place in Place::ALL {
            let attempt = stage.client(place, nobody).tcp(nobody).unwrap();
            assert!(attempt.is_answered(), "{place:?}: {attempt:?}");
        }
        assert_eq!(stranger.answered(), 3);
    }
}

#[test]
fn a_local_service_without_local_endpoints_is_not_answered() {
    let golden = Golden::new(shared());
    let target = at("10.1.0.50:9000");
    let stranger = golden.stage.stranger("10.244.0.10", Tcp, target);
    for place in Place::ALL {
        let attempt = golden.stage.client(place, target).tcp(target).unwrap();
        assert!(attempt.is_answered(), "before, {place:?}: {attempt:?}");
    }
    golden.stage.apply(CLUSTER_CIDR);
    let before = stranger.answered();
    for place in Place::ALL {
        let client = golden.stage.client(place, target).timeout(PATIENCE);
        let attempt = client.tcp(target).unwrap();
        match Mode::of_this_run() {
            Mode::Iptables | Mode::Nftables => timed_out(&attempt, &format!("{place:?}")),
            // Its virtual server has no destinations (contract 3.4) and says so.
            Mode::Ipvs => assert_eq!(attempt.failure(), Some(&Failure::Refused), "{place:?}"),
        }
    }
    assert_eq!(stranger.answered(), before);
}

/// In IPVS mode they go to other nodes (contract 3.4), with the client's address.
#[test]
fn outside_connections_of_a_local_policy_without_local_endpoints_are_not_answered() {
    let mode = Mode::of_this_run();
    let mut builder = World::builder().pods(["10.244.1.12"]);
    if mode == Mode::Ipvs {
        builder = builder.replies_via_node();
    }
    let stage = Stage::new(shared(), builder);
    let service = service("away")
        .cluster_ip("10.1.0.12")
        .tcp("", 80, 8080)
        .node_port(30012);
    let service = service
        .load_balancer("203.0.113.12")
        .external_ip("198.51.100.12");
    let slice = viprule_testkit::manifests::slice("away-1", "away").tcp("", 8080);
    stage.write("service.yaml", &service.external_local());
    stage.write("slice.yaml", &slice.ready("10.244.1.12", "node-1"));
    let _backend = stage.world.serve(Tcp, "10.244.1.12:8080").unwrap();
    let neighbour = stage.world.serve(Tcp, "192.168.77.2:30012").unwrap();
    stage.apply(CLUSTER_CIDR);
    for target in ["192.168.77.2:30012", "203.0.113.12:80", "198.51.100.12:80"].map(at) {
        let outside = stage.world.outside().timeout(PATIENCE);
        let attempt = outside.tcp(target).unwrap();
        match mode {
            Mode::Iptables | Mode::Nftables => {
                timed_out(&attempt, &format!("{target} from outside"));
            }
            Mode::Ipvs => {
                let answer = attempt.result.unwrap();
                let seen = (answer.backend, answer.peer.ip());
                assert_eq!(seen, (at("10.244.1.12:8080"), CLIENT[0]), "{target}");
            }
        }
        // The policy is about outside only (contract 1.7).
        for place in [Place::Node, Place::Pod] {
            let answer = stage
                .client(place, target)
                .tcp(target)
                .unwrap()
                .result
                .unwrap();
            assert_eq!(answer.backend, at("10.244.1.12:8080"), "{target} {place:?}");
        }
    }
    assert_eq!(neighbour.answered(), 0);
}
