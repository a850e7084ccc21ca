//! Virtual addresses that are the node's own: a Service must not take the node down.

use crate::scene::{
    CLUSTER_IP, ENDPOINTS, FLAGS, rolling, running, serve, stage, wait_until, write_endpoints,
};
use crate::support::{Stage, at, shared};
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::manifests::{join, service, slice};

const NODE: &str = "192.168.77.2";

/// Whether an address is bound to the link of IPVS mode.
fn is_bound(stage: &Stage, ip: &str) -> bool {
    let addresses = stage.servers().addresses.unwrap_or_default();
    addresses.contains(&format!("inet {ip}/32"))
}

/// Whether the kernel refuses packets to other ports of this address.
fn is_guarded(stage: &Stage, ip: &str) -> bool {
    stage.servers().sets["KUBE-IPVS-IPS"].elements.contains(ip)
}

#[test]
fn a_cluster_ip_that_is_the_nodes_own_address_is_refused_and_the_node_stays_reachable() {
    let (stage, mut run, _servers) = running(shared(), &ENDPOINTS[..1], "");
    let node = stage.world.node();
    let own = [80, 10_250].map(|port| {
        let address = format!("{NODE}:{port}");
        viprule_testkit::server::Server::start(node, Tcp, at(&address)).unwrap()
    });
    let service = service("hijack").cluster_ip(NODE).tcp("", 80, 8080);
    let slice = slice("hijack-1", "hijack").tcp("", 8080);
    let slice = slice.ready(ENDPOINTS[0], "node-0");
    stage.write(
        "hijack.yaml",
        &join([service.to_string(), slice.to_string()]),
    );
    // Whatever comes after it is written.
    let _second = serve(&stage, Tcp, ENDPOINTS[1]);
    write_endpoints(&stage, ENDPOINTS[..2].iter().copied());
    run.changed();
    for server in &own {
        let answer = stage.world.outside().tcp(server.address()).unwrap();
        assert_eq!(answer.result.unwrap().backend, server.address());
    }
    let servers = stage.servers();
    let hijacked = servers
        .lines()
        .into_iter()
        .find(|line| line.contains("192.168.77.2:80 "));
    assert_eq!(hijacked, None);
    assert!(!is_bound(&stage, NODE) && !is_guarded(&stage, NODE));
    assert!(
        stage
            .world
            .outside()
            .tcp(at(CLUSTER_IP))
            .unwrap()
            .is_answered()
    );
    run.said(&["default/hijack", NODE]);
}

#[test]
fn an_external_ip_that_is_the_nodes_own_address_works_and_leaves_its_other_ports_alone() {
    let stage = stage(shared());
    let node = stage.world.node();
    node.ip(["addr add 198.51.100.2/32 dev eth0"]).unwrap();
    stage.write("service.yaml", &rolling().external_ip("198.51.100.2"));
    write_endpoints(&stage, [ENDPOINTS[0]]);
    let _server = serve(&stage, Tcp, ENDPOINTS[0]);
    let own = viprule_testkit::server::Server::start(node, Tcp, at("198.51.100.2:22")).unwrap();
    stage
        .world
        .client()
        .ip(["route replace 198.51.100.2/32 via 192.168.77.2"])
        .unwrap();
    stage.apply(FLAGS);
    let outside = stage.world.outside();
    let answer = outside.tcp(at("198.51.100.2:80")).unwrap().result.unwrap();
    assert_eq!(answer.backend, at(&format!("{}:8080", ENDPOINTS[0])));
    let answer = outside.tcp(own.address()).unwrap().result.unwrap();
    assert_eq!(answer.backend, own.address());
    assert!(!is_bound(&stage, "198.51.100.2") && !is_guarded(&stage, "198.51.100.2"));
    stage.cleanup();
    let addresses = node
        .command("ip")
        .args(["addr", "show", "eth0"])
        .text()
        .unwrap();
    assert!(addresses.contains("198.51.100.2/32"), "{addresses}");
}

#[test]
fn addresses_that_the_node_gets_and_loses_are_followed_at_once() {
    const EXTERNAL: &str = "198.51.100.7";
    let (stage, mut run, _servers) = running(shared(), &ENDPOINTS[..1], "");
    stage.write("service.yaml", &rolling().external_ip(EXTERNAL));
    run.changed();
    let node = stage.world.node();
    let target = at(&format!("{EXTERNAL}:80"));
    let client = stage.world.client();
    client
        .ip([format!("route replace {EXTERNAL}/32 via {NODE}")])
        .unwrap();
    for _ in 0..2 {
        assert!(is_bound(&stage, EXTERNAL) && is_guarded(&stage, EXTERNAL));
        assert!(stage.world.outside().tcp(target).unwrap().is_answered());

        node.ip([format!("addr add {EXTERNAL}/32 dev eth0")])
            .unwrap();
        wait_until("the address is the node's", &stage, || {
            !is_bound(&stage, EXTERNAL) && !is_guarded(&stage, EXTERNAL)
        });
        assert!(stage.world.outside().tcp(target).unwrap().is_answered());
        let node_port = at(&format!("{EXTERNAL}:30090"));
        assert!(stage.world.outside().tcp(node_port).unwrap().is_answered());

        node.ip([format!("addr del {EXTERNAL}/32 dev eth0")])
            .unwrap();
        wait_until("the address is the Service's again", &stage, || {
            is_bound(&stage, EXTERNAL) && is_guarded(&stage, EXTERNAL)
        });
    }
    // The kernel remembers ended connections for a while.
    wait_until("the end of the address' node port", &stage, || {
        !stage.servers().to_string().contains("198.51.100.7:30090")
    });
    stage.assert_in_sync(FLAGS);
}
