//! The cluster that kube-proxy's own dumps were taken from, with live endpoints.

use super::{Stage, Turn};
use viprule_testkit::dump::{Family, LINK};
use viprule_testkit::golden::{
    ADDRESSES, IPSET, IPTABLES, IPVS_IPTABLES, IPVSADM, MANIFEST, SYSCTLS,
};
use viprule_testkit::server::Server;
use viprule_testkit::{Mode, Namespace, Protocol, World};

/// Loads into a node what kube-proxy wrote there in this run's mode, without its sysctls in
/// iptables mode. Before nftables mode there was iptables mode.
pub(crate) fn load_kube_proxys(node: &Namespace) {
    let dumps = match Mode::of_this_run() {
        Mode::Iptables | Mode::Nftables => IPTABLES,
        Mode::Ipvs => {
            node.command("ipset")
                .arg("restore")
                .input(IPSET)
                .text()
                .unwrap();
            let link = format!("link add {LINK} type dummy");
            let bind = |line: &str| {
                let address = line.split(' ').next_back().unwrap();
                format!("addr add {address} dev {LINK}")
            };
            let batch = std::iter::once(link).chain(ADDRESSES.lines().map(bind));
            node.ip(batch).unwrap();
            node.command("ipvsadm")
                .arg("-R")
                .input(IPVSADM)
                .text()
                .unwrap();
            for line in SYSCTLS.lines() {
                let (key, value) = line.split_once(' ').unwrap();
                node.set_sysctl(key, value).unwrap();
            }
            IPVS_IPTABLES
        }
    };
    for (family, dump) in Family::ALL.into_iter().zip(dumps) {
        node.command(family.restore_tool())
            .input(dump)
            .text()
            .unwrap();
    }
}

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
