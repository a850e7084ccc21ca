//! The test cluster itself does what a cluster does.

use crate::support::LIMIT;
use std::time::Duration;
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::cluster::{Cluster, Proxy, kernel};
use viprule_testkit::manifests::{service, slice};
use viprule_testkit::server::Server;

#[test]
fn a_service_of_the_api_server_works_through_kube_proxy_on_both_nodes() {
    let cluster = Cluster::start(2).unwrap();
    let api = cluster.api().unwrap();
    let pod = cluster
        .node(1)
        .add_pod("web", &["10.244.1.5".parse().unwrap()])
        .unwrap();
    let address = "10.244.1.5:8080".parse().unwrap();
    let _server = Server::start(pod.namespace(), Tcp, address).unwrap();
    let web = service("web").tcp("", 80, 8080).cluster_ip("10.1.0.80");
    api.apply(web.node_port(30080).json()).unwrap();
    let endpoints = slice("web-1", "web").tcp("", 8080);
    api.apply(endpoints.ready("10.244.1.5", "node-1").json())
        .unwrap();

    let mut proxies = [0, 1].map(|node| cluster.start_proxy(node, Proxy::KubeProxy).unwrap());
    let targets = ["10.1.0.80:80", "192.168.77.2:30080", "192.168.77.3:30080"];
    for target in targets.map(|target| target.parse().unwrap()) {
        let client = cluster.outside().timeout(Duration::from_secs(3));
        proxies[0]
            .wait_until(&format!("an answer of {target}"), LIMIT, || {
                client.tcp(target).unwrap().is_answered()
            })
            .unwrap();
    }
    assert!(kernel::generation(cluster.node(0).namespace()).unwrap() > 1);
}
