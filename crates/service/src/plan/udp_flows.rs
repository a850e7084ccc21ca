//! Where the flows of a UDP Service may lead that the kernel tracks already (contract 5.1).
//!
//! UDP has no end of a connection: a client that keeps its source port keeps its endpoint for as
//! long as the kernel tracks the flow. So flows must be ended when their endpoint goes.

use std::net::{IpAddr, SocketAddr};

use super::backends::Backend;
use super::{PortPlan, ServicePlan};
use crate::model::{Family, Protocol};

/// A place that clients of a UDP Service port send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UdpDestination {
    /// A virtual IP and port.
    Virtual(SocketAddr),
    /// A port of the node's own addresses of one family.
    NodePort {
        /// The family.
        family: Family,
        /// The port, 1 to 65,535.
        port: u16,
    },
}

impl UdpDestination {
    /// The IP family.
    pub fn family(&self) -> Family {
        match self {
            Self::Virtual(address) => Family::of(&address.ip()),
            Self::NodePort { family, .. } => *family,
        }
    }
}

/// Where tracked flows of a UDP Service port may lead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UdpFlows {
    /// True where an endpoint serves. Flows that lead nowhere are then to be ended, so that they
    /// find it.
    pub serving: bool,
    /// The serving endpoints, whatever topology and traffic policies say: those choose for new
    /// flows only. Where none serves, every endpoint that the slices list: it may serve again, and
    /// there is no better one.
    pub endpoints: Vec<SocketAddr>,
}

/// One frontend of a UDP Service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpFrontend {
    /// Where clients send to.
    pub destination: UdpDestination,
    /// Where their flows may lead.
    pub flows: UdpFlows,
}

/// The answer for one port; nothing for other protocols.
pub(super) fn of(protocol: Protocol, backends: &[Backend<'_>]) -> UdpFlows {
    if protocol != Protocol::Udp {
        return UdpFlows::default();
    }
    let serves = |backend: &&Backend<'_>| backend.endpoint.conditions.serving;
    let serving = backends.iter().any(|backend| serves(&backend));
    let endpoints = backends
        .iter()
        .filter(|backend| !serving || serves(backend))
        .map(|backend| backend.address)
        .collect();
    UdpFlows { serving, endpoints }
}

impl ServicePlan {
    /// Every frontend of the Service's UDP ports.
    pub fn udp_frontends(&self) -> Vec<UdpFrontend> {
        let udp = |port: &&PortPlan| port.protocol == Protocol::Udp;
        self.ports
            .iter()
            .filter(udp)
            .flat_map(|port| {
                destinations(port).map(|destination| UdpFrontend {
                    destination,
                    flows: port.udp_flows.clone(),
                })
            })
            .collect()
    }
}

fn destinations(port: &PortPlan) -> impl Iterator<Item = UdpDestination> {
    let at = |ip: &IpAddr| UdpDestination::Virtual(SocketAddr::new(*ip, port.port));
    let node_port = (port.node_port != 0).then_some(UdpDestination::NodePort {
        family: port.family,
        port: port.node_port,
    });
    std::iter::once(&port.cluster_ip)
        .chain(&port.load_balancer_ips)
        .chain(&port.external_ips)
        .map(at)
        .chain(node_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Conditions, EndpointSlice, Service};
    use crate::plan::plan_service;
    use crate::plan::testing::{
        NODE, NOT_READY, READY, SERVING, STOPPED, config, endpoint, facts, ip, service, slice,
    };

    /// Not ready and not serving, not terminating: a readiness probe fails.
    const UNREADY: Conditions = Conditions {
        ready: false,
        serving: false,
        terminating: false,
    };

    fn udp() -> Service {
        let mut service = service("a");
        service.ports[0].protocol = Protocol::Udp;
        service
    }

    fn endpoints(conditions: &[Conditions]) -> [EndpointSlice; 1] {
        let mut slice = slice("s", []);
        slice.ports[0].protocol = Protocol::Udp;
        slice.endpoints = (1..)
            .zip(conditions)
            .map(|(n, c): (u8, _)| endpoint(&format!("10.0.0.{n}"), *c, "other"))
            .collect();
        [slice]
    }

    fn flows(service: &Service, conditions: &[Conditions]) -> (bool, Vec<String>) {
        let plan = plan_service(service, &endpoints(conditions), &config(), &facts());
        let flows = plan.udp_frontends().remove(0).flows;
        let texts = flows.endpoints.iter().map(ToString::to_string).collect();
        (flows.serving, texts)
    }

    #[test]
    fn serving_endpoints_may_keep_their_flows_ready_or_not() {
        let all = [READY, SERVING, NOT_READY, STOPPED, UNREADY];
        assert_eq!(
            flows(&udp(), &all),
            (
                true,
                vec![
                    "10.0.0.1:8080".to_owned(),
                    "10.0.0.2:8080".to_owned(),
                    "10.0.0.3:8080".to_owned()
                ]
            )
        );
    }

    #[test]
    fn policies_do_not_count() {
        let mut service = udp();
        service.internal_policy_local = true;
        assert_ne!(
            endpoints(&[READY])[0].endpoints[0].node.as_deref(),
            Some(NODE)
        );
        assert_eq!(flows(&service, &[READY]).1, ["10.0.0.1:8080"]);
    }

    #[test]
    fn without_a_serving_endpoint_those_that_are_still_there_keep_theirs() {
        let texts = vec!["10.0.0.1:8080".to_owned(), "10.0.0.2:8080".to_owned()];
        assert_eq!(flows(&udp(), &[UNREADY, STOPPED]), (false, texts));
        assert_eq!(flows(&udp(), &[]), (false, vec![]));
    }

    #[test]
    fn every_frontend_is_told() {
        let mut service = udp();
        service.cluster_ips = [ip("10.1.0.1"), ip("fd00::1")].into();
        service.ports[0].node_port = 30_053;
        service.external_ips = [ip("198.51.100.1")].into();
        service.load_balancer_ips = [ip("203.0.113.1"), ip("2001:db8::1")].into();
        let plan = plan_service(&service, &endpoints(&[READY]), &config(), &facts());
        let at = |text: &str| UdpDestination::Virtual(text.parse().unwrap());
        let node_port = |family| UdpDestination::NodePort {
            family,
            port: 30_053,
        };
        let found: Vec<_> = plan.udp_frontends().iter().map(|f| f.destination).collect();
        assert_eq!(
            found,
            [
                at("10.1.0.1:80"),
                at("203.0.113.1:80"),
                at("198.51.100.1:80"),
                node_port(Family::Ipv4),
                at("[fd00::1]:80"),
                at("[2001:db8::1]:80"),
                node_port(Family::Ipv6),
            ]
        );
        let [v4, v6] = [&plan.udp_frontends()[0], &plan.udp_frontends()[4]];
        assert!(v4.flows.serving && !v6.flows.serving, "a family each");
        let families = [v4, v6].map(|frontend| frontend.destination.family());
        assert_eq!(families, Family::ALL);
    }

    #[test]
    fn other_protocols_have_none() {
        let plan = plan_service(&service("a"), &[], &config(), &facts());
        assert_eq!(plan.udp_frontends(), []);
        assert_eq!(plan.ports[0].udp_flows, UdpFlows::default());
    }
}
