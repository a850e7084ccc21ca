//! One node's dataplane in IPVS mode, worked out both ways.

use proptest::test_runner::TestCaseError;
use viprule_dataplane::ipvs::{self, Desired, Ipvs};
use viprule_dataplane::{CommonSettings, Dataplane as _, DetectLocal};
use viprule_service::model::{Family, Service};
use viprule_service::tracker::Tracker;
use viprule_testkit::semantics::{Cluster, Detector, Settings, ipvs as semantics};
use viprule_testkit::walker::iptables::Unordered;
use viprule_testkit::walker::ipvs::Walker;
use viprule_testkit::walker::{Affinity, Distribution, Host, Packet, Remembered, Walk as _};

use crate::agreement::{TOLERANCE, node_ports, tracker};
use crate::world;

/// A node's objects and settings, and the state rendered from them.
pub(crate) struct Node<'a> {
    cluster: &'a Cluster,
    settings: &'a Settings,
    /// What the machine has without IPVS mode.
    host: Host,
    /// The cluster as clients on the node see it: Services' addresses are the machine's own.
    pub(super) seen: Cluster,
    /// What IPVS mode wants in the kernel.
    pub(crate) state: Desired,
}

impl<'a> Node<'a> {
    pub(crate) fn new(cluster: &'a Cluster, settings: &'a Settings) -> Self {
        Self::with_settings(cluster, settings, |_| ())
    }

    /// With settings that packets don't notice.
    pub(super) fn with_settings(
        cluster: &'a Cluster,
        settings: &'a Settings,
        change: impl Fn(&mut ipvs::Settings),
    ) -> Self {
        let tracker = tracker(cluster, settings);
        let mut state = Desired::default();
        // A setting of its own for each family.
        for (family, of_plans) in nfnetlink::Family::ALL.into_iter().zip(Family::ALL) {
            let mut of_family = ipvs::Settings {
                common: CommonSettings {
                    families: vec![family],
                    masquerade_all: settings.masquerade_all,
                    detect_local: detect_local(settings.detector(of_plans)),
                    node_port_addresses: node_ports(settings),
                    ..CommonSettings::default()
                },
                ..ipvs::Settings::default()
            };
            change(&mut of_family);
            state = state.merged(render(of_family, &tracker));
        }
        let host = Host {
            addresses: cluster.local_addresses.clone(),
            route_localnet: false,
        };
        let seen = Cluster {
            local_addresses: semantics::host(cluster, settings).addresses,
            ..cluster.clone()
        };
        Self {
            cluster,
            settings,
            host,
            seen,
            state,
        }
    }

    /// What Kubernetes says about it, as IPVS mode understands it.
    pub(super) fn expected(&self, packet: &Packet, affinity: &Affinity) -> Distribution {
        semantics::expected(self.cluster, self.settings, packet, affinity)
    }

    /// The machine without IPVS mode.
    pub(super) const fn bare(&self) -> &Host {
        &self.host
    }

    /// Walks packets through a state on this node.
    pub(super) fn walkers_of<'s>(&self, state: &'s Desired) -> [Walker<'s>; 2] {
        [Unordered::Forward, Unordered::Backward].map(|order| {
            Walker::new(state, &self.host, order).expect("a state that the kernel takes")
        })
    }

    /// Fails where a packet ends otherwise than Kubernetes says.
    pub(super) fn agree(
        &self,
        walkers: &[Walker<'_>],
        packet: &Packet,
        affinity: &Affinity,
    ) -> Result<(), TestCaseError> {
        let expected = self.expected(packet, affinity);
        for walker in walkers {
            let walked = walker
                .walk(packet, affinity)
                .map_err(|error| TestCaseError::fail(format!("{packet}: {error}")))?;
            if !walked.is_close_to(&expected, TOLERANCE) {
                let message = format!("{packet}\nexpected: {expected}\nwalked:   {walked}");
                return Err(TestCaseError::fail(message));
            }
        }
        Ok(())
    }
}

/// The packet's client was at the second endpoint of the Service that the packet is for, a moment
/// ago, through the same address.
pub(super) fn known_clients(cluster: &Cluster, packet: &Packet) -> Vec<Remembered> {
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
    let mut memories = world::memories(cluster, packet, 1);
    memories.retain(|entry| {
        let mut services = cluster.services.iter().filter(is_for);
        services.any(|service| service.id == entry.service)
            && entry.endpoint.is_ipv4() == to.is_ipv4()
            && entry.protocol == packet.protocol
    });
    memories
}

fn render(settings: ipvs::Settings, tracker: &Tracker) -> Desired {
    let dataplane = Ipvs::new(settings, tracker.facts());
    let plans = tracker.services().into_iter().map(|id| tracker.plan(&id));
    dataplane.desired(plans.map(|plan| dataplane.service(&plan.expect("the tracker lists it"))))
}

fn detect_local(detector: Option<&Detector>) -> DetectLocal {
    match detector {
        None => DetectLocal::ClusterCidr(Vec::new()),
        Some(Detector::Source(net)) => DetectLocal::ClusterCidr(vec![*net]),
        Some(Detector::Bridge(name)) => DetectLocal::BridgeInterface(name.clone()),
        Some(Detector::InterfacePrefix(name)) => DetectLocal::InterfaceNamePrefix(name.clone()),
    }
}
