//! Packets, as far as the writer's order and the link's state matter to them.

use viprule_testkit::{Protocol, World};

use crate::common::{Node, Service, desired, require_ipvs, text};

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn both_families_are_served_while_the_link_is_down() {
    require_ipvs();
    let world = World::builder()
        .pod("10.244.0.5,fd00:10:244::5")
        .pod("10.244.0.6,fd00:10:244::6")
        .build()
        .unwrap();
    let endpoints = ["10.244.0.5:8080", "[fd00:10:244::5]:8080"];
    let _servers = endpoints.map(|address| world.serve(Protocol::Tcp, address).unwrap());
    world
        .node()
        .set_sysctl("net/ipv4/vs/conntrack", "1")
        .unwrap();
    let vips = ["10.1.0.20:80", "[fd00:10:1::80]:80"];
    let services = [0, 1].map(|at| Service::tcp(vips[at], &[endpoints[at]]));
    Node::start(world.node()).reconcile(&desired(&services));
    let link = text(world.node(), "ip -brief link show kube-ipvs0");
    assert!(link.contains("DOWN"), "{link}");
    for (vip, endpoint) in vips.into_iter().zip(endpoints) {
        let pod = if vip.starts_with('[') {
            "fd00:10:244::6"
        } else {
            "10.244.0.6"
        };
        for client in [world.on_node(), world.in_pod(pod).unwrap()] {
            let answer = client.tcp(vip.parse().unwrap()).unwrap().result.unwrap();
            assert_eq!(answer.backend.to_string(), endpoint);
        }
    }
}
