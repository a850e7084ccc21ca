//! A node with one Service of several generations of endpoints.

use crate::support::{CLUSTER_CIDR, Run, Stage, Turn, at};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::Protocol::{self, Sctp, Tcp, Udp};
use viprule_testkit::client::KeepAlive;
use viprule_testkit::manifests::{Service, endpoint, service, slice};
use viprule_testkit::server::Server;
use viprule_testkit::{LIMIT, World};

/// The Service's addresses: TCP and SCTP port 80, UDP port 53.
pub(crate) const CLUSTER_IP: &str = "10.1.0.90:80";
pub(crate) const NODE_PORT: &str = "192.168.77.2:30090";
pub(crate) const DNS: &str = "10.1.0.90:53";
/// Endpoints that there may be, every other one on the node under test.
pub(crate) const ENDPOINTS: [&str; 6] = [
    "10.244.0.91",
    "10.244.1.91",
    "10.244.0.92",
    "10.244.1.92",
    "10.244.0.93",
    "10.244.1.93",
];
/// Flags of every run.
pub(crate) const FLAGS: &str = CLUSTER_CIDR;

/// Fails unless this is a kernel with IPVS and a run that is about it: a test that can't run must
/// not pass.
#[track_caller]
pub(crate) fn require_ipvs() {
    let here = Path::new("/proc/net/ip_vs").exists();
    assert!(
        here,
        "this kernel has no IPVS; run the suite in a machine of scripts/vm"
    );
    let mode = std::env::var("VIPRULE_MODE");
    assert_eq!(mode.as_deref(), Ok("ipvs"), "VIPRULE_MODE");
}

/// A node of a cluster, nothing written yet.
pub(crate) fn stage(turn: Turn) -> Stage {
    require_ipvs();
    Stage::new(turn, World::builder().pods(ENDPOINTS))
}

/// A node without pods and with the golden cluster's manifests.
pub(crate) fn golden() -> Stage {
    require_ipvs();
    let stage = Stage::without_pods(crate::support::shared());
    stage.write("cluster.yaml", viprule_testkit::golden::MANIFEST);
    stage
}

/// The Service; its manifest isn't written.
pub(crate) fn rolling() -> Service {
    let service = service("rolling").cluster_ip("10.1.0.90");
    let service = service.tcp("http", 80, 8080).node_port(30090);
    service.udp("dns", 53, 5353).sctp("sigtran", 80, 8080)
}

/// Writes the Service's endpoints.
pub(crate) fn write_endpoints<'e>(stage: &Stage, endpoints: impl IntoIterator<Item = &'e str>) {
    let start = slice("rolling-1", "rolling");
    let start = start
        .tcp("http", 8080)
        .udp("dns", 5353)
        .sctp("sigtran", 8080);
    let slice = endpoints.into_iter().fold(start, |slice, ip| {
        let node = if ip.starts_with("10.244.0.") {
            "node-0"
        } else {
            "node-1"
        };
        slice.endpoint(endpoint(ip).node(node))
    });
    stage.write("endpoints.yaml", &slice);
}

/// A server at an endpoint.
pub(crate) fn serve(stage: &Stage, protocol: Protocol, ip: &str) -> Server {
    let port = if protocol == Udp { 5353 } else { 8080 };
    stage
        .world
        .serve(protocol, &format!("{ip}:{port}"))
        .unwrap()
}

/// A running node whose Service has these endpoints, all of which serve TCP.
pub(crate) fn running(turn: Turn, endpoints: &[&str], flags: &str) -> (Stage, Run, Vec<Server>) {
    let stage = stage(turn);
    stage.write("service.yaml", &rolling());
    write_endpoints(&stage, endpoints.iter().copied());
    let servers = endpoints.iter().map(|ip| serve(&stage, Tcp, ip)).collect();
    let run = stage.run(&format!("{FLAGS} {flags}"));
    (stage, run, servers)
}

/// The destinations of the Service's cluster IP for a protocol, by IP address, with their weights.
pub(crate) fn destinations(stage: &Stage, protocol: Protocol) -> BTreeMap<String, u32> {
    let server = match protocol {
        Tcp => format!("-t {CLUSTER_IP}"),
        Udp => format!("-u {DNS}"),
        Sctp => format!("--sctp-service {CLUSTER_IP}"),
    };
    let all = stage.servers().destinations(&server).into_iter();
    all.map(|(to, weight)| (at(&to).ip().to_string(), weight))
        .collect()
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, stage: &Stage, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < LIMIT,
            "{what}: not in {LIMIT:?}:\n{}",
            stage.servers()
        );
        sleep(Duration::from_millis(20));
    }
}

/// A connection to each endpoint of the Service, from outside.
pub(crate) fn connections(stage: &Stage, endpoints: &[&str]) -> BTreeMap<String, KeepAlive> {
    const TRIES: usize = 50;
    let mut all = BTreeMap::new();
    let client = stage.world.outside().timeout(LIMIT);
    for _ in 0..TRIES {
        let mut connection = client.keep_alive(at(CLUSTER_IP)).unwrap().unwrap();
        let backend = connection.ask().result.unwrap().backend.ip().to_string();
        all.entry(backend).or_insert(connection);
        if all.len() == endpoints.len() {
            return all;
        }
    }
    panic!("of {endpoints:?} only {:?} are chosen", all.keys());
}

/// Fails unless a connection still leads to its endpoint.
#[track_caller]
pub(crate) fn lives(connection: &mut KeepAlive, backend: &str) {
    let answer = connection.ask().result.unwrap();
    assert_eq!(answer.backend.ip().to_string(), backend);
}

/// Who answers new connections.
pub(crate) fn chosen(stage: &Stage, target: &str, attempts: u32) -> BTreeMap<SocketAddr, u64> {
    let client = stage.world.outside().timeout(LIMIT);
    let spread = client.spread(Tcp, at(target), attempts).unwrap();
    assert_eq!(spread.failed(), 0, "{spread:#?}");
    spread.backends
}
