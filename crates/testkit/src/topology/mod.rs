//! The world of the tests: a client, the node under test, pods on it and pods on other nodes.
//!
//! ```text
//!   client .100 ──┐                         ┌── pod 10.244.0.5   (a namespace each)
//!                 ├── fabric ── node .2 ────┤      routed veth
//!   node-1 .3 ────┤   .1 (a bridge,         └── pod 10.244.0.6
//!   node-2 .4 ────┘    forwards nothing)
//!   (all their pods are addresses of one namespace)
//! ```
//!
//! The machines' network is 192.168.77.0/24 and `fd00:77::/64`, see [`address`]. Pods of the node
//! hang on routed links, not on a bridge, so that packets between two of them, or from one to
//! itself through a Service, always pass the node's IP layer. Nothing answers for an address that wasn't
//! declared: packets for it die in the fabric without a word.

pub mod address;
mod builder;
mod machine;
mod pod;
mod syns;

pub use builder::WorldBuilder;
pub(crate) use builder::{nic, write_addresses, write_via};
pub(crate) use machine::{link_up, make_router, new_machine};
pub(crate) use pod::{PodLink, wait_reachable};
pub use syns::Syns;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::netns::Namespace;
use crate::server::Server;
use crate::wire::Protocol;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// A set of wired namespaces; gone on drop.
#[derive(Debug)]
pub struct World {
    fabric: Namespace,
    client: Namespace,
    client_addresses: Vec<IpAddr>,
    node: Namespace,
    node_addresses: Vec<IpAddr>,
    remotes: [Remote; 2],
    pods: Vec<PodLink>,
    links: usize,
}

/// Another node with all of its pods.
#[derive(Debug)]
struct Remote {
    namespace: Namespace,
    pods: Vec<IpAddr>,
}

impl World {
    /// Describes a world; `WorldBuilder::build` makes it.
    pub fn builder() -> WorldBuilder {
        WorldBuilder::default()
    }

    /// The namespace of the node under test.
    pub fn node(&self) -> &Namespace {
        &self.node
    }

    /// The namespace of the client outside the cluster.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// The namespace of the switch between the machines, to watch or disturb traffic.
    pub fn fabric(&self) -> &Namespace {
        &self.fabric
    }

    /// The namespace in which `address` is configured: a pod's own, or the machine's.
    pub fn namespace_of(&self, address: IpAddr) -> Result<&Namespace> {
        if self.client_addresses.contains(&address) {
            return Ok(&self.client);
        }
        if self.node_addresses.contains(&address) {
            return Ok(&self.node);
        }
        let remote = self.remotes.iter().enumerate().find_map(|(index, remote)| {
            let own = address::remote_nodes()[index].contains(&address);
            (own || remote.pods.contains(&address)).then_some(&remote.namespace)
        });
        remote
            .or_else(|| self.find_pod(address).map(PodLink::namespace))
            .ok_or_else(|| Error::NotInWorld {
                what: format!("address {address}"),
            })
    }

    /// The namespace of the pod with this address; for a pod on another node, that node's.
    pub fn pod(&self, address: &str) -> Result<&Namespace> {
        self.namespace_of(parse(address)?)
    }

    /// A client outside the cluster.
    pub fn outside(&self) -> Client<'_> {
        Client::new(&self.client)
    }

    /// A client in the node's own network, as a host process is.
    pub fn on_node(&self) -> Client<'_> {
        Client::new(&self.node)
    }

    /// A client in a pod, with the pod's address as source.
    pub fn in_pod(&self, address: &str) -> Result<Client<'_>> {
        let address = parse(address)?;
        Ok(Client::new(self.namespace_of(address)?).from_address(address))
    }

    /// Starts a server at `address:port`, in the namespace that has the address.
    pub fn serve(&self, protocol: Protocol, address: &str) -> Result<Server> {
        let address: SocketAddr = address.parse().map_err(|_| Error::Address {
            what: format!("{address:?}"),
            why: "it is no address and port, such as 10.244.0.5:80".to_owned(),
        })?;
        Server::start(self.namespace_of(address.ip())?, protocol, address)
    }

    /// Starts one server for each `address:port`.
    pub fn serve_all<'s>(
        &self,
        protocol: Protocol,
        addresses: impl IntoIterator<Item = &'s str>,
    ) -> Result<Vec<Server>> {
        addresses
            .into_iter()
            .map(|address| self.serve(protocol, address))
            .collect()
    }

    /// Adds a pod: one address, or one of each family with a comma between. The address says on
    /// which node it runs.
    pub fn add_pod(&mut self, addresses: &str) -> Result<()> {
        let addresses = addresses
            .split(',')
            .map(parse)
            .collect::<Result<Vec<_>>>()?;
        self.add_pods(&[addresses])
    }

    /// Removes a pod of the node under test, link and routes included. Its servers stay cut off
    /// until they are dropped.
    pub fn remove_pod(&mut self, address: &str) -> Result<()> {
        let address = parse(address)?;
        let index = self.pods.iter().position(|pod| pod.has(address));
        let index = index.ok_or_else(|| Error::NotInWorld {
            what: format!("pod {address} on the node"),
        })?;
        self.pods.remove(index).cut()
    }

    fn find_pod(&self, address: IpAddr) -> Option<&PodLink> {
        self.pods.iter().find(|pod| pod.has(address))
    }

    /// Adds pods with as few programs as possible: one for each other node, one for this node, one
    /// for each pod on it.
    fn add_pods(&mut self, pods: &[Vec<IpAddr>]) -> Result<()> {
        let mut on_node = String::new();
        let mut on_remote = [String::new(), String::new()];
        for addresses in pods {
            let place = place_of(addresses)?;
            if let Some(taken) = addresses.iter().find(|ip| self.namespace_of(**ip).is_ok()) {
                return Err(Error::Address {
                    what: taken.to_string(),
                    why: "it is in this world already".to_owned(),
                });
            }
            if let Some(remote) = place {
                for ip in addresses {
                    let _ = writeln!(on_remote[remote], "addr add {ip} dev lo");
                    self.remotes[remote].pods.push(*ip);
                }
            } else {
                let device = format!("veth{}", self.links);
                self.links += 1;
                let pairs = addresses
                    .iter()
                    .map(|ip| (*ip, address::pod_gateway(ip.is_ipv6())))
                    .collect();
                let pod = PodLink::new(&format!("pod {}", addresses[0]), device, pairs)?;
                on_node.push_str(&pod.node_batch());
                self.pods.push(pod);
            }
        }
        for (remote, batch) in self.remotes.iter().zip(&on_remote) {
            if !batch.is_empty() {
                remote.namespace.ip([batch])?;
            }
        }
        if !on_node.is_empty() {
            self.node.ip([on_node])?;
            let local = pods
                .iter()
                .filter_map(|addresses| self.find_pod(addresses[0]));
            for pod in local {
                pod.configure()?;
            }
        }
        wait_reachable(&self.node, &pods.concat())
    }
}

/// The other node (0 or 1) whose pod range holds the addresses, `None` for the node under test.
fn place_of(addresses: &[IpAddr]) -> Result<Option<usize>> {
    let place = |ip: &IpAddr| {
        let ranges = address::pod_ranges();
        let index = ranges
            .iter()
            .position(|range| range.iter().any(|net| net.contains(ip)));
        index
            .filter(|_| !address::is_pod_gateway(*ip))
            .ok_or_else(|| Error::Address {
                what: ip.to_string(),
                why: format!("a pod's address is in one of {ranges:?} and not a node's own"),
            })
    };
    let first = addresses.first().ok_or_else(|| Error::Address {
        what: "a pod without addresses".to_owned(),
        why: "nobody could reach it".to_owned(),
    })?;
    let node = place(first)?;
    for other in &addresses[1..] {
        if place(other)? != node {
            return Err(Error::Address {
                what: format!("{addresses:?}"),
                why: "a pod runs on one node".to_owned(),
            });
        }
    }
    Ok(node.checked_sub(1))
}

/// `ip addr add` argument of a single address, usable at once.
fn host(ip: IpAddr) -> String {
    if ip.is_ipv6() {
        format!("{ip}/128 nodad")
    } else {
        format!("{ip}/32")
    }
}

/// `ip route add` argument of a single address.
fn host_route(ip: IpAddr) -> String {
    format!("{ip}/{}", if ip.is_ipv6() { 128 } else { 32 })
}

fn parse(text: &str) -> Result<IpAddr> {
    text.trim().parse().map_err(|_| Error::Address {
        what: format!("{text:?}"),
        why: "it is no IP address".to_owned(),
    })
}
