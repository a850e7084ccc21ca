//! The wires of a cluster.
//!
//! ```text
//!   client .100 ────────┐              ┌── node-0 .2 ── pods 10.244.0.0/24 (a namespace each)
//!                       ├── fabric ────┤
//!   control plane .10 ──┘              └── node-1 .3 ── pods 10.244.1.0/24
//! ```
//!
//! Unlike in a [`World`](crate::World), every node is a router with pods of its own.

use crate::error::{Error, Result};
use crate::netns::Namespace;
use crate::topology::{
    PodLink, address, make_router, new_machine, nic, wait_reachable, write_addresses, write_via,
};
use ipnet::IpNet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The control plane's machine.
pub const CONTROL_PLANE: [IpAddr; 2] = address::machine(10);

/// How many nodes have a pod range, see [`address::pod_ranges`].
const MOST_NODES: usize = 3;

/// The machines of a cluster, wired.
#[derive(Debug)]
pub struct Network {
    /// The switch; it lives as long as the ports on it.
    fabric: Namespace,
    control_plane: Namespace,
    client: Namespace,
    nodes: Vec<NodeNetwork>,
}

/// A node's machine.
#[derive(Debug)]
pub struct NodeNetwork {
    number: usize,
    namespace: Namespace,
    links: AtomicUsize,
}

/// A pod's network: a namespace with addresses and a link to its node. The link goes on drop.
#[derive(Debug)]
pub struct PodNetwork {
    link: PodLink,
    addresses: Vec<IpAddr>,
}

impl Network {
    /// Wires a control plane, a client and 1 to 3 nodes.
    pub fn new(nodes: usize) -> Result<Self> {
        if !(1..=MOST_NODES).contains(&nodes) {
            return Err(Error::Address {
                what: format!("a cluster of {nodes} nodes"),
                why: format!("there are pod ranges for 1 to {MOST_NODES}"),
            });
        }
        let network = Self {
            fabric: new_machine("fabric")?,
            control_plane: new_machine("control plane")?,
            client: new_machine("client")?,
            nodes: (0..nodes)
                .map(NodeNetwork::new)
                .collect::<Result<Vec<_>>>()?,
        };
        network.wire()?;
        let machines = [address::CLIENT, CONTROL_PLANE].into_iter();
        let all: Vec<_> = machines
            .chain(network.nodes.iter().map(NodeNetwork::addresses))
            .flatten()
            .collect();
        for node in &network.nodes {
            wait_reachable(&node.namespace, &all)?;
        }
        Ok(network)
    }

    /// The control plane's namespace.
    pub fn control_plane(&self) -> &Namespace {
        &self.control_plane
    }

    /// The namespace of a client outside the cluster. What it doesn't know goes to node-0.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// The nodes, by number.
    pub fn nodes(&self) -> &[NodeNetwork] {
        &self.nodes
    }

    fn wire(&self) -> Result<()> {
        let mut fabric =
            "link add br0 type bridge forward_delay 0 mcast_snooping 0\nlink set br0 up\n"
                .to_owned();
        write_addresses(&mut fabric, address::FABRIC, "br0");
        fabric.push_str("route add blackhole 0.0.0.0/0\nroute add blackhole ::/0\n");
        let machines = [&self.client, &self.control_plane].into_iter();
        for (port, machine) in machines
            .chain(self.nodes.iter().map(|node| &node.namespace))
            .enumerate()
        {
            let _ = writeln!(
                fabric,
                "link add port{port} type veth peer name eth0 netns {}\n\
                 link set port{port} master br0 up",
                machine.path().display()
            );
        }
        self.fabric.ip([fabric])?;
        self.client
            .ip([nic(address::CLIENT, self.nodes[0].addresses())])?;
        self.control_plane
            .ip([nic(CONTROL_PLANE, address::FABRIC)])?;
        for node in &self.nodes {
            let mut batch = nic(node.addresses(), address::FABRIC);
            for other in self
                .nodes
                .iter()
                .filter(|other| other.number != node.number)
            {
                for range in other.pod_ranges() {
                    write_via(&mut batch, &range.to_string(), other.addresses());
                }
            }
            node.namespace.ip([batch])?;
        }
        Ok(())
    }
}

impl NodeNetwork {
    fn new(number: usize) -> Result<Self> {
        let namespace = new_machine(&name(number))?;
        make_router(&namespace)?;
        Ok(Self {
            number,
            namespace,
            links: AtomicUsize::new(0),
        })
    }

    /// The node's name, `node-N`.
    pub fn name(&self) -> String {
        name(self.number)
    }

    /// Its addresses, IPv4 before IPv6.
    pub fn addresses(&self) -> [IpAddr; 2] {
        let [one, two] = address::remote_nodes();
        [address::NODE, one, two][self.number]
    }

    /// Its pods' ranges, IPv4 before IPv6. The first address of each is the node's own.
    pub fn pod_ranges(&self) -> [IpNet; 2] {
        address::pod_ranges()[self.number]
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Makes a namespace with these addresses of the node's pod ranges and links it to the node.
    /// It is reachable when this returns. May be called by several threads at once.
    pub fn add_pod(&self, name: &str, addresses: &[IpAddr]) -> Result<PodNetwork> {
        let ranges = self.pod_ranges();
        let gateways = self.gateways();
        let stranger = addresses
            .iter()
            .find(|ip| gateways.contains(ip) || !ranges.iter().any(|range| range.contains(*ip)));
        if let Some(ip) = stranger {
            return Err(Error::Address {
                what: format!("{ip} of pod {name}"),
                why: format!("pods of {} are in {ranges:?}", self.name()),
            });
        }
        let device = format!("veth{}", self.links.fetch_add(1, Ordering::Relaxed));
        let pairs = addresses
            .iter()
            .map(|ip| (*ip, gateways[usize::from(ip.is_ipv6())]));
        let name = format!("pod {name}");
        let link = PodLink::attach(&self.namespace, &name, device, pairs.collect())?;
        Ok(PodNetwork {
            link,
            addresses: addresses.to_vec(),
        })
    }

    fn gateways(&self) -> [IpAddr; 2] {
        // At most three nodes.
        address::pod_gateways(u8::try_from(self.number).unwrap_or_default())
    }
}

impl PodNetwork {
    /// The pod's namespace.
    pub fn namespace(&self) -> &Namespace {
        self.link.namespace()
    }

    /// Its addresses, in the order in which they were given.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }
}

impl Drop for PodNetwork {
    fn drop(&mut self) {
        // The link would stay for as long as a socket or a process is left inside. Fails only if
        // the node took it along.
        let _ = self.link.cut();
    }
}

fn name(number: usize) -> String {
    format!("node-{number}")
}
