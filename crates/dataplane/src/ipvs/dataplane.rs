//! IPVS mode on one node.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipvs_netlink::{Protocol, Scheduler, ServerId};
use viprule_service::model;
use viprule_service::plan::{FlowDestination, FlowPlace, NodeFacts, PortPlan, ServicePlan};

use super::balancing::balancing;
use super::settings::{Options, Settings};
use super::{Key, Object, Piece, render, served};
use crate::netfilter::{self, RuleCounts};
use crate::ownership::Layout;
use crate::ownership::leftovers::IPVS_LINK;
use crate::{Dataplane, Feature, NodeEffect, State, api_server};

/// IPVS mode on one node.
#[derive(Debug, Clone)]
pub struct Ipvs {
    settings: Settings,
    options: Options,
}

impl Ipvs {
    /// The dataplane of these settings on a node.
    pub fn new(settings: Settings, facts: &NodeFacts) -> Self {
        let options = Options::resolve(&settings, facts, &[]);
        Self { settings, options }
    }

    /// Takes new options and tells what has to be rendered again.
    fn adopt(&mut self, options: Options) -> NodeEffect {
        let effect = if options == self.options {
            NodeEffect::Nothing
        } else if options.services_see_no_difference(&self.options) {
            NodeEffect::Base
        } else {
            NodeEffect::Everything
        };
        self.options = options;
        effect
    }

    /// Cluster IPs that are the node's own addresses: bound to the link, they would take the
    /// node's traffic.
    fn refused(&self, plan: &ServicePlan) -> Vec<IpAddr> {
        let mut refused = Vec::new();
        for ip in plan.ports.iter().map(|port| port.cluster_ip) {
            if self.options.is_own(ip) && !refused.contains(&ip) {
                refused.push(ip);
            }
        }
        refused
    }

    /// External addresses that would be bound to the link, were they not the API server's.
    fn unserved(&self, plan: &ServicePlan) -> impl Iterator<Item = IpAddr> {
        let conflict = plan.api_server.as_ref();
        let addresses = conflict.into_iter().flat_map(|it| &it.addresses).copied();
        addresses.filter(|ip| {
            let is_frontend = |port: &PortPlan| {
                port.external_ips.contains(ip) || port.load_balancer_ips.contains(ip)
            };
            !self.options.is_own(*ip) && plan.ports.iter().any(is_frontend)
        })
    }
}

impl Dataplane for Ipvs {
    type Key = Key;
    type Object = Object;
    type Settings = Settings;
    type Counts = RuleCounts;

    fn set_node(&mut self, facts: &NodeFacts) -> NodeEffect {
        let options = Options::resolve(&self.settings, facts, &self.options.lacking);
        self.adopt(options)
    }

    fn configure(&mut self, settings: Settings, facts: &NodeFacts) -> NodeEffect {
        self.settings = settings;
        self.set_node(facts)
    }

    fn set_lacking(&mut self, lacking: &BTreeSet<Feature>, facts: &NodeFacts) -> NodeEffect {
        let schedulers = lacking.iter().map(|Feature::Scheduler(it)| *it);
        let schedulers: Vec<Scheduler> = schedulers.collect();
        let options = Options::resolve(&self.settings, facts, &schedulers);
        self.adopt(options)
    }

    fn base(&self) -> State<Key, Object> {
        render::base(&self.options)
    }

    fn service(&self, plan: &ServicePlan) -> State<Key, Object> {
        render::service(plan, &self.options)
    }

    fn entry_points(&self, has: &dyn Fn(&Key) -> bool) -> State<Key, Object> {
        render::entry_points(&self.options, has)
    }

    /// A chain without rules: a rule of somebody else may lead there for all we know.
    fn flushed(&self, key: &Key) -> Option<Object> {
        match key {
            Key::Netfilter(netfilter::Key::Chain { chain, .. })
                if !chain.is_shared(Layout::Ipvs) =>
            {
                let nothing = netfilter::Object::Rules(Vec::new());
                Some(Object::Netfilter(nothing))
            }
            _ => None,
        }
    }

    fn is_excluded(&self, key: &Key) -> bool {
        match key {
            Key::Server(server) | Key::Destination { server, .. } => match server {
                ServerId::Address { address, .. } => {
                    let excluded = &self.settings.exclude_cidrs;
                    excluded.iter().any(|network| network.contains(address))
                }
                ServerId::Fwmark { .. } => false,
            },
            _ => false,
        }
    }

    fn objections(&self, plan: &ServicePlan) -> Vec<String> {
        let refused = self.refused(plan).into_iter().map(|ip| {
            format!(
                "cluster IP {ip} is an address of this node, so IPVS mode does not serve it: let \
                 the cluster's service range and the nodes' network not overlap, and create the \
                 Service again"
            )
        });
        let unserved = self.unserved(plan).map(|ip| {
            format!(
                "{ip} is an address of the API server, so IPVS mode does not serve it: on {IPVS_LINK} \
                 it would cut this node off; take the address from the Service's external IPs or \
                 load balancer"
            )
        });
        let withheld = api_server::objections(plan);
        let balancing = balancing(plan.scheduler.as_deref(), &self.options);
        refused
            .chain(withheld)
            .chain(unserved)
            .chain(balancing.objection)
            .collect()
    }

    fn frontends() -> BTreeSet<Piece> {
        served::frontends()
    }

    fn served(frontends: &State<Key, Object>) -> usize {
        served::served(frontends)
    }

    fn udp_frontend(key: &Key, _: &Object) -> Option<FlowDestination> {
        match key {
            Key::Server(ServerId::Address {
                address,
                port,
                protocol: Protocol::Udp,
            }) => {
                let place = FlowPlace::at(SocketAddr::new(*address, *port));
                Some(place.over(model::Protocol::Udp))
            }
            _ => None,
        }
    }

    fn counts(key: &Key, object: &Object) -> RuleCounts {
        match (key, object) {
            (Key::Netfilter(key), Object::Netfilter(object)) => RuleCounts::of(key, object),
            _ => RuleCounts::default(),
        }
    }
}
