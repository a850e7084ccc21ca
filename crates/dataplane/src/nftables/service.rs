//! One Service's share: elements of the base's sets, and what its affinity timeout needs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use nfnetlink::Family;
use viprule_service::model::ServiceId;
use viprule_service::plan::{EndpointPlan, Frontend, PortPlan, ServicePlan, Unreachable};

use super::base;
use super::element::{CUT, Element, ElementContent, lookup};
use super::key::{Key, Object};
use super::row::{Slots, ids};
use super::set::{FrontendSet, Row, largest};
use super::settings::Options;
use crate::family::in_netfilter;
use crate::state::State;

/// Bytes of an element's comment that nft takes (`NFTNL_UDATA_COMMENT_MAXLEN` without the NUL).
const COMMENT_LEN: usize = 127;

/// Everything that a Service needs besides the base.
pub(super) fn service(plan: &ServicePlan, options: &Options) -> State<Key, Object> {
    let mut objects = Vec::new();
    for port in &plan.ports {
        let family = in_netfilter(port.family);
        if options.families.contains(&family) {
            let sticky = port.affinity_seconds.filter(|seconds| *seconds > 0);
            let renderer = PortRenderer {
                port,
                family,
                comment: comment(&plan.service, port),
                sticky: sticky.map(|seconds| (seconds, ids(&port.endpoints))),
                objects: &mut objects,
            };
            renderer.render();
        }
    }
    objects.into_iter().collect()
}

/// What nftables mode does otherwise than a plan asks.
pub(super) fn objections(plan: &ServicePlan, options: &Options) -> impl Iterator<Item = String> {
    let ports = plan.ports.iter();
    let written = ports.filter(|port| options.families.contains(&in_netfilter(port.family)));
    written.flat_map(|port| {
        let name = port.port_name(&plan.service).to_string();
        let external = uses_local_row(port).then(|| (row_of(port, true), true));
        let rows = std::iter::once((row_of(port, false), false)).chain(external);
        rows.flat_map(move |(slots, local)| {
            let kind = if local { "local endpoints" } else { "endpoints" };
            let family = port.family.as_str();
            let most = largest(local);
            let left_out = (slots.left_out > 0).then(|| {
                format!(
                    "{name} ({family}) has {} {kind} more than the {most} that nftables mode serves \
                     at a port, so these get no new connections: spread them over several Services",
                    slots.left_out
                )
            });
            let rounded = slots.rounded.then(|| {
                format!(
                    "weights of {name} ({family}) make more shares than nftables mode has for its \
                     {kind}, so they are rounded: give weights with a smaller sum in lowest terms"
                )
            });
            left_out.into_iter().chain(rounded)
        })
    })
}

/// The slots of a port's largest row of a kind.
fn row_of(port: &PortPlan, local: bool) -> Slots {
    let most = largest(local);
    let only_internal = port.internal_local && !port.externally_accessible();
    if local || only_internal {
        Slots::of(port.local_endpoints(), most)
    } else {
        Slots::of(port.cluster_endpoints(), most)
    }
}

/// True where external frontends lead outside traffic to local endpoints only.
fn uses_local_row(port: &PortPlan) -> bool {
    port.external_local && port.externally_accessible()
}

/// `namespace/name:port`, cut off where nft would not take it.
fn comment(service: &ServiceId, port: &PortPlan) -> Box<str> {
    let mut text = port.port_name(service).to_string();
    if text.len() > COMMENT_LEN {
        let fits = |at: &usize| text.is_char_boundary(*at);
        let end = (0..=COMMENT_LEN - CUT.len()).rev().find(fits).unwrap_or(0);
        text.truncate(end);
        text.push_str(CUT);
    }
    text.into()
}

struct PortRenderer<'a> {
    port: &'a PortPlan,
    family: Family,
    comment: Box<str>,
    /// The timeout of session affinity, and ids of endpoints.
    sticky: Option<(u32, BTreeMap<SocketAddr, u32>)>,
    objects: &'a mut Vec<(Key, Object)>,
}

impl PortRenderer<'_> {
    fn render(mut self) {
        self.hairpin();
        self.cluster_ip();
        let port = self.port;
        let cluster_ip = self.at(port.cluster_ip);
        let addresses = port.external_ips.iter().chain(&port.load_balancer_ips);
        let node_port = (port.node_port != 0).then_some(Frontend::NodePort {
            family: port.family,
            port: port.node_port,
            protocol: port.protocol,
        });
        let external: BTreeSet<Frontend> = addresses
            .map(|ip| self.at(*ip))
            .chain(node_port)
            .filter(|frontend| *frontend != cluster_ip)
            .collect();
        for frontend in external {
            self.external(frontend);
        }
        // With or without endpoints (contract 4.4): others are dropped, and not told what there is.
        if !port.source_ranges.is_empty() {
            for ip in &port.load_balancer_ips {
                let frontend = self.at(*ip);
                if frontend != cluster_ip {
                    self.restrict(frontend);
                }
            }
        }
    }

    fn at(&self, address: IpAddr) -> Frontend {
        Frontend::Address {
            address,
            port: self.port.port,
            protocol: self.port.protocol,
        }
    }

    fn element(&mut self, element: Element, content: ElementContent) {
        self.objects
            .push((Key::Element(element), Object::Element(content)));
    }

    fn is_in(&mut self, set: FrontendSet, frontend: Frontend) {
        let content = match set {
            FrontendSet::Services => ElementContent::Named(self.comment.clone()),
            _ => ElementContent::Member,
        };
        self.element(Element::Frontend { set, frontend }, content);
    }

    /// Endpoints of this node reach themselves with the node's address.
    fn hairpin(&mut self) {
        let port = self.port;
        for endpoint in port.endpoints.iter().filter(|endpoint| endpoint.local) {
            let element = Element::Hairpin {
                address: endpoint.address.ip(),
                port: endpoint.address.port(),
                protocol: port.protocol,
            };
            self.element(element, ElementContent::Member);
        }
    }

    fn cluster_ip(&mut self) {
        let port = self.port;
        let frontend = self.at(port.cluster_ip);
        let ip = Element::ClusterIp(port.cluster_ip);
        self.element(ip, ElementContent::Member);
        match port.internal_unreachable() {
            None => {
                if port.internal_local {
                    self.row(frontend, false, port.local_endpoints());
                } else {
                    self.row(frontend, false, port.cluster_endpoints());
                }
                self.is_in(FrontendSet::Services, frontend);
            }
            Some(reason) => self.turn_away(frontend, reason),
        }
    }

    fn external(&mut self, frontend: Frontend) {
        let port = self.port;
        if port.has_endpoints {
            self.row(frontend, false, port.cluster_endpoints());
            if port.external_local {
                self.row(frontend, true, port.local_endpoints());
                self.is_in(FrontendSet::Local, frontend);
            }
            self.is_in(FrontendSet::Services, frontend);
        }
        if let Some(reason) = port.external_unreachable() {
            self.turn_away(frontend, reason);
        }
    }

    fn turn_away(&mut self, frontend: Frontend, reason: Unreachable) {
        let set = match reason {
            Unreachable::NoEndpoints => FrontendSet::Rejected,
            Unreachable::NoLocalEndpoints => FrontendSet::Dropped,
        };
        self.is_in(set, frontend);
    }

    /// Ranges are merged: the kernel takes none that overlap.
    fn restrict(&mut self, frontend: Frontend) {
        let port = self.port;
        let own = port.own_sources.iter().map(|ip| (*ip).into());
        let ranges: Vec<_> = port.source_ranges.iter().copied().chain(own).collect();
        for sources in ipnet::IpNet::aggregate(&ranges) {
            let element = Element::Allowed { frontend, sources };
            self.element(element, ElementContent::Member);
        }
        self.is_in(FrontendSet::Restricted, frontend);
    }

    fn row<'b>(
        &mut self,
        frontend: Frontend,
        local: bool,
        endpoints: impl Iterator<Item = &'b EndpointPlan>,
    ) {
        let Slots { endpoints, .. } = Slots::of(endpoints, largest(local));
        let numbered = || (0_u16..).zip(&endpoints);
        let Some(size) = u16::try_from(endpoints.len().next_power_of_two())
            .ok()
            .filter(|_| !endpoints.is_empty())
        else {
            return;
        };
        for (slot, endpoint) in numbered() {
            let element = Element::Endpoint {
                local,
                frontend,
                slot,
            };
            self.element(element, ElementContent::Endpoint(*endpoint));
        }
        self.is_in(FrontendSet::Size { local, size }, frontend);
        let Some((seconds, ids)) = self.sticky.take() else {
            return;
        };
        let lookup = lookup(&frontend);
        let row = Row { lookup, local };
        self.objects.extend(base::sticky(self.family, row, seconds));
        for (slot, endpoint) in numbered() {
            let Some(id) = ids.get(endpoint).copied() else {
                continue;
            };
            let element = Element::StickySlot {
                local,
                frontend,
                slot,
            };
            self.element(element, ElementContent::Id(id));
            let element = Element::StickyEndpoint {
                local,
                frontend,
                id,
            };
            self.element(element, ElementContent::Endpoint(*endpoint));
        }
        self.is_in(FrontendSet::Sticky(seconds), frontend);
        self.sticky = Some((seconds, ids));
    }
}
