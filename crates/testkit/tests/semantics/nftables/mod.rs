//! nftables mode.

mod commits;
mod contract;
mod mutations;
mod rows;

use proptest::prelude::*;
use viprule_dataplane::CommonSettings;
use viprule_dataplane::nftables::{self, Desired, Settings};
use viprule_service::model::Service;
use viprule_service::plan::{NodeFacts, NodePortAddresses};
use viprule_testkit::semantics::{self, Cluster};
use viprule_testkit::walker::iptables::Unordered;
use viprule_testkit::walker::nftables::Walker;
use viprule_testkit::walker::{Host, Packet, Remembered, Walk, WalkError};

use crate::mode::{Mode, Statement};
use crate::world;

/// nftables mode.
///
/// Otherwise than in iptables mode, as in kube-proxy's nftables mode: other ports of a cluster IP are
/// refused, the node itself is refused what others are, node ports answer on the node's own address
/// unless told otherwise and never on loopback addresses, and source ranges are asked before all
/// else. Otherwise than in either: weights count, and a client comes back to its endpoint through the
/// same address only.
pub(crate) struct Nftables;

impl Mode for Nftables {
    type Dataplane = nftables::Nftables;

    const STATEMENT: Statement = semantics::nftables::expected;
    const CLUSTERS: u32 = 200;
    const NEVER: &'static [&'static str] = &[];
    /// What eight draws miss goes to one half of the slots: (1/2)^8 at most.
    const TOLERANCE: f64 = 1.0 / 256.0;

    fn unnoticed() -> BoxedStrategy<Settings> {
        Just(Settings::default()).boxed()
    }

    /// `nodePortAddresses` that is not set means `primary`, as the configuration has it.
    fn settings(_: &Settings, common: CommonSettings, _: &semantics::Settings) -> Settings {
        let node_port_addresses = match common.node_port_addresses {
            NodePortAddresses::All => NodePortAddresses::Primary,
            set => set,
        };
        Settings {
            common: CommonSettings {
                node_port_addresses,
                ..common
            },
        }
    }

    fn dataplane(settings: Settings, facts: &NodeFacts) -> nftables::Nftables {
        nftables::Nftables::new(settings, facts)
    }

    fn host(cluster: &Cluster, _: &semantics::Settings) -> Host {
        Host {
            addresses: cluster.local_addresses.clone(),
            route_localnet: false,
        }
    }

    fn walker<'s>(
        state: &'s Desired,
        host: &'s Host,
        order: Unordered,
    ) -> Result<Box<dyn Walk + 's>, WalkError> {
        Ok(Box::new(Walker::new(state, host, order)?))
    }

    /// Those of the Service that the packet is for, where it has affinity: each is a walk of its own.
    fn memories(cluster: &Cluster, packet: &Packet, position: usize) -> Vec<Remembered> {
        let (to, port) = (packet.destination.ip(), packet.destination.port());
        let is_meant = |service: &&Service| {
            let external = service.external_ips.iter();
            let external = external.chain(&service.load_balancer_ips);
            let mut own = service.cluster_ips.iter().chain(external);
            let mut ports = service.ports.iter();
            let is_for = own.any(|ip| *ip == to) || ports.any(|it| it.node_port == port);
            is_for && service.affinity_seconds.is_some()
        };
        let mut memories = world::memories(cluster, packet, position);
        memories.retain(|entry| {
            let mut meant = cluster.services.iter().filter(is_meant);
            entry.endpoint.is_ipv4() == to.is_ipv4()
                && entry.protocol == packet.protocol
                && meant.any(|service| service.id == entry.service)
        });
        memories
    }
}
