//! A node with several Services in use, one of which changes.

use super::{CLUSTER_CIDR, Stage, Turn, Watched, at};
use std::net::SocketAddr;
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::World;
use viprule_testkit::client::Load;
use viprule_testkit::manifests::{Endpoint, endpoint, join, service, slice};
use viprule_testkit::server::Server;

/// Addresses of the Services that don't change: cluster IPs and a node port each.
const STEADY: [&str; 8] = [
    "10.1.0.71:80",
    "192.168.77.2:30071",
    "10.1.0.72:80",
    "192.168.77.2:30072",
    "10.1.0.73:80",
    "192.168.77.2:30073",
    "[fd00:10:1::74]:80",
    "[fd00:77::2]:30074",
];
/// Addresses of the Service that changes.
pub(crate) const CHANGING: [&str; 2] = ["10.1.0.79:80", "192.168.77.2:30079"];
/// The endpoints that it may have, the first two on the node under test.
pub(crate) const ENDPOINTS: [&str; 3] = ["10.244.0.79", "10.244.0.78", "10.244.1.79"];

/// The node. Servers of the Services that don't change all run; those of the other are the test's.
#[derive(Debug)]
pub(crate) struct Busy {
    pub(crate) stage: Stage,
    _servers: Vec<Server>,
}

impl Busy {
    /// Only the Services that don't change are in the manifests.
    pub(crate) fn new(turn: Turn) -> Self {
        let v4 = [71, 72, 73].map(|last| [format!("10.244.0.{last}"), format!("10.244.1.{last}")]);
        let v6 = [["fd00:10:244::74".to_owned(), "fd00:10:244:1::74".to_owned()]];
        let pods: Vec<_> = v4.iter().chain(&v6).cloned().collect();
        let builder = World::builder().pods(pods.iter().flatten().map(String::as_str));
        let stage = Stage::new(turn, builder.pods(ENDPOINTS));
        let mut documents = Vec::new();
        let mut servers = Vec::new();
        for (number, pods) in (71..).zip(&pods) {
            let name = format!("steady-{number}");
            let ip = if number == 74 {
                "fd00:10:1::74".to_owned()
            } else {
                format!("10.1.0.{number}")
            };
            let service = service(&name)
                .cluster_ip(&ip)
                .tcp("", 80, 8080)
                .node_port(30_000 + number);
            let slice = slice(&format!("{name}-1"), &name).tcp("", 8080);
            let slice = slice.ready(&pods[0], "node-0").ready(&pods[1], "node-1");
            documents.extend([service.to_string(), slice.to_string()]);
            let addresses = pods
                .iter()
                .map(|pod| SocketAddr::new(pod.parse().unwrap(), 8080));
            servers.extend(
                addresses.map(|address| stage.world.serve(Tcp, &address.to_string()).unwrap()),
            );
        }
        stage.write("steady.yaml", &join(documents));
        Self {
            stage,
            _servers: servers,
        }
    }

    /// A server at an endpoint of the Service that changes.
    pub(crate) fn serve(&self, endpoint: &str) -> Server {
        self.stage
            .world
            .serve(Tcp, &format!("{endpoint}:8080"))
            .unwrap()
    }

    /// Writes the Service that changes.
    pub(crate) fn write_service(&self) {
        let service = service("changing")
            .cluster_ip("10.1.0.79")
            .tcp("", 80, 8080);
        self.stage.write("service.yaml", &service.node_port(30079));
    }

    /// Writes its endpoints.
    pub(crate) fn write_endpoints(&self, endpoints: impl IntoIterator<Item = Endpoint>) {
        let slice = slice("changing-1", "changing").tcp("", 8080);
        let slice = endpoints
            .into_iter()
            .fold(slice, viprule_testkit::manifests::EndpointSlice::endpoint);
        self.stage.write("endpoints.yaml", &slice);
    }

    /// Begins `rate` connections a second from outside, to all Services that don't change and to
    /// `more`.
    pub(crate) fn load(&self, rate: u32, more: &[&str]) -> Watched<'_> {
        let targets = STEADY.iter().chain(more).map(|target| at(target));
        Watched::start(&self.stage.world, Load::new(rate, targets))
    }

    /// `viprule run`.
    pub(crate) fn run(&self) -> super::Run {
        self.stage.run(CLUSTER_CIDR)
    }
}

/// A ready endpoint where it is.
pub(crate) fn ready(address: &str) -> Endpoint {
    let node = if address.starts_with("10.244.0.") {
        "node-0"
    } else {
        "node-1"
    };
    endpoint(address).node(node)
}
