//! A small kubelet for tests: real Pod objects become network namespaces with real servers, probes
//! and a graceful end, and the API server hears of it.
//!
//! What it runs: every container as a server on its TCP ports ([`PodServer`]; images are names
//! only), readiness, liveness and startup probes ([`probe`]), `preStop` hooks, termination within
//! the grace period. What it refuses, as a failed pod that says why: init containers, host
//! network, another `restartPolicy` than `Always`. What it doesn't do: back off between restarts,
//! mount, limit or isolate anything but the network. Programs of probes and hooks are this
//! machine's.

mod addresses;
mod binder;
mod health;
mod host;
mod node;
mod pod;
pub mod probe;

pub use binder::Binder;
pub use host::RunningPod;
pub use pod::{Identity, PodServer, Switches};

use crate::background::Background;
use crate::error::{Error, Result};
use crate::netns::Namespace;
use addresses::Addresses;
use futures_util::StreamExt as _;
use host::Host;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watching};
use kube::{Api, Client, ResourceExt as _};
use pod::Worker;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// A node, as it registers.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The Node's name.
    pub name: String,
    /// Its internal addresses, which must be configured in its namespace.
    pub addresses: Vec<IpAddr>,
    /// Ranges of its pods' addresses, one of each family at most; the first one's addresses are the
    /// pods' main ones. Others must route them to the node.
    pub pod_ranges: Vec<IpNet>,
    /// Labels besides `kubernetes.io/hostname`.
    pub labels: BTreeMap<String, String>,
}

/// The kubelet of one node. Dropping it stops its pods without grace and leaves their objects.
#[derive(Debug)]
pub struct Kubelet {
    host: Arc<Host>,
    _background: Background,
}

/// A pod's task.
#[derive(Debug)]
struct Running {
    latest: watch::Sender<Option<Arc<Pod>>>,
}

impl Kubelet {
    /// Starts in the node's namespace, from which the API server must be reachable. The node
    /// registers in the background.
    pub fn start(node: &Namespace, settings: NodeSettings, api: kube::Config) -> Result<Self> {
        let host = Arc::new(Host::new(
            settings.name.clone(),
            node.try_clone()?,
            settings.addresses.clone(),
            Addresses::new(settings.pod_ranges.clone()),
        ));
        let shared = Arc::clone(&host);
        let name = format!("kubelet {}", settings.name);
        let background = Background::start(node, &name, move || async move {
            match Client::try_from(api) {
                Ok(client) => {
                    tokio::join!(
                        node::keep(client.clone(), &settings),
                        run_pods(client, shared)
                    );
                }
                Err(error) => tracing::error!("the kubelet's client: {error}"),
            }
        })?;
        Ok(Self {
            host,
            _background: background,
        })
    }

    /// The Node's name.
    pub fn node_name(&self) -> &str {
        &self.host.name
    }

    /// Pods that run now, by namespace and name.
    pub fn pods(&self) -> BTreeMap<(String, String), RunningPod> {
        self.host.running()
    }

    /// A pod that runs now.
    pub fn pod(&self, namespace: &str, name: &str) -> Result<RunningPod> {
        let key = (namespace.to_owned(), name.to_owned());
        self.pods().remove(&key).ok_or_else(|| Error::NotInWorld {
            what: format!("running pod {namespace}/{name} on {}", self.host.name),
        })
    }

    /// Who had each address, pods that have ended included. An address comes back after 252
    /// others.
    pub fn identities(&self) -> BTreeMap<IpAddr, Identity> {
        self.host.seen()
    }
}

/// Follows the pods that are bound to this node and runs a task for each.
async fn run_pods(client: Client, host: Arc<Host>) {
    let mut running = BTreeMap::<String, Running>::new();
    let mut listed = Vec::new();
    let config = watcher::Config::default().fields(&format!("spec.nodeName={}", host.name));
    let pods: Api<Pod> = Api::all(client.clone());
    let mut events = watching(pods, config).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => {
                listed.extend(pod.uid());
                apply(&mut running, &client, &host, pod);
            }
            Ok(Event::InitDone) => running.retain(|uid, pod| {
                let stays = listed.contains(uid);
                if !stays {
                    pod.latest.send_replace(None);
                }
                stays
            }),
            Ok(Event::Apply(pod)) => apply(&mut running, &client, &host, pod),
            Ok(Event::Delete(pod)) => {
                if let Some(pod) = pod.uid().and_then(|uid| running.remove(&uid)) {
                    pod.latest.send_replace(None);
                }
            }
            Err(error) => tracing::debug!("watching the pods of {}: {error}", host.name),
        }
    }
}

fn apply(running: &mut BTreeMap<String, Running>, client: &Client, host: &Arc<Host>, pod: Pod) {
    let uid = pod.uid().unwrap_or_default();
    let pod = Arc::new(pod);
    if let Some(known) = running.get(&uid) {
        known.latest.send_replace(Some(pod));
        return;
    }
    let (latest, updates) = watch::channel(Some(pod));
    if let Some(worker) = Worker::new(Arc::clone(host), client.clone(), updates) {
        tokio::spawn(worker.run());
        running.insert(uid, Running { latest });
    }
}
