//! IPVS mode.

mod contract;
mod memory;
mod mutations;

use proptest::prelude::*;
use viprule_dataplane::CommonSettings;
use viprule_dataplane::ipvs::{self, Desired, Saves, Settings};
use viprule_service::model::Service;
use viprule_service::plan::NodeFacts;
use viprule_testkit::semantics::{self, Cluster};
use viprule_testkit::walker::iptables::Unordered;
use viprule_testkit::walker::ipvs::Walker;
use viprule_testkit::walker::{Host, Packet, Remembered, Walk, WalkError};
use viprule_writer::backend::Backend;
use viprule_writer::ipvs::IpvsWriter;

use crate::mode::{Dumped, Mode, Statement, Written};
use crate::{golden, world};

/// IPVS mode.
pub(crate) struct Ipvs;

impl Mode for Ipvs {
    type Dataplane = ipvs::Ipvs;

    const STATEMENT: Statement = semantics::ipvs::expected;
    const CLUSTERS: u32 = 300;
    const NEVER: &'static [&'static str] = &[];

    fn unnoticed() -> BoxedStrategy<Settings> {
        Just(Settings::default()).boxed()
    }

    fn settings(unnoticed: &Settings, common: CommonSettings, _: &semantics::Settings) -> Settings {
        Settings {
            common,
            ..unnoticed.clone()
        }
    }

    fn dataplane(settings: Settings, facts: &NodeFacts) -> ipvs::Ipvs {
        ipvs::Ipvs::new(settings, facts)
    }

    fn host(cluster: &Cluster, _: &semantics::Settings) -> Host {
        Host {
            addresses: cluster.local_addresses.clone(),
            route_localnet: false,
        }
    }

    /// Services' addresses are the machine's own.
    fn seen(cluster: &Cluster, settings: &semantics::Settings) -> Cluster {
        Cluster {
            local_addresses: semantics::ipvs::host(cluster, settings).addresses,
            ..cluster.clone()
        }
    }

    fn walker<'s>(
        state: &'s Desired,
        host: &'s Host,
        order: Unordered,
    ) -> Result<Box<dyn Walk + 's>, WalkError> {
        Ok(Box::new(Walker::new(state, host, order)?))
    }

    /// A virtual server knows its own clients only: those of the Service that the packet is for.
    fn memories(cluster: &Cluster, packet: &Packet, position: usize) -> Vec<Remembered> {
        let (to, port) = (packet.destination.ip(), packet.destination.port());
        let is_for = |service: &&Service| {
            let external = service
                .external_ips
                .iter()
                .chain(&service.load_balancer_ips);
            let is_own = service
                .cluster_ips
                .iter()
                .chain(external)
                .any(|ip| *ip == to);
            service
                .ports
                .iter()
                .any(|it| it.node_port == port || (is_own && it.port == port))
        };
        let mut memories = world::memories(cluster, packet, position);
        memories.retain(|entry| {
            let mut services = cluster.services.iter().filter(is_for);
            services.any(|service| service.id == entry.service)
                && entry.endpoint.is_ipv4() == to.is_ipv4()
                && entry.protocol == packet.protocol
        });
        memories
    }

    /// The node of the dumps had one address of each family.
    fn golden_cluster() -> Cluster {
        Cluster {
            local_addresses: ["127.0.0.1", "192.168.77.2", "::1", "fd00:77::2"]
                .map(world::ip)
                .into(),
            ..golden::cluster()
        }
    }
}

impl Dumped for Ipvs {
    fn kube_proxys() -> Desired {
        use viprule_testkit::golden::{ADDRESSES, IPSET, IPVS_IPTABLES, IPVSADM};
        let [ipv4, ipv6] = IPVS_IPTABLES;
        let mut saves = Saves::new();
        for dump in [IPSET, IPVSADM, ADDRESSES, ipv4, ipv6] {
            saves.read(dump, None).expect("what the tools print");
        }
        saves.finish().state
    }
}

impl Written for Ipvs {
    type Writer = IpvsWriter;

    fn writer() -> IpvsWriter {
        IpvsWriter::open(Backend::Nft, &nfnetlink::Family::ALL).expect("opened")
    }
}
