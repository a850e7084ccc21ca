//! What Kubernetes Services mean for a packet, stated a second time.
//!
//! [`expected`] answers the same question as a packet walker, but from the Kubernetes objects alone
//! and as plainly as the tables of the kube-proxy contract (1.4 to 1.8) put it. It shares no code
//! with the planner or a renderer, so what it and a walked state agree on was worked out twice.
//!
//! Two Services that ask for the same address, port and protocol have no meaning here.

mod cluster;
mod endpoints;
mod frontend;
pub mod ipvs;
pub mod nftables;
mod node_ports;
mod settings;

pub use cluster::Cluster;
pub use settings::{Detector, NodePorts, Quirks, Settings};

use crate::walker::{Affinity, Distribution, Host, Origin, Outcome, Packet, Remembered};
use frontend::{Delivery, Frontend};

/// How the first packet of a connection has to end on this node.
pub fn expected(
    cluster: &Cluster,
    settings: &Settings,
    packet: &Packet,
    affinity: &Affinity,
) -> Distribution {
    let question = Question {
        cluster,
        settings,
        packet,
        host: cluster.host(settings),
    };
    if packet.is_martian(&question.host) {
        return Distribution::certain(Outcome::Dropped);
    }
    // What a Service IP does not deliver may still be for a node port, where the address is the
    // node's.
    let frontends = question.frontends();
    for frontend in &frontends {
        if let Some(delivery) = frontend.deliver(&question) {
            return question.spread(frontend, &delivery, affinity);
        }
    }
    Distribution::certain(question.undelivered(&frontends))
}

/// A packet on a node.
struct Question<'a> {
    cluster: &'a Cluster,
    settings: &'a Settings,
    packet: &'a Packet,
    host: Host,
}

impl<'a> Question<'a> {
    /// What the packet's destination is, Service IPs before node ports.
    fn frontends(&self) -> Vec<Frontend<'a>> {
        let mut frontends: Vec<Frontend<'a>> = Vec::new();
        for service in &self.cluster.services {
            frontends.extend(frontend::of(service, self));
        }
        frontends.sort_by_key(|frontend| frontend.kind);
        frontends
    }

    /// True where the packet comes from a pod on this node, as far as anybody can tell (1.8).
    fn is_from_local_pod(&self) -> bool {
        self.detector()
            .is_some_and(|detector| match (detector, &self.packet.origin) {
                (Detector::Source(net), _) => net.contains(&self.packet.source.ip()),
                (Detector::Bridge(bridge), Origin::Interface(name)) => name == bridge,
                (Detector::InterfacePrefix(prefix), Origin::Interface(name)) => {
                    name.starts_with(prefix.as_str())
                }
                (Detector::Bridge(_) | Detector::InterfacePrefix(_), Origin::Node) => false,
            })
    }

    fn detector(&self) -> Option<&'a Detector> {
        self.settings.detector(self.packet.family())
    }

    /// True where the packet comes from the node itself.
    fn is_from_node(&self) -> bool {
        self.host.is_local(&self.packet.source.ip())
    }

    /// One connection over the endpoints: to the one that affinity remembers, else to each with
    /// the same probability.
    fn spread(
        &self,
        frontend: &Frontend<'_>,
        delivery: &Delivery<'_>,
        affinity: &Affinity,
    ) -> Distribution {
        let client = self.packet.source.ip();
        let outcome = |endpoint: &endpoints::Merged| {
            let hairpin = client == endpoint.address.ip();
            self.outcome(endpoint, delivery.masquerade || hairpin)
        };
        let sticky = delivery.endpoints.iter().find(|endpoint| {
            affinity
                .iter()
                .any(|entry| self.holds(frontend, entry, endpoint))
        });
        match sticky {
            Some(endpoint) => Distribution::certain(outcome(endpoint)),
            None => {
                Distribution::uniform(&delivery.endpoints.iter().map(outcome).collect::<Vec<_>>())
            }
        }
    }

    /// The packet at one of the endpoints. `masquerade` tells whether its source is to be hidden.
    fn outcome(&self, endpoint: &endpoints::Merged, masquerade: bool) -> Outcome {
        // An arriving packet to the host's own network namespace is never masqueraded: it doesn't
        // leave again.
        let leaves =
            self.packet.origin == Origin::Node || !self.host.is_local(&endpoint.address.ip());
        Outcome::Delivered {
            endpoint: endpoint.address,
            masqueraded: masquerade && leaves,
        }
    }

    /// True where affinity remembers the packet's client at this endpoint of this Service port,
    /// and not for too long. Which of the Service's addresses the client used doesn't matter.
    fn holds(
        &self,
        frontend: &Frontend<'_>,
        entry: &Remembered,
        endpoint: &endpoints::Merged,
    ) -> bool {
        entry.service == frontend.service.id
            && entry.port == frontend.port.name
            && entry.protocol == frontend.port.protocol
            && entry.client == self.packet.source.ip()
            && entry.endpoint == endpoint.address
            && frontend
                .service
                .affinity_seconds
                .is_some_and(|seconds| entry.seconds_ago <= seconds)
    }

    /// What becomes of a packet that no frontend delivers.
    fn undelivered(&self, frontends: &[Frontend<'_>]) -> Outcome {
        let (source, destination) = (self.packet.source.ip(), self.packet.destination.ip());
        // With node ports on loopback addresses, nothing else may reach those from outside (2.4).
        let guarded =
            destination.is_ipv4() && node_ports::on_localhost(self.settings, self.cluster);
        if guarded && destination.is_loopback() && !source.is_loopback() {
            return Outcome::Dropped;
        }
        let mut refusals: Vec<Outcome> = frontends
            .iter()
            .filter_map(|frontend| frontend.refuse(self))
            .collect();
        // A packet outside the source ranges is dropped whatever else is said about it.
        refusals.sort_by_key(|outcome| *outcome != Outcome::Dropped);
        refusals.first().copied().unwrap_or(Outcome::Untouched)
    }
}
