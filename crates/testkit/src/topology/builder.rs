//! From a description to a world.

use super::pod::wait_reachable;
use super::{Remote, World, address, host_route, link_up, make_router, new_machine, parse};
use crate::error::{Error, Result};
use std::fmt::Write as _;
use std::net::IpAddr;

/// What a world shall contain. The first mistake is kept and told by [`WorldBuilder::build`].
#[derive(Debug, Default)]
pub struct WorldBuilder {
    pods: Vec<Vec<IpAddr>>,
    client_addresses: Vec<IpAddr>,
    node_addresses: Vec<IpAddr>,
    replies_via_node: bool,
    mistake: Option<Error>,
}

impl WorldBuilder {
    /// A pod: one address, or one of each family with a comma between
    /// (`"10.244.0.80,fd00:10:244::80"`). The address says on which node it runs: 10.244.N.0/24 and
    /// `fd00:10:244:N::/64` belong to node-N. N is 0 (under test), 1 or 2.
    #[must_use]
    pub fn pod(mut self, addresses: &str) -> Self {
        let parsed = addresses.split(',').map(parse).collect();
        if let Some(addresses) = self.keep(parsed) {
            self.pods.push(addresses);
        }
        self
    }

    /// Several pods.
    #[must_use]
    pub fn pods<'s>(self, pods: impl IntoIterator<Item = &'s str>) -> Self {
        pods.into_iter().fold(self, Self::pod)
    }

    /// One more address of the client, routed to it by everybody: for load balancer source ranges.
    #[must_use]
    pub fn client_address(mut self, ip: &str) -> Self {
        if let Some(ip) = self.keep(parse(ip)) {
            self.client_addresses.push(ip);
        }
        self
    }

    /// One more address on the node's NIC.
    #[must_use]
    pub fn node_address(mut self, ip: &str) -> Self {
        if let Some(ip) = self.keep(parse(ip)) {
            self.node_addresses.push(ip);
        }
        self
    }

    /// Other nodes answer the client through the node under test. Without it they answer
    /// directly, as in a real cluster, and a forwarded connection that should have been
    /// masqueraded and wasn't fails.
    #[must_use]
    pub fn replies_via_node(mut self) -> Self {
        self.replies_via_node = true;
        self
    }

    /// Makes the namespaces and wires them, and waits until everybody is reachable. Takes some
    /// 50 ms and 5 ms for each pod on the node.
    pub fn build(mut self) -> Result<World> {
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        let pods = std::mem::take(&mut self.pods);
        let mut world = self.unwired()?;
        self.wire(&world)?;
        let remotes = address::remote_nodes();
        let machines = [address::FABRIC, address::CLIENT, remotes[0], remotes[1]];
        wait_reachable(&world.node, &machines.concat())?;
        world.add_pods(&pods)?;
        Ok(world)
    }

    fn keep<T>(&mut self, parsed: Result<T>) -> Option<T> {
        parsed
            .map_err(|error| self.mistake.get_or_insert(error))
            .ok()
    }

    fn unwired(&self) -> Result<World> {
        let remote = |name| {
            Ok(Remote {
                namespace: new_machine(name)?,
                pods: Vec::new(),
            })
        };
        let world = World {
            fabric: new_machine("fabric")?,
            client: new_machine("client")?,
            client_addresses: [&address::CLIENT, &self.client_addresses[..]].concat(),
            node: new_machine(address::NODE_NAME)?,
            node_addresses: [&address::NODE, &self.node_addresses[..]].concat(),
            remotes: [
                remote(address::REMOTE_NAMES[0])?,
                remote(address::REMOTE_NAMES[1])?,
            ],
            pods: Vec::new(),
            links: 0,
        };
        make_router(&world.node)?;
        Ok(world)
    }

    fn wire(&self, world: &World) -> Result<()> {
        let machines = [
            &world.client,
            &world.node,
            &world.remotes[0].namespace,
            &world.remotes[1].namespace,
        ];
        let mut fabric =
            "link add br0 type bridge forward_delay 0 mcast_snooping 0\nlink set br0 up\n"
                .to_owned();
        write_addresses(&mut fabric, address::FABRIC, "br0");
        // Without these routes it would say "unreachable", for IPv6 even though it is no router.
        fabric.push_str("route add blackhole 0.0.0.0/0\nroute add blackhole ::/0\n");
        for (port, machine) in machines.iter().enumerate() {
            let path = machine.path();
            let _ = writeln!(
                fabric,
                "link add port{port} type veth peer name eth0 netns {}\n\
                 link set port{port} master br0 up",
                path.display()
            );
        }
        world.fabric.ip([fabric])?;
        world.client.ip([self.client_batch()])?;
        world.node.ip([self.node_batch()])?;
        for (index, remote) in world.remotes.iter().enumerate() {
            remote.namespace.ip([self.remote_batch(index)])?;
        }
        Ok(())
    }

    fn client_batch(&self) -> String {
        let mut batch = nic(address::CLIENT, address::NODE);
        for ip in &self.client_addresses {
            let _ = writeln!(batch, "addr add {} dev lo", host_route(*ip));
        }
        if !self.replies_via_node {
            write_pod_routes(&mut batch, &[1, 2]);
        }
        batch
    }

    fn node_batch(&self) -> String {
        let mut batch = nic(address::NODE, address::FABRIC);
        for ip in &self.node_addresses {
            let _ = writeln!(batch, "addr add {} dev eth0", super::host(*ip));
        }
        for ip in &self.client_addresses {
            write_via(&mut batch, &host_route(*ip), address::CLIENT);
        }
        write_pod_routes(&mut batch, &[1, 2]);
        batch
    }

    fn remote_batch(&self, index: usize) -> String {
        let mut batch = nic(address::remote_nodes()[index], address::NODE);
        let other = 2 - index;
        write_pod_routes(&mut batch, &[0, other]);
        let way_to_client = if self.replies_via_node {
            address::NODE
        } else {
            address::CLIENT
        };
        for ip in &self.client_addresses {
            write_via(&mut batch, &host_route(*ip), way_to_client);
        }
        if self.replies_via_node {
            for ip in address::CLIENT {
                write_via(&mut batch, &host_route(ip), address::NODE);
            }
        }
        batch
    }
}

/// A machine's NIC with its addresses and default routes.
pub(crate) fn nic(own: [IpAddr; 2], gateway: [IpAddr; 2]) -> String {
    let mut batch = link_up("eth0");
    write_addresses(&mut batch, own, "eth0");
    write_via(&mut batch, "default", [gateway[0]; 2]);
    write_via(&mut batch, "-6 default", [gateway[1]; 2]);
    batch
}

pub(crate) fn write_addresses(batch: &mut String, addresses: [IpAddr; 2], device: &str) {
    let [ipv4, ipv6] = addresses;
    let _ = writeln!(batch, "addr add {ipv4}/24 dev {device}");
    let _ = writeln!(batch, "addr add {ipv6}/64 dev {device} nodad");
}

/// Routes to the pods of some nodes (0 is the one under test) through these nodes.
fn write_pod_routes(batch: &mut String, nodes: &[usize]) {
    let remotes = address::remote_nodes();
    let gateways = [address::NODE, remotes[0], remotes[1]];
    for node in nodes {
        for range in address::pod_ranges()[*node] {
            write_via(batch, &range.to_string(), gateways[*node]);
        }
    }
}

/// A route to `destination` via the gateway of its own family.
pub(crate) fn write_via(batch: &mut String, destination: &str, gateway: [IpAddr; 2]) {
    let gateway = gateway[usize::from(destination.contains(':'))];
    let destination = destination.trim_start_matches("-6 ");
    let _ = writeln!(batch, "route add {destination} via {gateway} dev eth0");
}
