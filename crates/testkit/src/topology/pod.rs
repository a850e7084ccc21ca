//! How a pod hangs on its node.

use super::machine::{link_up, new_machine};
use super::{host, host_route};
use crate::LIMIT;
use crate::client::{Client, Failure};
use crate::error::{Error, Result};
use crate::netns::Namespace;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

/// A pod's namespace and its routed link to the node.
#[derive(Debug)]
pub(crate) struct PodLink {
    namespace: Namespace,
    /// The link's name on the node; in the pod it is `eth0`.
    device: String,
    /// The pod's addresses, each with the node's own on this link, which is the pod's gateway.
    addresses: Vec<(IpAddr, IpAddr)>,
}

impl PodLink {
    /// Makes the namespace. The link isn't there yet.
    pub(super) fn new(
        name: &str,
        device: String,
        addresses: Vec<(IpAddr, IpAddr)>,
    ) -> Result<Self> {
        Ok(Self {
            namespace: new_machine(name)?,
            device,
            addresses,
        })
    }

    /// Makes the namespace and wires it to `node`, and waits until both reach each other.
    pub(crate) fn attach(
        node: &Namespace,
        name: &str,
        device: String,
        addresses: Vec<(IpAddr, IpAddr)>,
    ) -> Result<Self> {
        let pod = Self::new(name, device, addresses)?;
        node.ip([pod.node_batch()])?;
        pod.configure()?;
        let own: Vec<_> = pod.addresses.iter().map(|(own, _)| *own).collect();
        wait_reachable(node, &own)?;
        Ok(pod)
    }

    /// Where the pod's processes are.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Whether this is one of the pod's addresses.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, _)| *own == address)
    }

    /// Removes the link, routes included.
    pub(crate) fn cut(&self) -> Result<()> {
        self.namespace.ip(["link del eth0"])
    }

    /// Lines for `ip -batch` on the node that make the link.
    pub(super) fn node_batch(&self) -> String {
        let (device, path) = (&self.device, self.namespace.path());
        let mut batch = format!(
            "link add {device} type veth peer name eth0 netns {}\n",
            path.display()
        );
        batch.push_str(&link_up(device));
        for (own, gateway) in &self.addresses {
            let _ = writeln!(batch, "addr add {} dev {device}", host(*gateway));
            let _ = writeln!(batch, "route add {} dev {device}", host_route(*own));
        }
        batch
    }

    /// The pod's side of the link.
    pub(super) fn configure(&self) -> Result<()> {
        let mut batch = link_up("eth0");
        for (own, gateway) in &self.addresses {
            let _ = writeln!(batch, "addr add {} dev eth0", host(*own));
            let _ = writeln!(batch, "route add {} dev eth0", host_route(*gateway));
            let _ = writeln!(batch, "route add default via {gateway} dev eth0");
        }
        self.namespace.ip([batch])
    }
}

/// Waits until `node` reaches these addresses and they reach it. The kernel puts new links into
/// service in its own time, up to a second later if many come up at once.
pub(crate) fn wait_reachable(node: &Namespace, addresses: &[IpAddr]) -> Result<()> {
    /// Discard (RFC 863). Nothing listens in a new namespace: its refusal proves both ways.
    const PORT: u16 = 9;
    let probe = Client::new(node).timeout(Duration::from_millis(20));
    for ip in addresses {
        let start = Instant::now();
        while probe.udp(SocketAddr::new(*ip, PORT))?.failure() != Some(&Failure::Refused) {
            if start.elapsed() > LIMIT {
                let what = format!("{ip} to be reachable from {}", node.name());
                return Err(Error::Deadline {
                    what,
                    waited: LIMIT,
                    context: String::new(),
                });
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}
