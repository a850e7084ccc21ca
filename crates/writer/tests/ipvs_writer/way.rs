//! The way to the API server, where its address came to the link.

use std::net::SocketAddr;

use viprule_testkit::Namespace;
use viprule_writer::ipvs::clear_way;

use crate::common::{Node, Service, desired, lines, require_ipvs, text};

fn clear(namespace: &Namespace, api_server: &[&str]) -> Vec<String> {
    let api_server: Vec<SocketAddr> = api_server.iter().map(|it| it.parse().unwrap()).collect();
    let freed = namespace.run(|| clear_way(&api_server)).unwrap().unwrap();
    freed.iter().map(ToString::to_string).collect()
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn its_addresses_go_from_the_link_but_for_cluster_ips() {
    require_ipvs();
    let namespace = Namespace::new("way").unwrap();
    assert_eq!(clear(&namespace, &["192.0.2.1:6443"]), [""; 0]);
    let mut node = Node::start(&namespace);
    node.reconcile(&desired(&[Service::tcp(
        "10.1.0.1:443",
        &["192.0.2.1:6443"],
    )]));
    for line in [
        "ip addr add 192.0.2.1/32 dev kube-ipvs0",
        "ip addr add 192.0.2.2/32 dev kube-ipvs0",
        "ip addr add fd00::1/128 dev kube-ipvs0",
        "ip addr add 192.0.2.1/32 dev lo",
    ] {
        text(&namespace, line);
    }
    let freed = clear(
        &namespace,
        &["10.1.0.1:443", "192.0.2.1:6443", "[fd00::1]:6443"],
    );
    assert_eq!(freed, ["192.0.2.1", "fd00::1"]);
    let left = lines(&namespace, "ip -o addr show dev kube-ipvs0");
    let left: Vec<_> = left
        .iter()
        .filter_map(|it| it.split(' ').find(|it| it.contains("/32")))
        .collect();
    assert_eq!(left, ["10.1.0.1/32", "192.0.2.2/32"]);
    assert!(text(&namespace, "ip addr show dev lo").contains("192.0.2.1/32"));
    // Another port of that cluster IP is nobody's way.
    assert_eq!(clear(&namespace, &["10.1.0.1:6443"]), ["10.1.0.1"]);
}
