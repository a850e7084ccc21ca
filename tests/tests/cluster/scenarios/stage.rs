//! The cluster that all scenarios share.

use super::App;
use super::report::Report;
use crate::support::{LIMIT, turn};
use serde_json::json;
use std::collections::BTreeSet;
use std::env;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::agent::Agent;
use viprule_testkit::cluster::{Api, CONTROLLERS, Cluster, Proxy, User, client_config};
use viprule_testkit::k8s_openapi::api::core::v1::{Node, Pod};
use viprule_testkit::kubelet::{Binder, Identity, Kubelet, NodeSettings, RunningPod};
use viprule_testkit::programmed::{EndpointWatch, RuleWatch, Transition};
use viprule_testkit::{Mode, Namespace};

/// The names of the nodes' proxies, `viprule` or `kube-proxy`: of the two nodes with pods and
/// traffic, and of those that are only there to be measured beside them.
const VARIABLE: &str = "VIPRULE_PROXIES";
const DEFAULT: &str = "viprule,viprule,kube-proxy";
/// Nodes with pods and traffic.
const NODES: usize = 2;

/// A cluster of two nodes with kubelets and proxies and perhaps one with a proxy only, and a pod to
/// connect from.
#[derive(Debug)]
pub(crate) struct Stage {
    // Dropped in this order: nobody's API server goes before them.
    client_pod: RunningPod,
    _binder: Binder,
    kubelets: [Kubelet; NODES],
    proxies: Vec<(Proxy, Agent)>,
    rules: Vec<RuleWatch>,
    endpoints: EndpointWatch,
    cluster: Cluster,
}

/// The stage for as long as it is one's turn.
#[derive(Debug)]
pub(crate) struct Turn {
    stage: Arc<Stage>,
    // The turn ends after the stage.
    _turn: File,
}

impl Deref for Turn {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

/// Plays a scenario with an app of its own, prints what became of its connections and fails if one
/// failed.
#[track_caller]
pub(crate) fn play(name: &str, scenario: impl Fn(&Stage, &App<'_>) -> Report) {
    let stage = Stage::enter();
    let started = Instant::now();
    let app = App::new(&stage, name);
    let report = scenario(&stage, &app);
    drop(app);
    report.print(name, started);
    if let Err(why) = report.verdict() {
        panic!("{name}: {why}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (number, (proxy, agent)) in self.proxies.iter().enumerate() {
                eprintln!("== {} on node {number}", proxy.name());
                for line in agent.lines() {
                    eprintln!("{line}");
                }
            }
        }
    }
}

/// Starts a proxy in the mode of this run.
fn start(cluster: &Cluster, number: usize, proxy: Proxy) -> Agent {
    let config = cluster.proxy_config(number).unwrap();
    let config = config.set("/mode", Mode::of_this_run().to_string());
    let config = config.set(
        "/nftables",
        json!({ "minSyncPeriod": "0s", "syncPeriod": "30s" }),
    );
    let config = cluster.write_proxy_config(number, &config).unwrap();
    proxy
        .start(cluster.node(number).namespace(), &config)
        .unwrap()
}

impl Stage {
    /// Waits for a turn on the stage. Who waits keeps it for the others; it goes with its last
    /// user, and who is the first makes it.
    pub(crate) fn enter() -> Turn {
        static SHARED: Mutex<Weak<Stage>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let (stage, turn) = if let Some(stage) = shared.upgrade() {
            drop(shared);
            (stage, turn())
        } else {
            // Others wait for the stage here, and then for their turn with the stage in hand.
            let turn = turn();
            let stage = Arc::new(Self::new(&proxies()));
            *shared = Arc::downgrade(&stage);
            (stage, turn)
        };
        Turn { stage, _turn: turn }
    }

    fn new(proxies: &[Proxy]) -> Self {
        let mut cluster = Cluster::start(proxies.len()).unwrap();
        cluster
            .control_plane()
            .start_controllers(&CONTROLLERS)
            .unwrap();
        let kubeconfig = cluster.control_plane().kubeconfig(User::Admin).unwrap();
        let config = client_config(&kubeconfig).unwrap();
        let outside = cluster.network().control_plane();
        let endpoints = EndpointWatch::start(outside, config.clone()).unwrap();
        let binder = Binder::start(outside, config.clone()).unwrap();
        let numbers = 0..proxies.len();
        let rules = numbers.map(|node| RuleWatch::start(cluster.node(node).namespace()).unwrap());
        let rules = rules.collect();
        let kubelets = [0, 1].map(|number| {
            let node = cluster.node(number);
            let settings = NodeSettings {
                name: node.name(),
                addresses: node.addresses().to_vec(),
                pod_ranges: node.pod_ranges().to_vec(),
                labels: [].into(),
            };
            Kubelet::start(node.namespace(), settings, config.clone()).unwrap()
        });
        let proxies = proxies.iter().enumerate();
        let proxies = proxies
            .map(|(number, proxy)| (*proxy, start(&cluster, number, *proxy)))
            .collect();
        let client_pod = client_pod(&cluster, &kubelets[0]);
        Self {
            client_pod,
            _binder: binder,
            kubelets,
            proxies,
            rules,
            endpoints,
            cluster,
        }
    }

    pub(crate) fn api(&self) -> &Api {
        self.cluster.api().unwrap()
    }

    /// Waits until the API server says so.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&Api) -> Option<bool>) {
        let asked = |api: &Api| Ok(condition(api).unwrap_or(false));
        if let Err(error) = self.api().wait_until(what, LIMIT, asked) {
            panic!("{error}\n{}", self.situation());
        }
    }

    /// A client outside the cluster is here.
    pub(crate) fn outside(&self) -> &Namespace {
        self.cluster.network().client()
    }

    /// A node, as its host processes see it.
    pub(crate) fn node(&self, number: usize) -> &Namespace {
        self.cluster.node(number).namespace()
    }

    /// A node's IPv4 address.
    pub(crate) fn node_address(&self, number: usize) -> IpAddr {
        self.cluster.node(number).addresses()[0]
    }

    /// A pod on node-0 that is no endpoint of any Service.
    pub(crate) fn client_pod(&self) -> &RunningPod {
        &self.client_pod
    }

    /// A pod of the default namespace that runs now, wherever it is.
    #[track_caller]
    pub(crate) fn pod(&self, name: &str) -> RunningPod {
        let mut kubelets = self.kubelets.iter();
        kubelets
            .find_map(|kubelet| kubelet.pod("default", name).ok())
            .unwrap_or_else(|| panic!("pod {name} doesn't run"))
    }

    /// Who has or had an address.
    #[track_caller]
    pub(crate) fn identity(&self, address: SocketAddr) -> Identity {
        let mut kubelets = self.kubelets.iter();
        kubelets
            .find_map(|kubelet| kubelet.identities().remove(&address.ip()))
            .unwrap_or_else(|| panic!("{address} was never a pod's"))
    }

    /// Keeps new pods from a node, or ceases to.
    pub(crate) fn cordon(&self, node: usize, cordoned: bool) {
        let name = self.cluster.node(node).name();
        let patch = serde_json::json!({ "spec": { "unschedulable": cordoned } });
        self.api().patch::<Node>(&name, patch).unwrap();
    }

    /// Evicts a pod of the default namespace.
    pub(crate) fn evict(&self, pod: &str) {
        self.api().evict(&format!("default/{pod}")).unwrap();
    }

    /// Transitions of endpoints in the API, and in each node's kernel with the name of its proxy.
    pub(super) fn watches(&self) -> (&EndpointWatch, Vec<(&'static str, &RuleWatch)>) {
        let names = self.proxies.iter().map(|(proxy, _)| proxy.name());
        (&self.endpoints, names.zip(&self.rules).collect())
    }

    /// Waits until every kernel uses just the endpoints of an app that the API says, those of nodes
    /// without traffic too. False if that takes longer than `patience`.
    pub(super) fn caught_up(&self, app: &str, patience: Duration) -> bool {
        let start = Instant::now();
        let wanted = || in_use(app, self.endpoints.transitions());
        let made = |rules: &RuleWatch| in_use(app, rules.transitions().unwrap());
        while !self.rules.iter().all(|rules| made(rules) == wanted()) {
            if start.elapsed() > patience {
                return false;
            }
            sleep(Duration::from_millis(20));
        }
        true
    }

    /// Waits until so many endpoints of an app are in use, as the API says and in every kernel.
    #[track_caller]
    pub(super) fn wait_in_use(&self, app: &str, count: usize) {
        let start = Instant::now();
        let told = || in_use(app, self.endpoints.transitions());
        while told().len() != count || !self.caught_up(app, LIMIT) {
            let told = told();
            assert!(start.elapsed() < LIMIT, "not {count} of {app}: {told:?}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Pods and the proxies' last lines, for messages.
    fn situation(&self) -> String {
        const SHOWN: usize = 15;
        let pods = self.api().list::<Pod>("").unwrap_or_default();
        let pods = pods.iter().map(|pod| {
            let status = pod.status.clone().unwrap_or_default();
            let phase = status.phase.unwrap_or_default();
            let name = pod.metadata.name.clone().unwrap_or_default();
            let why = status.message.unwrap_or_default();
            format!("{name} {phase} {why}")
        });
        let mut lines: Vec<_> = pods.collect();
        for (proxy, agent) in &self.proxies {
            let log = agent.lines();
            lines.push(format!("== {}", proxy.name()));
            lines.extend_from_slice(&log[log.len().saturating_sub(SHOWN)..]);
        }
        lines.join("\n")
    }
}

/// The endpoints of an app's Service that are in use after these transitions.
fn in_use(app: &str, transitions: Vec<Transition>) -> BTreeSet<String> {
    let prefix = format!("default/{app}:");
    let mut endpoints = BTreeSet::new();
    for it in transitions {
        if !it.used {
            endpoints.remove(&it.endpoint);
        } else if it.endpoint.starts_with(&prefix) {
            endpoints.insert(it.endpoint);
        }
    }
    endpoints
}

/// Runs a pod that does nothing but be somewhere.
fn client_pod(cluster: &Cluster, kubelet: &Kubelet) -> RunningPod {
    let api = cluster.api().unwrap();
    let pod = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "client", "namespace": "default" },
        "spec": {
            "nodeName": kubelet.node_name(),
            "automountServiceAccountToken": false,
            "containers": [{ "name": "client", "image": "client" }],
        },
    });
    // The namespace is made by the API server in its own time.
    api.wait_until("a pod to connect from", LIMIT, |api| {
        api.apply(&pod).map(|()| true)
    })
    .unwrap();
    api.wait_until("the pod to connect from to run", LIMIT, |_| {
        kubelet.pod("default", "client").map(|_| true)
    })
    .unwrap();
    kubelet.pod("default", "client").unwrap()
}

fn proxies() -> Vec<Proxy> {
    let names = env::var(VARIABLE).unwrap_or_else(|_| DEFAULT.to_owned());
    let proxies: Vec<_> = names
        .split(',')
        .map(|name| {
            let all = [Proxy::Viprule, Proxy::KubeProxy];
            let found = all.into_iter().find(|proxy| proxy.name() == name.trim());
            found.unwrap_or_else(|| panic!("{VARIABLE}={names}: {name} is no proxy"))
        })
        .collect();
    assert!(
        proxies.len() >= NODES,
        "{VARIABLE}={names} isn't {NODES} names or more with commas between"
    );
    proxies
}
