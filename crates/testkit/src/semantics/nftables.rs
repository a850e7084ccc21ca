//! What Services mean on a node in nftables mode (contract 4), stated a second time.
//!
//! It is what the tables of contract 1.7 say. Otherwise than in iptables mode, source ranges are
//! asked before anything is translated, and without endpoints too; other ports of a cluster IP are
//! refused; what is for a cluster IP that no Service has is dropped; the node itself is refused what
//! others are; node ports answer on the node's own address alone unless told otherwise, and never on
//! loopback addresses; only endpoints of this node are masqueraded where they reach themselves;
//! weights count; and a client comes back to its endpoint through the same address only.

use super::endpoints::{Merged, select, weight};
use super::frontend::{Delivery, Frontend, uses};
use super::{Cluster, NodePorts, Question, Quirks, Settings};
use crate::walker::{Affinity, Distribution, Outcome, Packet, Remembered};

/// How the first packet of a connection has to end on this node.
pub fn expected(
    cluster: &Cluster,
    settings: &Settings,
    packet: &Packet,
    affinity: &Affinity,
) -> Distribution {
    let settings = &understood(settings);
    let question = Question {
        cluster,
        settings,
        packet,
        host: cluster.host(settings),
    };
    if packet.is_martian(&question.host) {
        return Distribution::certain(Outcome::Dropped);
    }
    let frontends = question.frontends();
    if frontends.iter().any(|it| it.keeps_out(&question)) {
        return Distribution::certain(Outcome::Dropped);
    }
    for frontend in &frontends {
        if let Some(delivery) = frontend.deliver(&question) {
            return spread(&question, frontend, &delivery, affinity);
        }
    }
    let outcome = match question.undelivered(&frontends) {
        Outcome::Untouched if is_cluster_ip(&question) => Outcome::Rejected,
        Outcome::Untouched if is_free_cluster_ip(&question) => Outcome::Dropped,
        outcome => outcome,
    };
    Distribution::certain(outcome)
}

/// Settings as this mode takes them (contract 4.2, 8).
pub fn understood(settings: &Settings) -> Settings {
    let node_port_addresses = match &settings.node_port_addresses {
        NodePorts::Unset => NodePorts::Primary,
        set => set.clone(),
    };
    Settings {
        node_port_addresses,
        localhost_node_ports: false,
        quirks: Quirks::NFTABLES,
        ..settings.clone()
    }
}

fn is_cluster_ip(question: &Question<'_>) -> bool {
    let packet = question.packet;
    let to = packet.destination.ip();
    let mut services = question.cluster.services.iter();
    services.any(|service| service.cluster_ip(packet.family()) == Some(to))
        && !question.host.is_local(&to)
}

/// An address that no Service has, of those that are given out.
fn is_free_cluster_ip(question: &Question<'_>) -> bool {
    let to = question.packet.destination.ip();
    let mut ranges = question.cluster.service_cidrs.iter();
    ranges.any(|it| it.networks.iter().any(|range| range.contains(&to)))
        && !question.host.is_local(&to)
}

/// To the endpoint where the client was last through this address, else to each by its weight.
fn spread(
    question: &Question<'_>,
    frontend: &Frontend<'_>,
    delivery: &Delivery<'_>,
    affinity: &Affinity,
) -> Distribution {
    let packet = question.packet;
    let is_clients = |entry: &&Remembered| {
        entry.client == packet.source.ip()
            && entry.frontend == packet.destination
            && entry.protocol == packet.protocol
    };
    let last = affinity
        .iter()
        .filter(is_clients)
        .min_by_key(|entry| entry.seconds_ago);
    let seconds = frontend.service.affinity_seconds.unwrap_or_default();
    let remembered = last.filter(|entry| entry.seconds_ago < seconds);
    let mut endpoints = delivery.endpoints.iter();
    if let Some(endpoint) =
        remembered.and_then(|entry| endpoints.find(|it| it.address == entry.endpoint))
    {
        return Distribution::certain(outcome(question, delivery, endpoint));
    }
    let weighted = delivery.endpoints.iter();
    let weighted = weighted.map(|endpoint| (endpoint, weight(frontend.service, endpoint)));
    let total: u32 = weighted.clone().map(|(_, weight)| weight).sum();
    let mut spread = Distribution::default();
    for (endpoint, weight) in weighted {
        let share = f64::from(weight) / f64::from(total);
        spread.add(outcome(question, delivery, endpoint), share);
    }
    spread
}

/// The packet at one of the endpoints.
fn outcome(question: &Question<'_>, delivery: &Delivery<'_>, endpoint: &Merged) -> Outcome {
    let masquerade = delivery.masquerade || reaches_itself(question, endpoint);
    question.outcome(endpoint, masquerade)
}

/// True for an endpoint of this node that is its own client, whichever Service says where it is.
fn reaches_itself(question: &Question<'_>, endpoint: &Merged) -> bool {
    let Question {
        cluster,
        settings,
        packet,
        ..
    } = *question;
    let family = packet.family();
    let services = cluster.services.iter();
    let own = services.filter(|service| service.cluster_ip(family).is_some());
    packet.source.ip() == endpoint.address.ip()
        && own
            .flat_map(|service| service.ports.iter().map(move |port| (service, port)))
            .filter(|(_, port)| port.protocol == packet.protocol)
            .any(|(service, port)| {
                let uses = uses(service, port, family, cluster);
                let found = select(service, port, family, uses, cluster, settings);
                let mut reachable = found.cluster.iter().chain(&found.local);
                reachable.any(|it| it.local && it.address == endpoint.address)
            })
}
