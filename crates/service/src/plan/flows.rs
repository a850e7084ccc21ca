//! Where the flows of a Service may lead that the kernel tracks already (contract 5.1).
//!
//! UDP has no end of a connection: a client that keeps its source port keeps its endpoint for as
//! long as the kernel tracks the flow. So flows must be ended when their endpoint goes. Of TCP that
//! is so while nobody answers: a client that repeats its SYN from one port stays where the first
//! one went (kubernetes/kubernetes#101607).

use std::net::{IpAddr, SocketAddr};

use super::backends::Backend;
use super::{FlowEndpoints, PortPlan, ServicePlan};
use crate::model::{Family, Protocol};

/// A place that clients of a Service port send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowPlace {
    /// A virtual IP and port. As a `SocketAddr` they would take half as much memory again.
    Virtual {
        /// The address.
        address: IpAddr,
        /// The port, 1 to 65,535.
        port: u16,
    },
    /// A port of the node's own addresses of one family.
    NodePort {
        /// The family.
        family: Family,
        /// The port, 1 to 65,535.
        port: u16,
    },
}

impl FlowPlace {
    /// A virtual IP and port.
    pub const fn at(address: SocketAddr) -> Self {
        Self::Virtual {
            address: address.ip(),
            port: address.port(),
        }
    }

    /// The same place for clients of this protocol.
    pub const fn over(self, protocol: Protocol) -> FlowDestination {
        FlowDestination {
            protocol,
            place: self,
        }
    }
}

/// What clients of a Service port send to: a place means another port with each protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowDestination {
    /// The protocol, UDP or TCP.
    pub protocol: Protocol,
    /// Where.
    pub place: FlowPlace,
}

impl FlowDestination {
    /// The IP family.
    pub fn family(&self) -> Family {
        match &self.place {
            FlowPlace::Virtual { address, .. } => Family::of(address),
            FlowPlace::NodePort { family, .. } => *family,
        }
    }
}

/// Where tracked flows of a Service port may lead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedFlows {
    /// True where an endpoint serves. Flows that lead nowhere are then to be ended, so that they
    /// find it.
    pub serving: bool,
    /// The serving endpoints, whatever topology and traffic policies say: those choose for new
    /// flows only. Where none serves, every endpoint that the slices list: it may serve again, and
    /// there is no better one. Shared by the frontends of a port.
    pub endpoints: FlowEndpoints,
}

/// One frontend of a UDP or TCP Service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowFrontend {
    /// Where clients send to.
    pub destination: FlowDestination,
    /// Where their flows may lead.
    pub flows: AllowedFlows,
}

/// The answer for one port; nothing for SCTP, whose tracked flows are left alone.
pub(super) fn of(protocol: Protocol, backends: &[Backend<'_>]) -> AllowedFlows {
    if protocol == Protocol::Sctp {
        return AllowedFlows::default();
    }
    let serves = |backend: &&Backend<'_>| backend.endpoint.conditions.serving;
    let serving = backends.iter().any(|backend| serves(&backend));
    let endpoints = backends
        .iter()
        .filter(|backend| !serving || serves(backend))
        .map(|backend| backend.address)
        .collect();
    AllowedFlows { serving, endpoints }
}

impl ServicePlan {
    /// Every frontend of the Service's UDP and TCP ports.
    pub fn flow_frontends(&self) -> Box<[FlowFrontend]> {
        let tracked = |port: &&PortPlan| port.protocol != Protocol::Sctp;
        self.ports
            .iter()
            .filter(tracked)
            .flat_map(|port| {
                destinations(port).map(|destination| FlowFrontend {
                    destination,
                    flows: port.flows.clone(),
                })
            })
            .collect()
    }
}

fn destinations(port: &PortPlan) -> impl Iterator<Item = FlowDestination> {
    let at = |ip: &IpAddr| FlowPlace::Virtual {
        address: *ip,
        port: port.port,
    };
    let protocol = port.protocol;
    let node_port = (port.node_port != 0).then_some(FlowPlace::NodePort {
        family: port.family,
        port: port.node_port,
    });
    std::iter::once(&port.cluster_ip)
        .chain(&port.load_balancer_ips)
        .chain(&port.external_ips)
        .map(at)
        .chain(node_port)
        .map(move |place| place.over(protocol))
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
        let flows = plan.flow_frontends()[0].flows.clone();
        let texts = flows
            .endpoints
            .iter()
            .map(|endpoint| endpoint.to_string())
            .collect();
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
    fn every_frontend_is_told_with_its_protocol() {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            every_frontend_is_told(protocol);
        }
    }

    fn every_frontend_is_told(protocol: Protocol) {
        let mut service = udp();
        service.ports[0].protocol = protocol;
        service.cluster_ips = [ip("10.1.0.1"), ip("fd00::1")].into();
        service.ports[0].node_port = 30_053;
        service.external_ips = [ip("198.51.100.1")].into();
        service.load_balancer_ips = [ip("203.0.113.1"), ip("2001:db8::1")].into();
        let mut slices = endpoints(&[READY]);
        slices[0].ports[0].protocol = protocol;
        let plan = plan_service(&service, &slices, &config(), &facts());
        let at = |text: &str| FlowPlace::at(text.parse().unwrap()).over(protocol);
        let node_port = |family| {
            let port = 30_053;
            FlowPlace::NodePort { family, port }.over(protocol)
        };
        let found: Vec<_> = plan
            .flow_frontends()
            .iter()
            .map(|f| f.destination)
            .collect();
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
        let [v4, v6] = [&plan.flow_frontends()[0], &plan.flow_frontends()[4]];
        assert!(v4.flows.serving && !v6.flows.serving, "a family each");
        let families = [v4, v6].map(|frontend| frontend.destination.family());
        assert_eq!(families, Family::ALL);
    }

    #[test]
    fn sctp_has_none() {
        let mut service = service("a");
        service.ports[0].protocol = Protocol::Sctp;
        let mut slices = endpoints(&[READY]);
        slices[0].ports[0].protocol = Protocol::Sctp;
        let plan = plan_service(&service, &slices, &config(), &facts());
        assert!(plan.ports[0].has_endpoints);
        assert!(plan.flow_frontends().is_empty());
        assert_eq!(plan.ports[0].flows, AllowedFlows::default());
    }
}
