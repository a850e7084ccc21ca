//! On which of the node's addresses node ports answer.

use crate::support::{CLUSTER_CIDR, PATIENCE, Place, Stage, at, shared, timed_out};
use std::net::SocketAddr;
use viprule_testkit::Protocol::{self, Sctp, Tcp, Udp};
use viprule_testkit::dump::Family;
use viprule_testkit::manifests::{Node, join, service, slice};
use viprule_testkit::server::Server;
use viprule_testkit::{Mode, World};

const PRIMARY: &str = "192.168.77.2:30061";
const SECOND: &str = "198.51.100.2:30061";
const LOOPBACK: &str = "127.0.0.1:30061";
const POD_LINK: &str = "10.244.0.1:30061";
const PROTOCOLS: [Protocol; 3] = [Tcp, Udp, Sctp];

/// A node with one Service, whose only endpoint is in the world, and a server of its own on the
/// node port of each address: who answers tells whether the node port took the packet.
#[derive(Debug)]
struct Scene {
    stage: Stage,
    _endpoint: Vec<Server>,
    _own: Vec<Server>,
}

impl Scene {
    fn new(own: &[&str]) -> Self {
        let builder = World::builder().node_address("198.51.100.2");
        let stage = Stage::new(shared(), builder.pod("10.244.0.61"));
        let service = service("ports")
            .cluster_ip("10.1.0.61")
            .tcp("t", 80, 8080)
            .node_port(30061);
        let service = service.udp("u", 80, 8080).node_port(30061);
        let service = service.sctp("s", 80, 8080).node_port(30061);
        let slice = slice("ports-1", "ports")
            .tcp("t", 8080)
            .udp("u", 8080)
            .sctp("s", 8080);
        let slice = slice.ready("10.244.0.61", "node-0").to_string();
        stage.write("ports.yaml", &join([service.to_string(), slice]));
        let serve = |protocol, address: &str| {
            Server::start(stage.world.node(), protocol, at(address)).unwrap()
        };
        let endpoint =
            PROTOCOLS.map(|protocol| stage.world.serve(protocol, "10.244.0.61:8080").unwrap());
        let own = own
            .iter()
            .flat_map(|own| PROTOCOLS.map(|protocol| serve(protocol, own)))
            .collect();
        Self {
            _own: own,
            _endpoint: endpoint.into(),
            stage,
        }
    }

    /// Whether the node port takes what is sent there. Fails if nobody answers.
    #[track_caller]
    fn takes(&self, place: Place, protocol: Protocol, target: &str) -> bool {
        let target = at(target);
        let attempt = self
            .stage
            .client(place, target)
            .ask(protocol, target)
            .unwrap();
        let answer = attempt
            .result
            .unwrap_or_else(|failure| panic!("{protocol} {target} from {place:?}: {failure}"));
        assert!(
            [target, at("10.244.0.61:8080")].contains(&answer.backend),
            "{answer:?}"
        );
        answer.backend != target
    }

    /// Fails unless the node port takes just what is sent to `taken`, of all protocols.
    #[track_caller]
    fn expect(&self, places: &[Place], all: &[&str], taken: &[&str]) {
        for protocol in PROTOCOLS {
            for target in all {
                for place in places {
                    let answered_by_service = self.takes(*place, protocol, target);
                    let expected = taken.contains(target);
                    assert_eq!(
                        answered_by_service, expected,
                        "{protocol} {target} from {place:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn node_ports_answer_by_default_where_kube_proxys_do() {
    let all = [PRIMARY, SECOND, POD_LINK];
    let scene = Scene::new(&all);
    if Mode::of_this_run() == Mode::Nftables {
        // Who says which address is the node's own.
        scene.stage.write("node.yaml", &Node::under_test());
    }
    scene.stage.apply(CLUSTER_CIDR);
    let by_default = match Mode::of_this_run() {
        Mode::Iptables | Mode::Ipvs => &all[..],
        Mode::Nftables => &[PRIMARY],
    };
    scene.expect(&Place::ALL, &all, by_default);
}

/// In IPVS mode never (contract 3.3), and not in nftables mode.
#[test]
fn node_ports_answer_on_127_0_0_1_with_localhost_node_ports() {
    let scene = Scene::new(&[LOOPBACK]);
    scene.expect(&[Place::Node], &[LOOPBACK], &[]);
    scene.stage.apply(CLUSTER_CIDR);
    scene.expect(&[Place::Node], &[LOOPBACK], with_loopback(&[LOOPBACK]));
}

/// Node addresses of which the last is on loopback, as far as node ports can answer there.
fn with_loopback<'a>(addresses: &'a [&'a str]) -> &'a [&'a str] {
    match Mode::of_this_run() {
        Mode::Iptables => addresses,
        Mode::Ipvs | Mode::Nftables => &addresses[..addresses.len() - 1],
    }
}

#[test]
fn node_ports_leave_127_0_0_1_alone_without_localhost_node_ports() {
    let scene = Scene::new(&[LOOPBACK, PRIMARY]);
    scene.stage.apply(&format!(
        "{CLUSTER_CIDR} --iptables-localhost-nodeports=false"
    ));
    scene.expect(&[Place::Node], &[LOOPBACK, PRIMARY], &[PRIMARY]);
    let route_localnet = scene
        .stage
        .world
        .node()
        .sysctl("net/ipv4/conf/all/route_localnet");
    assert_eq!(route_localnet.unwrap(), "0", "not needed");
}

/// What only iptables mode does.
mod iptables {
    use super::*;

    /// Node ports on loopback make the kernel route packets with loopback destinations; machines on
    /// the same network must not get anywhere by that.
    #[test]
    fn loopback_stays_closed_to_the_neighbours() {
        let scene = Scene::new(&[]);
        let target = at("127.0.0.2:9000");
        let _private = Server::start(scene.stage.world.node(), Tcp, target).unwrap();
        let attacker = scene.stage.world.client();
        attacker
            .set_sysctl("net/ipv4/conf/all/route_localnet", "1")
            .unwrap();
        attacker
            .ip([
                "route del local 127.0.0.0/8 dev lo table local",
                "route add 127.0.0.2/32 via 192.168.77.2",
            ])
            .unwrap();
        let outside = scene
            .stage
            .world
            .outside()
            .from_address("192.168.77.100".parse().unwrap());
        scene
            .stage
            .world
            .node()
            .set_sysctl("net/ipv4/conf/all/route_localnet", "1")
            .unwrap();
        let attempt = outside.tcp(target).unwrap();
        assert!(
            attempt.is_answered(),
            "the attack works without our rules: {attempt:?}"
        );
        scene.stage.apply(CLUSTER_CIDR);
        timed_out(
            &outside.timeout(PATIENCE).tcp(target).unwrap(),
            "with our rules",
        );
        assert!(
            scene
                .stage
                .world
                .on_node()
                .tcp(target)
                .unwrap()
                .is_answered(),
            "the node's own"
        );
    }
}

#[test]
fn node_port_addresses_as_a_network_limit_where_node_ports_answer() {
    let all = [PRIMARY, SECOND, POD_LINK, LOOPBACK];
    let scene = Scene::new(&all);
    scene.stage.apply(&format!(
        "{CLUSTER_CIDR} --nodeport-addresses 198.51.100.0/24"
    ));
    scene.expect(&[Place::Outside, Place::Pod], &all[..3], &[SECOND]);
    scene.expect(&[Place::Node], &all, &[SECOND]);
    scene.stage.apply(&format!(
        "{CLUSTER_CIDR} --nodeport-addresses 198.51.100.0/24,127.0.0.0/8"
    ));
    scene.expect(&[Place::Node], &all, with_loopback(&[SECOND, LOOPBACK]));
}

#[test]
fn node_port_addresses_primary_limits_node_ports_to_the_nodes_own_address() {
    let all = [PRIMARY, SECOND, POD_LINK, LOOPBACK];
    let scene = Scene::new(&all);
    let node = Node::under_test().internal_ip("198.51.100.2");
    scene.stage.write("node.yaml", &node);
    scene
        .stage
        .apply(&format!("{CLUSTER_CIDR} --nodeport-addresses primary"));
    scene.expect(&[Place::Outside, Place::Pod], &all[..3], &[PRIMARY]);
    scene.expect(&[Place::Node], &all, &[PRIMARY]);
}

#[test]
fn a_node_address_that_comes_later_takes_node_ports_while_running() {
    let scene = Scene::new(&[PRIMARY]);
    let node = scene.stage.world.node();
    let mut run = scene.stage.run(&format!(
        "{CLUSTER_CIDR} --nodeport-addresses 198.51.100.0/24"
    ));
    scene.expect(&[Place::Outside], &[PRIMARY, SECOND], &[SECOND]);

    let later: SocketAddr = at("198.51.100.7:30061");
    let _own = {
        node.ip(["addr add 198.51.100.7/32 dev eth0"]).unwrap();
        PROTOCOLS.map(|protocol| Server::start(node, protocol, later).unwrap())
    };
    run.changed();
    scene.expect(
        &Place::ALL,
        &[PRIMARY, "198.51.100.7:30061", SECOND],
        &["198.51.100.7:30061", SECOND],
    );

    node.ip(["addr del 198.51.100.7/32 dev eth0"]).unwrap();
    run.changed();
    let (has, rules) = match Mode::of_this_run() {
        Mode::Iptables => {
            let rules = scene.stage.dump(Family::V4);
            (
                "-d 198.51.100.2/32",
                rules.rules("nat", "KUBE-SERVICES").join("\n"),
            )
        }
        // A virtual server waits for its connections, and gets no new ones.
        Mode::Ipvs => {
            let servers = scene.stage.servers().to_string();
            let is_open = |line: &&str| line.contains(" -r ") && !line.ends_with(" -w 0");
            let open: Vec<&str> = servers.lines().filter(is_open).collect();
            ("-t 198.51.100.2:30061", open.join("\n"))
        }
        Mode::Nftables => {
            let list = scene.stage.world.node().command("nft");
            let list = list.args(["list", "set", "ip", "viprule", "node-addresses"]);
            ("198.51.100.2", list.text().unwrap())
        }
    };
    assert!(
        rules.contains(has) && !rules.contains("198.51.100.7"),
        "{rules}"
    );
    scene.expect(&[Place::Outside], &[PRIMARY, SECOND], &[SECOND]);
}

/// A Node object lists addresses that say whose cluster's it is; the machine has others.
#[test]
fn a_node_object_among_the_manifests_takes_no_address_away() {
    const LATER: &str = "198.51.100.7:30061";
    let scene = Scene::new(&[]);
    let flags = format!("{CLUSTER_CIDR} --nodeport-addresses 192.168.77.0/24,198.51.100.0/24");
    let takes = |targets: &[&str]| {
        for place in [Place::Outside, Place::Pod] {
            for target in targets {
                assert!(scene.takes(place, Tcp, target));
            }
        }
    };
    let node = Node::under_test().internal_ip("192.0.2.99").to_string();
    scene.stage.write("node.yaml", &node);
    scene.stage.apply(&flags);
    takes(&[PRIMARY, SECOND]);
    scene.stage.assert_in_sync(&flags);
    let mut run = scene.stage.run(&flags);
    scene
        .stage
        .world
        .node()
        .ip(["addr add 198.51.100.7/32 dev eth0"])
        .unwrap();
    run.changed();
    takes(&[PRIMARY, SECOND, LATER]);
    scene.stage.remove("node.yaml");
    run.expect("changed: ");
    takes(&[PRIMARY, SECOND, LATER]);
    scene.stage.write("node.yaml", &node);
    run.expect("changed: ");
    takes(&[PRIMARY, SECOND, LATER]);
    scene.stage.assert_in_sync(&flags);
}
