//! The cluster that kube-proxy's own dumps were taken from, with live endpoints.

use super::{Stage, Turn};
use viprule_testkit::server::Server;
use viprule_testkit::{Protocol, World};

/// Its manifest.
pub(crate) const MANIFEST: &str = include_str!("../../../golden/cluster/cluster.yaml");
/// What kube-proxy made of it on node-0; its apiserver had the Service default/kubernetes as well.
pub(crate) const DUMPS: [&str; 2] = [
    include_str!("../../../golden/cluster/iptables-save.txt"),
    include_str!("../../../golden/cluster/ip6tables-save.txt"),
];

const PODS: [&str; 16] = [
    "10.244.0.5",
    "10.244.1.3",
    "10.244.2.4",
    "10.244.0.10",
    "10.244.1.10",
    "10.244.2.10",
    "10.244.0.40",
    "10.244.1.40",
    "10.244.1.41",
    "10.244.1.50",
    "10.244.0.60",
    "10.244.1.60",
    "10.244.0.70",
    "10.244.1.70",
    "10.244.0.80,fd00:10:244::80",
    "10.244.1.80,fd00:10:244:1::80",
];

/// Every endpoint answers, those as well that nobody must be sent to.
const TCP: [&str; 18] = [
    "10.244.0.5:80",
    "10.244.1.3:80",
    "10.244.2.4:80",
    "10.244.0.10:8080",
    "10.244.1.10:8080",
    "10.244.2.10:8080",
    "10.244.0.40:8443",
    "10.244.1.40:8443",
    "10.244.1.41:8080",
    "10.244.1.50:9000",
    "10.244.0.60:8080",
    "10.244.1.60:8080",
    "10.244.0.70:8080",
    "10.244.1.70:8080",
    "10.244.0.80:8080",
    "10.244.1.80:8080",
    "[fd00:10:244::80]:8080",
    "[fd00:10:244:1::80]:8080",
];
const UDP: [&str; 3] = ["10.244.0.10:5353", "10.244.1.10:5353", "10.244.2.10:5353"];
const SCTP: [&str; 4] = [
    "10.244.0.80:132",
    "10.244.1.80:132",
    "[fd00:10:244::80]:132",
    "[fd00:10:244:1::80]:132",
];

/// The golden cluster's node and its surroundings, not yet programmed.
#[derive(Debug)]
pub(crate) struct Golden {
    _servers: Vec<Server>,
    pub(crate) stage: Stage,
}

impl Golden {
    /// With the client addresses that the load balancer allows and one that it doesn't.
    pub(crate) fn new(turn: Turn) -> Self {
        let builder = World::builder()
            .pods(PODS)
            .client_address("203.0.113.9")
            .client_address("192.0.2.5")
            .client_address("192.0.2.200");
        let stage = Stage::new(turn, builder);
        stage.write("cluster.yaml", MANIFEST);
        let protocols = [
            (Protocol::Tcp, &TCP[..]),
            (Protocol::Udp, &UDP),
            (Protocol::Sctp, &SCTP),
        ];
        let servers = protocols
            .into_iter()
            .flat_map(|(protocol, all)| {
                stage
                    .world
                    .serve_all(protocol, all.iter().copied())
                    .unwrap()
            })
            .collect();
        Self {
            _servers: servers,
            stage,
        }
    }
}
