//! The addresses on which a Service port answers, and what each does with a packet (contract 1.4,
//! 1.5, 1.7).

use std::net::IpAddr;

use ipnet::IpNet;
use viprule_service::model::{Family, Protocol, Service, ServicePort, ServiceType};

use super::endpoints::{Merged, Selection, Uses, select};
use super::{Cluster, Question, node_ports};
use crate::walker::{Origin, Outcome};

/// What a packet's destination is to a Service. In the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    ClusterIp,
    ExternalIp,
    LoadBalancerIp,
    NodePort,
}

/// A Service port that a packet is for.
pub(super) struct Frontend<'a> {
    pub(super) kind: Kind,
    pub(super) service: &'a Service,
    pub(super) port: &'a ServicePort,
    family: Family,
    endpoints: Selection,
}

/// Where a packet may go.
pub(super) struct Delivery<'a> {
    pub(super) endpoints: &'a [Merged],
    pub(super) masquerade: bool,
}

/// What the packet's destination is to this Service.
pub(super) fn of<'a>(service: &'a Service, question: &Question<'a>) -> Vec<Frontend<'a>> {
    let packet = question.packet;
    let family = packet.family();
    let Some(cluster_ip) = service.cluster_ip(family) else {
        return Vec::new();
    };
    let (to, number) = (packet.destination.ip(), packet.destination.port());
    let mut frontends = Vec::new();
    for port in service
        .ports
        .iter()
        .filter(|port| port.protocol == packet.protocol)
    {
        let to_port = port.port == number;
        let free = packet.protocol != Protocol::Tcp
            || !question.cluster.is_way_to_api_server(packet.destination);
        let external = question.settings.allow_external_ips && service.external_ips.contains(&to);
        let node_port = question.cluster.node_port(port, family);
        let node_port = node_port != 0 && node_port == number;
        let kinds = [
            (Kind::ClusterIp, to_port && to == cluster_ip),
            (Kind::ExternalIp, to_port && external && free),
            (
                Kind::LoadBalancerIp,
                to_port && service.load_balancer_ips.contains(&to) && free,
            ),
            (Kind::NodePort, node_port && question.host.is_local(&to)),
        ];
        for (kind, _) in kinds.into_iter().filter(|(_, meant)| *meant) {
            let uses = uses(service, port, family, question.cluster);
            let endpoints = select(
                service,
                port,
                family,
                uses,
                question.cluster,
                question.settings,
            );
            frontends.push(Frontend {
                kind,
                service,
                port,
                family,
                endpoints,
            });
        }
    }
    frontends
}

/// `externalTrafficPolicy: Local` where it applies.
pub(super) fn external_local(service: &Service) -> bool {
    let external_type = match service.kind {
        ServiceType::LoadBalancer | ServiceType::NodePort => true,
        ServiceType::ClusterIp => !service.external_ips.is_empty(),
    };
    service.external_policy_local && external_type
}

pub(super) fn uses(
    service: &Service,
    port: &ServicePort,
    family: Family,
    cluster: &Cluster,
) -> Uses {
    let in_family = |ips: &[IpAddr]| ips.iter().any(|ip| Family::of(ip) == family);
    let accessible = cluster.node_port(port, family) != 0
        || in_family(&service.load_balancer_ips)
        || in_family(&service.external_ips);
    let internal_local = service.internal_policy_local;
    Uses {
        cluster: !internal_local || accessible,
        local: internal_local || (external_local(service) && accessible),
    }
}

impl Frontend<'_> {
    /// Where the packet goes, or `None` where this frontend doesn't take it.
    pub(super) fn deliver(&self, question: &Question<'_>) -> Option<Delivery<'_>> {
        let taken = match self.kind {
            Kind::ClusterIp | Kind::ExternalIp => true,
            Kind::LoadBalancerIp => self.lets_in(question),
            Kind::NodePort => {
                let to = question.packet.destination.ip();
                node_ports::answer_on(question.settings, question.cluster, to)
            }
        };
        let delivery = match self.kind {
            Kind::ClusterIp => self.internal(question),
            Kind::ExternalIp | Kind::LoadBalancerIp | Kind::NodePort => self.external(question),
        };
        (taken && !delivery.endpoints.is_empty()).then_some(delivery)
    }

    /// Cluster IP traffic. The node answers for others, so it hides them behind its own address,
    /// unless they are its pods.
    fn internal(&self, question: &Question<'_>) -> Delivery<'_> {
        let others = question.detector().is_some() && !question.is_from_local_pod();
        Delivery {
            endpoints: if self.service.internal_policy_local {
                &self.endpoints.local
            } else {
                &self.endpoints.cluster
            },
            masquerade: question.settings.masquerade_all || others,
        }
    }

    /// Traffic to the outside's frontends. Under the Local policy it keeps its source and stays on
    /// the node; only what comes from the node or its pods never came from outside.
    fn external(&self, question: &Question<'_>) -> Delivery<'_> {
        let (endpoints, masquerade) = if !external_local(self.service) {
            (&self.endpoints.cluster, true)
        } else if question.is_from_local_pod() {
            (&self.endpoints.cluster, false)
        } else if question.is_from_node() {
            (&self.endpoints.cluster, true)
        } else {
            (&self.endpoints.local, false)
        };
        Delivery {
            endpoints,
            masquerade,
        }
    }

    /// `loadBalancerSourceRanges`.
    fn lets_in(&self, question: &Question<'_>) -> bool {
        let source = question.packet.source.ip();
        let node = question.cluster.node_ip(question.settings, self.family);
        let mine = |net: &&IpNet| Family::of(&net.addr()) == self.family;
        let ranges: Vec<&IpNet> = self.service.source_ranges.iter().filter(mine).collect();
        // The node reaches a load balancer IP that it has itself from that same IP.
        let own = ranges.iter().any(|net| net.contains(&node))
            && self.service.load_balancer_ips.contains(&source);
        ranges.is_empty()
            || ranges
                .iter()
                .any(|net| net.prefix_len() == 0 || net.contains(&source))
            || own
    }

    /// True where `loadBalancerSourceRanges` has the packet dropped.
    pub(super) fn keeps_out(&self, question: &Question<'_>) -> bool {
        let quirks = question.settings.quirks;
        let restricts = self.endpoints.anywhere || !quirks.ranges_need_endpoints;
        self.kind == Kind::LoadBalancerIp && restricts && !self.lets_in(question)
    }

    /// What becomes of a packet that nothing delivered, or `None` where this frontend doesn't
    /// mind.
    pub(super) fn refuse(&self, question: &Question<'_>) -> Option<Outcome> {
        let quirks = question.settings.quirks;
        let to = question.packet.destination.ip();
        if self.keeps_out(question) {
            return Some(Outcome::Dropped);
        }
        let external = self.kind != Kind::ClusterIp;
        let from_here = question.packet.origin == Origin::Node && !question.host.is_local(&to);
        if external && from_here && quirks.node_bypasses_refusal {
            return None;
        }
        if self.kind == Kind::NodePort
            && !quirks.refuses_on_every_address
            && !node_ports::answer_on(question.settings, question.cluster, to)
        {
            return None;
        }
        let local_only = if external {
            external_local(self.service)
        } else {
            self.service.internal_policy_local
        };
        if !self.endpoints.anywhere {
            Some(Outcome::Rejected)
        } else if local_only && self.endpoints.local.is_empty() {
            Some(Outcome::Dropped)
        } else {
            None
        }
    }
}
