//! Puts the rules together.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{
    Frontend, FrontendKind, NodeFacts, PlanConfig, PortPlan, SchedulerWish, ServicePlan,
    api_server, backends, endpoints, flows, frontends, health, source_ranges, traffic_policy,
};
use crate::model::{Balancing, EndpointSlice, Family, Service, ServicePort};

/// The frontends that a Service asked for and another one has, each with the index of the port
/// that asked and the field by which it did.
pub(crate) type Lost = BTreeMap<(u32, Frontend), FrontendKind>;

/// Works out what a Service asks of this node, all of whose frontends are its own.
///
/// `slices` are the Service's, of both families, sorted by name: where two have the same endpoint
/// the later one holds.
pub fn plan_service(
    service: &Service,
    slices: &[EndpointSlice],
    config: &PlanConfig,
    facts: &NodeFacts,
) -> ServicePlan {
    plan_without(service, slices, config, facts, None)
}

/// Works out what a Service asks of this node, less the frontends that it lost to others.
pub(crate) fn plan_without(
    service: &Service,
    slices: &[EndpointSlice],
    config: &PlanConfig,
    facts: &NodeFacts,
    lost: Option<&Lost>,
) -> ServicePlan {
    let planner = Planner {
        service,
        slices,
        config,
        facts,
        lost,
    };
    let families = Family::ALL
        .iter()
        .filter(|family| service.cluster_ip(**family).is_some());
    let mut ports = Vec::with_capacity(service.ports.len() * families.clone().count());
    for family in families {
        let indexed = (0..).zip(&service.ports);
        ports.extend(indexed.filter_map(|(index, port)| planner.port(*family, index, port)));
    }
    let health_check = health::check(service, slices, &config.node_name);
    ServicePlan {
        service: service.id.clone(),
        ports,
        health_check,
        scheduler: service.balancing.as_deref().map(scheduler).map(Box::new),
        api_server: api_server::conflict(service, config, facts).map(Box::new),
    }
}

fn scheduler(balancing: &Balancing) -> SchedulerWish {
    SchedulerWish {
        name: balancing.scheduler.clone(),
        flags: balancing.flags,
        weighted: !balancing.weights.is_empty(),
    }
}

struct Planner<'a> {
    service: &'a Service,
    slices: &'a [EndpointSlice],
    config: &'a PlanConfig,
    facts: &'a NodeFacts,
    lost: Option<&'a Lost>,
}

impl Planner<'_> {
    fn has_lost(&self, index: u32, frontend: Frontend) -> bool {
        self.lost
            .is_some_and(|lost| lost.contains_key(&(index, frontend)))
    }

    /// The addresses that a port may have as frontends beside its cluster IP.
    fn external(&self, mut ips: Vec<IpAddr>, index: u32, port: &ServicePort) -> Vec<IpAddr> {
        if self.lost.is_some() {
            ips.retain(|&address| {
                let frontend = Frontend::Address {
                    address,
                    port: port.port,
                    protocol: port.protocol,
                };
                !self.has_lost(index, frontend)
            });
        }
        api_server::without(ips, port, self.facts)
    }

    /// One port in one family; `None` where its cluster IP is not the Service's.
    fn port(&self, family: Family, index: u32, port: &ServicePort) -> Option<PortPlan> {
        let Self {
            service,
            slices,
            config,
            facts,
            ..
        } = *self;
        let cluster_ip = service.cluster_ip(family)?;
        let protocol = port.protocol;
        let frontend = Frontend::Address {
            address: cluster_ip,
            port: port.port,
            protocol,
        };
        if self.has_lost(index, frontend) {
            return None;
        }
        let frontend = Frontend::NodePort {
            family,
            port: port.node_port,
            protocol,
        };
        let is_taken =
            self.has_lost(index, frontend) || api_server::has_node_port(port, family, facts);
        let node_port = if is_taken { 0 } else { port.node_port };

        let load_balancer_ips = frontends::of_family(&service.load_balancer_ips, family);
        let external_ips = frontends::of_family(&service.external_ips, family);
        // Before the gate is asked: external IPs that are not programmed count here.
        let externally_accessible =
            node_port != 0 || !load_balancer_ips.is_empty() || !external_ips.is_empty();
        let source_ranges = source_ranges::of_family(&service.source_ranges, family);
        let source_ranges_hold_node =
            source_ranges::hold_node(&source_ranges, facts.node_ip(family));
        let own_sources = if source_ranges_hold_node {
            load_balancer_ips.clone()
        } else {
            Vec::new()
        };
        let [external_ips, load_balancer_ips] = [
            if config.allow_external_ips {
                external_ips
            } else {
                Vec::new()
            },
            load_balancer_ips,
        ]
        .map(|ips| self.external(ips, index, port));

        let uses = traffic_policy::uses(service, externally_accessible);
        let backends = backends::merge(slices, family, &port.name, protocol);
        let balancing = service.balancing.as_deref();
        let selection = endpoints::select(&backends, uses, balancing, config, facts);
        Some(PortPlan {
            family,
            name: port.name.clone(),
            protocol,
            port: port.port,
            cluster_ip,
            external_ips,
            load_balancer_ips,
            node_port,
            source_ranges_hold_node,
            own_sources,
            source_ranges,
            affinity_seconds: service.affinity_seconds,
            internal_local: service.internal_policy_local,
            external_local: traffic_policy::external_local(service),
            health_check_node_port: health::node_port(service),
            endpoints: selection.endpoints,
            idle_local_endpoints: selection.idle_local,
            has_endpoints: selection.has_endpoints,
            flows: flows::of(protocol, &backends),
        })
    }
}
