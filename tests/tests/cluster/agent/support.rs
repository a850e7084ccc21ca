//! Nodes with an agent, and what can be asked of both.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Output;

use viprule_testkit::agent::{Agent, viprule_binary};
use viprule_testkit::client::{Failure, UdpFlow};
use viprule_testkit::cluster::{
    Cluster, HEALTH_PORT, METRICS_PORT, NodeNetwork, PodNetwork, ProxyConfig, http_get, kernel,
};
use viprule_testkit::manifests::{EndpointSlice, Service, service, slice};
use viprule_testkit::server::Server;
use viprule_testkit::{Namespace, Protocol};

/// How long anything may take; machines that run other tests are slow.
pub(crate) use crate::support::LIMIT;

/// What the agent logs: what it does, nothing of what its libraries do.
pub(crate) const LOG: &str = "--log-level=info,viprule=debug,viprule_source=debug";

/// An agent on a node.
pub(crate) struct Running {
    pub(crate) agent: Agent,
    pub(crate) node: Namespace,
    pub(crate) config: PathBuf,
}

/// Starts an agent on a node and waits for its first sync.
pub(crate) fn run(cluster: &Cluster, number: usize, config: &ProxyConfig) -> Running {
    let mut running = start(cluster, number, config);
    running.wait_for_line("first sync");
    running
}

/// Starts an agent on a node.
pub(crate) fn start(cluster: &Cluster, number: usize, config: &ProxyConfig) -> Running {
    let config = cluster.write_proxy_config(number, config).unwrap();
    let node = cluster.node(number).namespace().try_clone().unwrap();
    let arg = format!("--config={}", config.display());
    let agent = Agent::start(&node, ["run", LOG, &arg]).unwrap();
    Running {
        agent,
        node,
        config,
    }
}

impl Running {
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, part: &str) -> String {
        self.agent.wait_for_line(part, LIMIT).unwrap()
    }

    /// A line that comes after the first `from` ones.
    #[track_caller]
    pub(crate) fn wait_for_line_after(&mut self, from: usize, part: &str) -> String {
        let found = self.agent.wait_for_line_after(from, part, LIMIT);
        found.unwrap().1
    }

    /// Waits while the agent runs.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, condition: impl FnMut() -> bool) {
        self.agent.wait_until(what, LIMIT, condition).unwrap();
    }

    /// Waits for rules that contain `part`, or for none that does.
    #[track_caller]
    pub(crate) fn wait_for_rules(&mut self, part: &str, wanted: bool) {
        let Self { agent, node, .. } = self;
        let what = format!("rules with {part:?}: {wanted}");
        let settled = agent.wait_until(&what, LIMIT, || rules(node).contains(part) == wanted);
        settled.unwrap();
    }

    /// Waits until `/healthz` answers with this status and a body that has `part`; the body.
    #[track_caller]
    pub(crate) fn wait_for_health(&mut self, status: u16, part: &str) -> String {
        let Self { agent, node, .. } = self;
        let mut last = (0, String::new());
        agent
            .wait_until(&format!("healthz {status} with {part:?}"), LIMIT, || {
                last = http_get(node, HEALTH_PORT, "/healthz").unwrap_or_default();
                last.0 == status && last.1.contains(part)
            })
            .unwrap_or_else(|error| panic!("{error}\nlast answer: {last:?}"));
        last.1
    }

    /// `/metrics` as it is now.
    pub(crate) fn metrics(&self) -> String {
        let (status, text) = http_get(&self.node, METRICS_PORT, "/metrics").unwrap();
        assert_eq!(status, 200, "{text}");
        text
    }

    pub(crate) fn generation(&self) -> u32 {
        kernel::generation(&self.node).unwrap()
    }

    /// Ends it as a service manager does.
    pub(crate) fn terminate(mut self) {
        let status = self.agent.terminate(LIMIT).unwrap();
        assert!(status.success(), "{status}: {:#?}", self.agent.lines());
    }
}

impl Drop for Running {
    /// A failed test shows what the agent said.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.agent.lines();
            let last = &lines[lines.len().saturating_sub(40)..];
            eprintln!("== agent on {}\n{}", self.node.name(), last.join("\n"));
        }
    }
}

/// The rules of both families, as iptables shows them.
pub(crate) fn rules(node: &Namespace) -> String {
    let save = |tool| node.command(tool).text().unwrap();
    save("iptables-nft-save") + &save("ip6tables-nft-save")
}

/// Runs viprule to its end.
pub(crate) fn viprule(node: &Namespace, args: &[&str]) -> (i32, String) {
    let program = viprule_binary().unwrap().display().to_string();
    let Output {
        status,
        stdout,
        stderr,
    } = node.command(&program).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code().unwrap_or(-1), text(&stdout) + &text(&stderr))
}

/// What is left of an answer over HTTP/1.1 when times are taken out.
pub(crate) fn ask(node: &Namespace, address: SocketAddr, path: &str) -> std::io::Result<String> {
    node.run(|| {
        let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let request = "HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
        write!(stream, "GET {path} {request}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })
    .unwrap()
}

/// A pod with servers on port 8080, TCP and UDP, of both families.
pub(crate) struct Pod {
    /// IPv4 before IPv6.
    pub(crate) addresses: [SocketAddr; 2],
    _servers: Vec<Server>,
    _network: PodNetwork,
}

impl Pod {
    /// Its IPv4 address, without a port.
    pub(crate) fn ip(&self) -> String {
        self.addresses[0].ip().to_string()
    }
}

/// A pod of a node whose addresses end in this number.
pub(crate) fn pod(node: &NodeNetwork, last: u8) -> Pod {
    let ips = node.pod_ranges().map(|range| match range.network() {
        IpAddr::V4(ip) => IpAddr::from((u32::from(ip) + u32::from(last)).to_be_bytes()),
        IpAddr::V6(ip) => IpAddr::from((u128::from(ip) + u128::from(last)).to_be_bytes()),
    });
    let network = node.add_pod(&format!("pod-{last}"), &ips).unwrap();
    let addresses = ips.map(|ip| SocketAddr::new(ip, 8080));
    let kinds = [Protocol::Tcp, Protocol::Udp];
    let kinds = kinds
        .into_iter()
        .flat_map(|kind| addresses.map(|to| (kind, to)));
    let servers = kinds.map(|(kind, to)| Server::start(network.namespace(), kind, to).unwrap());
    Pod {
        addresses,
        _servers: servers.collect(),
        _network: network,
    }
}

/// A Service of the namespace `default` at 10.1.0.N, TCP and UDP 80 to 8080.
pub(crate) fn web(name: &str, last: u8) -> Service {
    service(name)
        .cluster_ip(&format!("10.1.0.{last}"))
        .tcp("http", 80, 8080)
        .udp("dns", 80, 8080)
}

/// Its slice, without endpoints.
pub(crate) fn endpoints(name: &str) -> EndpointSlice {
    slice(&format!("{name}-1"), name)
        .tcp("http", 8080)
        .udp("dns", 8080)
}

/// Who answers a UDP client that keeps its port.
pub(crate) fn who(flow: &mut UdpFlow) -> Result<SocketAddr, Failure> {
    flow.ask().result.map(|answer| answer.backend)
}
