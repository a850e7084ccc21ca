//! IPVS mode.

mod rival;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipvs_netlink::{DestinationId, ServerId};
use nfnetlink::Family;
use nfnetlink::ipset::{Entry, IpPort};
use viprule::config::Effective;
use viprule::mode::ipvs;
use viprule_dataplane::ipvs::{Ipvs, Key};
use viprule_dataplane::ownership::leftovers::IPVS_LINK;
use viprule_dataplane::ownership::{Set, SetName};
use viprule_service::plan::NodeFacts;
use viprule_testkit::chance::Chance;
use viprule_testkit::memory::{MemoryKernel, Program};
use viprule_writer::WriteError;
use viprule_writer::backend::Backend;
use viprule_writer::ipvs::IpvsWriter;

use super::{Edit, Environment, Mode, StateOf, steady};
use crate::cluster::Cluster;
use crate::settings::SUPPORT;
use rival::Interference;

/// Connections that are there at once, at most.
const CONNECTIONS: usize = 12;

/// IPVS mode, with chains over `nf_tables`.
pub(crate) struct IpvsMode;

impl Mode for IpvsMode {
    type Dataplane = Ipvs;
    type Writer = IpvsWriter;

    const NAME: &str = "ipvs";

    fn dataplane(effective: &Effective, facts: &NodeFacts) -> Ipvs {
        Ipvs::new(ipvs::settings(effective.resolve(), Some(SUPPORT)), facts)
    }

    fn open() -> Result<IpvsWriter, WriteError> {
        IpvsWriter::open(Backend::Nft, &[Family::Ipv4, Family::Ipv6])
    }

    fn environment(
        cluster: &Cluster,
        effective: &Effective,
    ) -> anyhow::Result<Box<dyn Environment>> {
        let steady = steady::<Self, _>(cluster, effective, |plan, key| {
            let Key::Server(server) = key else {
                return None;
            };
            let address = server.address()?;
            let mut ports = plan.ports.iter();
            ports
                .any(|port| port.cluster_ip == address)
                .then_some(*server)
        })?;
        Ok(Box::new(Servers {
            steady,
            leading_on: BTreeSet::new(),
            version: 0,
            interference: Interference::default(),
            busy: Vec::new(),
        }))
    }

    /// Destinations that wait for connections to end.
    fn left(kernel: &MemoryKernel, observed: &StateOf<Self>) -> Option<String> {
        let servers = kernel.virtual_servers();
        let mut ours = servers
            .iter()
            .filter(|(server, _)| observed.get(&Key::Server(**server)).is_some());
        ours.find_map(|(server, destinations)| {
            let (id, _) = destinations.iter().find(|(_, weight)| **weight == 0)?;
            Some(format!("still has draining destination {id} of {server}"))
        })
    }
}

/// Watches the virtual servers of the steady Services and those that are another program's.
struct Servers {
    steady: BTreeSet<ServerId>,
    /// The steady ones that lead to a destination now.
    leading_on: BTreeSet<ServerId>,
    /// Of the kernel, when that was so.
    version: u64,
    interference: Interference,
    /// Who has connections.
    busy: Vec<(ServerId, DestinationId)>,
}

impl Servers {
    fn look(&self, kernel: &MemoryKernel) -> BTreeSet<ServerId> {
        let steady = self.steady.iter();
        let leading_on = steady
            .filter(|server| kernel.leads_on(server, IPVS_LINK) && is_cluster_ip(kernel, server));
        leading_on.copied().collect()
    }
}

impl Environment for Servers {
    fn before_send(&mut self, kernel: &MemoryKernel) {
        // Between the agent's messages others may have done something.
        if self.version != kernel.version() {
            self.leading_on = self.look(kernel);
            self.version = kernel.version();
        }
    }

    fn took_effect(&mut self, kernel: &MemoryKernel) -> Option<String> {
        let now = self.look(kernel);
        let before = std::mem::replace(&mut self.leading_on, now);
        self.version = kernel.version();
        let Interference { foreign, disturbed } = &mut self.interference;
        disturbed.retain(|(server, it)| kernel.weight(server, it).is_none_or(|it| it == 0));
        // What the agent believes to be there may be all that a Service still has.
        let is_disturbed = |server: &ServerId| disturbed.iter().any(|(it, _)| it == server);
        let mut lost = before.difference(&self.leading_on);
        if let Some(lost) = lost.find(|it| !is_disturbed(it)) {
            return Some(format!(
                "a step of the agent took the last destination of {lost} away, or its address"
            ));
        }
        let gone = foreign.iter().find(|it| !kernel.has_server(it))?;
        Some(format!(
            "a step of the agent took {gone} away, which is another program's"
        ))
    }

    fn serving(&self, kernel: &MemoryKernel) -> usize {
        let leading_on = self.look(kernel);
        let ipv4 = |it: &&ServerId| it.address().is_some_and(|it| it.is_ipv4());
        let (ipv4, ipv6): (Vec<&ServerId>, Vec<&ServerId>) = leading_on.iter().partition(ipv4);
        ipv4.len().max(ipv6.len())
    }

    fn all_is_right(&mut self) {
        self.interference.disturbed.clear();
    }

    fn edit(
        &mut self,
        chance: &mut Chance,
        rival: &Program,
        kernel: &MemoryKernel,
    ) -> Option<Edit> {
        let edit = rival::edit(chance, rival, kernel, &mut self.interference);
        // What the rival takes away is not the agent's doing.
        self.leading_on = self.look(kernel);
        self.version = kernel.version();
        edit
    }

    fn clients(&mut self, chance: &mut Chance, kernel: &MemoryKernel) {
        for _ in 0..chance.below(4) {
            if self.busy.len() < CONNECTIONS && chance.per_mille(600) {
                let servers = kernel.virtual_servers();
                let all: Vec<_> = servers
                    .iter()
                    .flat_map(|(server, destinations)| {
                        let open = destinations.iter().filter(|(_, weight)| **weight > 0);
                        open.map(|(destination, _)| (*server, *destination))
                    })
                    .collect();
                if let Some((server, destination)) = chance.pick(&all) {
                    let active = 1 + chance.below(3);
                    let active = u32::try_from(active).unwrap_or(1);
                    kernel.set_connections(server, destination, active, 0);
                    self.busy.push((*server, *destination));
                }
            } else if !self.busy.is_empty() {
                let at = chance.below(self.busy.len());
                let (server, destination) = self.busy.swap_remove(at);
                kernel.set_connections(&server, &destination, 0, 0);
            }
        }
    }

    fn no_clients(&mut self, kernel: &MemoryKernel) {
        for (server, destination) in self.busy.drain(..) {
            kernel.set_connections(&server, &destination, 0, 0);
        }
    }
}

/// True where a virtual server has the element without which chains refuse packets to it
/// (contract 3.6).
fn is_cluster_ip(kernel: &MemoryKernel, server: &ServerId) -> bool {
    let ServerId::Address {
        address,
        port,
        protocol,
    } = *server
    else {
        return false;
    };
    let set = Set {
        name: SetName::ClusterIp,
        family: match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        },
    };
    let at = IpPort {
        address,
        protocol: protocol.number(),
        port,
    };
    kernel.has_element(&set.to_string(), &Entry::IpPort(at))
}
