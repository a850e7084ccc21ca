//! Each way to tell the traffic of local pods: theirs keeps its address, other traffic doesn't.

use crate::support::{Stage, at, shared};
use std::net::IpAddr;
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::World;
use viprule_testkit::client::Client;
use viprule_testkit::manifests::{Node, join, service, slice};
use viprule_testkit::server::Server;

const ENDPOINT: &str = "10.244.0.31:8080";
const TARGET: &str = "10.1.0.31:80";

/// A node with a Service whose only endpoint is local.
fn scene() -> (Stage, Server) {
    let builder = World::builder().node_address("198.51.100.2");
    let stage = Stage::new(
        shared(),
        builder.pods(["10.244.0.31", "10.244.0.32", "10.244.1.31"]),
    );
    let server = stage.world.serve(Tcp, ENDPOINT).unwrap();
    let service = service("one").cluster_ip("10.1.0.31").tcp("", 80, 8080);
    let slice = slice("one-1", "one")
        .tcp("", 8080)
        .ready("10.244.0.31", "node-0");
    let node = Node::under_test();
    stage.write(
        "one.yaml",
        &join([service.to_string(), slice.to_string(), node.to_string()]),
    );
    (stage, server)
}

#[track_caller]
fn sees(client: Client<'_>, address: &str) {
    let answer = client.tcp(at(TARGET)).unwrap().result.unwrap();
    assert_eq!(answer.backend, at(ENDPOINT));
    assert_eq!(
        answer.peer.ip(),
        address.parse::<IpAddr>().unwrap(),
        "{client:?}"
    );
}

/// What holds in every mode: the address that masquerading gives is that of the endpoint's link.
#[track_caller]
fn outside_and_node_are_masqueraded(stage: &Stage) {
    sees(stage.world.outside(), "10.244.0.1");
    let other = "198.51.100.2".parse().unwrap();
    sees(stage.world.on_node().from_address(other), "10.244.0.1");
}

#[test]
fn cluster_cidr_tells_pods_of_any_node() {
    let (stage, _server) = scene();
    stage.apply("--detect-local-mode ClusterCIDR --cluster-cidr 10.244.0.0/16");
    outside_and_node_are_masqueraded(&stage);
    sees(stage.world.in_pod("10.244.0.32").unwrap(), "10.244.0.32");
    sees(stage.world.in_pod("10.244.1.31").unwrap(), "10.244.1.31");
}

#[test]
fn node_cidr_tells_pods_of_this_node_only() {
    let (stage, _server) = scene();
    stage.apply("--detect-local-mode NodeCIDR");
    outside_and_node_are_masqueraded(&stage);
    sees(stage.world.in_pod("10.244.0.32").unwrap(), "10.244.0.32");
    sees(stage.world.in_pod("10.244.1.31").unwrap(), "10.244.0.1");
}

#[test]
fn interface_name_prefix_tells_pods_by_their_links() {
    let (stage, _server) = scene();
    stage.apply("--detect-local-mode InterfaceNamePrefix --pod-interface-name-prefix veth");
    outside_and_node_are_masqueraded(&stage);
    sees(stage.world.in_pod("10.244.0.32").unwrap(), "10.244.0.32");
    sees(stage.world.in_pod("10.244.1.31").unwrap(), "10.244.0.1");
}

#[test]
fn bridge_interface_tells_pods_on_the_bridge() {
    let (stage, _server) = scene();
    // Pod 10.244.0.32 moves to a bridge, as most CNI plugins have it; the others stay where they are.
    let link = stage
        .world
        .node()
        .command("ip")
        .args(["-o", "route", "get", "10.244.0.32"]);
    let link = link.text().unwrap();
    let link = link
        .split_whitespace()
        .skip_while(|word| *word != "dev")
        .nth(1)
        .unwrap();
    let bridge = [
        "link add cni0 type bridge forward_delay 0".to_owned(),
        "link set cni0 up".to_owned(),
        "addr add 10.244.0.1/32 dev cni0".to_owned(),
        format!("link set {link} master cni0"),
        "route replace 10.244.0.32/32 dev cni0".to_owned(),
    ];
    stage.world.node().ip(bridge).unwrap();
    stage.apply("--detect-local-mode BridgeInterface --pod-bridge-interface cni0");
    outside_and_node_are_masqueraded(&stage);
    sees(stage.world.in_pod("10.244.0.32").unwrap(), "10.244.0.32");
    sees(stage.world.in_pod("10.244.0.200").unwrap(), "10.244.0.1");
}
