//! A cluster with Services in use.

use super::at;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::agent::Agent;
use viprule_testkit::client::{KeepAlive, Load, RunningLoad};
use viprule_testkit::cluster::{Cluster, HEALTH_PORT, PodNetwork, Proxy, http_get, kernel};
use viprule_testkit::dump::Dump;
use viprule_testkit::manifests::{service, slice};
use viprule_testkit::server::Server;
use viprule_testkit::{LIMIT, Namespace};

/// Connections at a time, where a machine is too slow for a load.
const UNDER_WAY: usize = 64;

/// Services `web-71` and on; each has an endpoint on both nodes.
const SERVICES: [(u16, &str, [&str; 2]); 4] = [
    (71, "10.1.0.71", ["10.244.0.71", "10.244.1.71"]),
    (72, "10.1.0.72", ["10.244.0.72", "10.244.1.72"]),
    (73, "10.1.0.73", ["10.244.0.73", "10.244.1.73"]),
    (
        74,
        "fd00:10:1::74",
        ["fd00:10:244::74", "fd00:10:244:1::74"],
    ),
];

/// Where they are reached through node-0.
const TARGETS: [&str; 8] = [
    "10.1.0.71:80",
    "192.168.77.2:30071",
    "10.1.0.72:80",
    "192.168.77.2:30072",
    "10.1.0.73:80",
    "192.168.77.2:30073",
    "[fd00:10:1::74]:80",
    "[fd00:77::2]:30074",
];

/// Chains in which each packet has at most one rule.
const DISPATCH: [&str; 4] = [
    "KUBE-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-PROXY-FIREWALL",
];

/// A cluster of two nodes; the proxy under test runs on node-0.
#[derive(Debug)]
pub(crate) struct Stage {
    _servers: Vec<Server>,
    _pods: Vec<PodNetwork>,
    pub(crate) cluster: Cluster,
    config: PathBuf,
    // The turn ends when everything else is gone.
    _turn: File,
}

impl Stage {
    /// Services and their endpoints are in the API server, servers run, no proxy does.
    pub(crate) fn new() -> Self {
        let turn = turn();
        let cluster = Cluster::start(2).unwrap();
        let api = cluster.api().unwrap();
        let (mut pods, mut servers) = (Vec::new(), Vec::new());
        for (number, ip, endpoints) in SERVICES {
            let name = format!("web-{number}");
            let object = service(&name).cluster_ip(ip).tcp("", 80, 8080);
            api.apply(object.node_port(30_000 + number).json()).unwrap();
            write_endpoints(&cluster, &name, &endpoints);
            for (node, endpoint) in endpoints.into_iter().enumerate() {
                let ip: IpAddr = endpoint.parse().unwrap();
                let pod = cluster.node(node).add_pod(endpoint, &[ip]).unwrap();
                servers.push(Server::start(pod.namespace(), Tcp, (ip, 8080).into()).unwrap());
                pods.push(pod);
            }
        }
        let config = cluster.proxy_config(0).unwrap();
        let config = cluster.write_proxy_config(0, &config).unwrap();
        Self {
            _servers: servers,
            _pods: pods,
            cluster,
            config,
            _turn: turn,
        }
    }

    /// Makes these the only endpoints of the Service `web-71`.
    pub(crate) fn write_endpoints(&self, endpoints: &[&str]) {
        write_endpoints(&self.cluster, "web-71", endpoints);
    }

    /// The namespace of the node under test.
    pub(crate) fn node(&self) -> &Namespace {
        self.cluster.node(0).namespace()
    }

    /// The proxy's configuration file.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// Starts a proxy and waits for nothing.
    pub(crate) fn start(&self, proxy: Proxy) -> Agent {
        proxy.start(self.node(), &self.config).unwrap()
    }

    /// Starts a proxy and waits until every Service answers and the proxy says that it is healthy.
    #[track_caller]
    pub(crate) fn run(&self, proxy: Proxy) -> Agent {
        let mut agent = self.start(proxy);
        self.wait_healthy(&mut agent);
        self.wait_answers(&mut agent);
        agent
    }

    /// Waits until every Service answers.
    #[track_caller]
    pub(crate) fn wait_answers(&self, agent: &mut Agent) {
        let client = self.cluster.outside().timeout(Duration::from_secs(3));
        for target in TARGETS {
            let answers = || client.tcp(at(target)).unwrap().is_answered();
            agent
                .wait_until(&format!("an answer of {target}"), LIMIT, answers)
                .unwrap();
        }
    }

    /// Waits until a proxy's /healthz says 200.
    #[track_caller]
    pub(crate) fn wait_healthy(&self, agent: &mut Agent) {
        let healthy = || matches!(http_get(self.node(), HEALTH_PORT, "/healthz"), Ok((200, _)));
        agent
            .wait_until("/healthz to say 200", LIMIT, healthy)
            .unwrap();
    }

    /// Begins `rate` connections a second from outside, to all Services.
    pub(crate) fn load(&self, rate: u32) -> RunningLoad {
        Load::new(rate, TARGETS.map(at))
            .timeout(LIMIT)
            .at_most(UNDER_WAY)
            .start(self.cluster.network().client())
            .unwrap()
    }

    /// Opens a connection to each Service.
    pub(crate) fn open(&self) -> Vec<KeepAlive> {
        let client = self.cluster.outside().timeout(LIMIT);
        TARGETS
            .map(|target| client.keep_alive(at(target)).unwrap().unwrap())
            .into()
    }

    /// The node's rules, both families. Rules that only dispatch are sorted: kube-proxy writes them
    /// in another order each time.
    pub(crate) fn dumps(&self) -> [Dump; 2] {
        let mut dumps = kernel::dumps(self.node()).unwrap();
        for table in dumps.iter_mut().flat_map(|dump| dump.tables.values_mut()) {
            for name in DISPATCH {
                if let Some(chain) = table.chains.get_mut(name) {
                    chain.rules.sort_unstable();
                }
            }
        }
        dumps
    }

    /// Waits until the node's rules are right by `condition`; how long that took.
    #[track_caller]
    pub(crate) fn wait_rules(
        &self,
        agent: &mut Agent,
        what: &str,
        condition: impl Fn(&[Dump; 2]) -> bool,
    ) -> Duration {
        agent
            .wait_until(what, LIMIT, || condition(&self.dumps()))
            .unwrap()
    }

    /// The node's rules once they have been the same for longer than kube-proxy waits from one sync
    /// to the next, 1 s.
    pub(crate) fn settled(&self) -> [Dump; 2] {
        let mut rules = self.dumps();
        loop {
            sleep(Duration::from_millis(1_500));
            let now = self.dumps();
            if now == rules {
                return now;
            }
            rules = now;
        }
    }

    /// Waits until the node's rules are these again; how long that took.
    #[track_caller]
    pub(crate) fn wait_same(&self, agent: &mut Agent, rules: &[Dump; 2]) -> Duration {
        let same = || self.dumps() == *rules;
        agent
            .wait_until("the rules of before", LIMIT, same)
            .unwrap_or_else(|error| {
                let now = self.dumps();
                let differences: Vec<_> = rules
                    .iter()
                    .zip(&now)
                    .flat_map(|(before, now)| before.differences(now))
                    .collect();
                panic!("{error}\n{differences:#?}")
            })
    }
}

fn write_endpoints(cluster: &Cluster, name: &str, endpoints: &[&str]) {
    let start = slice(&format!("{name}-1"), name).tcp("", 8080);
    let slice = endpoints.iter().fold(start, |slice, endpoint| {
        let second = endpoint.starts_with("10.244.1.") || endpoint.starts_with("fd00:10:244:1:");
        slice.ready(endpoint, if second { "node-1" } else { "node-0" })
    });
    cluster.api().unwrap().apply(slice.json()).unwrap();
}

/// A turn on the machine: clusters under load run one at a time. A lock on a file also holds
/// between processes, as test runners other than cargo make them.
pub(crate) fn turn() -> File {
    let file = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster.lock")).unwrap();
    file.lock().unwrap();
    file
}

/// Whether a family's rules lead to this endpoint.
pub(crate) fn leads_to(dump: &Dump, endpoint: &str) -> bool {
    dump.to_string()
        .contains(&format!("--to-destination {endpoint}:8080"))
}
