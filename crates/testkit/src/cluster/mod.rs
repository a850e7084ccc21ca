//! A real cluster in namespaces: etcd, kube-apiserver and kube-controller-manager on one machine,
//! nodes with pods, a client outside, and on each node viprule or kube-proxy.
//!
//! The programs are those that `scripts/components` builds. Every cluster is in namespaces of its
//! own, so that several can run at the same time, with the same addresses and ports.

mod api;
mod components;
mod config;
mod control_plane;
pub mod kernel;
mod network;
mod proxy;
mod users;

pub use api::Api;
pub use components::{Components, VARIABLE};
pub use config::client_config;
pub use control_plane::{API_PORT, CONTROLLERS, ControlPlane, SERVICE_RANGES, Snapshot};
/// The types of objects for [`Api`].
pub use k8s_openapi;
pub use network::{CONTROL_PLANE, Network, NodeNetwork, PodNetwork};
pub use proxy::{HEALTH_PORT, METRICS_PORT, Proxy, ProxyConfig, http_get};
pub use users::User;

use crate::agent::Agent;
use crate::client::Client;
use crate::error::Result;
use crate::manifests::{Node, node};
use crate::netns::require_privileges;
use std::path::PathBuf;

/// A control plane and its nodes. Objects of the nodes exist; no proxy and no controller runs.
#[derive(Debug)]
pub struct Cluster {
    // Dropped first: processes end before their namespaces go.
    control_plane: ControlPlane,
    network: Network,
}

impl Cluster {
    /// Starts a cluster of 1 to 3 nodes, `node-0` and on; each is in a zone of its own, `zone-N`.
    /// Takes about 4 s.
    pub fn start(nodes: usize) -> Result<Self> {
        require_privileges()?;
        let network = Network::new(nodes)?;
        let control_plane = ControlPlane::start(network.control_plane(), CONTROL_PLANE[0])?;
        for (number, machine) in network.nodes().iter().enumerate() {
            let object = node_object(machine).zone(&format!("zone-{number}"));
            control_plane.api()?.apply(object.json())?;
        }
        Ok(Self {
            control_plane,
            network,
        })
    }

    /// The admin's client.
    pub fn api(&self) -> Result<&Api> {
        self.control_plane.api()
    }

    /// etcd, kube-apiserver and kube-controller-manager.
    pub fn control_plane(&mut self) -> &mut ControlPlane {
        &mut self.control_plane
    }

    /// Machines and wires.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// A node's machine; nodes are numbered from 0.
    pub fn node(&self, number: usize) -> &NodeNetwork {
        &self.network.nodes()[number]
    }

    /// A client outside the cluster.
    pub fn outside(&self) -> Client<'_> {
        Client::new(self.network.client())
    }

    /// Writes a user's kubeconfig; its path, which is the same each time.
    pub fn kubeconfig(&self, user: User) -> Result<PathBuf> {
        self.control_plane.kubeconfig(user)
    }

    /// The configuration of a node's proxy; see [`ProxyConfig::set`] for changes.
    pub fn proxy_config(&self, number: usize) -> Result<ProxyConfig> {
        let kubeconfig = self.control_plane.kubeconfig(User::KubeProxy)?;
        Ok(ProxyConfig::new(&kubeconfig, &self.node(number).name()))
    }

    /// Writes a node's configuration; its path, which is the same for every proxy on the node.
    pub fn write_proxy_config(&self, number: usize, config: &ProxyConfig) -> Result<PathBuf> {
        let name = format!("{}.kube-proxy.yaml", self.node(number).name());
        config.write(self.control_plane.folder(), &name)
    }

    /// Starts a proxy on a node with [`Self::proxy_config`] and waits for nothing.
    pub fn start_proxy(&self, number: usize, proxy: Proxy) -> Result<Agent> {
        let config = self.write_proxy_config(number, &self.proxy_config(number)?)?;
        proxy.start(self.node(number).namespace(), &config)
    }
}

/// A node's object: addresses, pod ranges, hostname label.
pub fn node_object(machine: &NodeNetwork) -> Node {
    let object = machine
        .pod_ranges()
        .iter()
        .fold(node(&machine.name()), |object, range| {
            object.pod_cidr(&range.to_string())
        });
    machine
        .addresses()
        .iter()
        .fold(object, |object, ip| object.internal_ip(&ip.to_string()))
}
