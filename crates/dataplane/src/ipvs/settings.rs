//! What an operator sets, and what follows from it on this node.

use std::net::IpAddr;

use ipnet::IpNet;
use ipvs_netlink::Scheduler;
use nfnetlink::Family;
use viprule_service::model;
use viprule_service::plan::{NodeFacts, NodePortTargets};

use crate::CommonSettings;
use crate::family::index;
use crate::netfilter::Masquerade;

/// IPVS mode's settings (contract 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Those of every mode.
    pub common: CommonSettings,
    /// `ipvs.scheduler`, for Services that ask for none.
    pub scheduler: Scheduler,
    /// `ipvs.excludeCIDRs`: virtual servers on these addresses are never removed.
    pub exclude_cidrs: Vec<IpNet>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            common: CommonSettings::default(),
            scheduler: Scheduler::RR,
            exclude_cidrs: Vec::new(),
        }
    }
}

/// What is rendered depends on this besides the plan. Values that differ by family are indexed by
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) families: Vec<Family>,
    pub(super) masquerade: Masquerade,
    /// The node's addresses but for loopback and IPv6 link-local ones, sorted.
    pub(super) own_addresses: Vec<IpAddr>,
    /// Where node ports answer.
    pub(super) node_port_addresses: [Vec<IpAddr>; 2],
    pub(super) scheduler: Scheduler,
    /// Schedulers that the kernel turned out not to have.
    pub(super) lacking: Vec<Scheduler>,
}

impl Options {
    pub(super) fn resolve(settings: &Settings, facts: &NodeFacts, lacking: &[Scheduler]) -> Self {
        let common = &settings.common;
        let local = facts.local_addresses.iter().copied();
        let mut own_addresses: Vec<IpAddr> = local.filter(is_real).collect();
        own_addresses.sort_unstable();
        let node_ports = |family| match common.node_port_addresses.targets(family, facts) {
            NodePortTargets::Every => own_addresses
                .iter()
                .copied()
                .filter(|ip| model::Family::of(ip) == family)
                .collect(),
            NodePortTargets::Addresses(mut chosen) => {
                chosen.retain(|ip| !ip.is_loopback());
                chosen
            }
        };
        Self {
            families: common.families.clone(),
            masquerade: Masquerade::resolve(common, facts),
            node_port_addresses: model::Family::ALL.map(node_ports),
            own_addresses,
            scheduler: settings.scheduler,
            lacking: lacking.to_vec(),
        }
    }

    /// True for a scheduler that the kernel has as far as we know.
    pub(super) fn has(&self, scheduler: Scheduler) -> bool {
        !self.lacking.contains(&scheduler)
    }

    /// The node's addresses that take node port traffic; none means that there are no node ports.
    pub(super) fn node_ports(&self, family: Family) -> &[IpAddr] {
        &self.node_port_addresses[index(family)]
    }

    /// True for an address of the node itself.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        self.own_addresses.binary_search(&address).is_ok()
    }

    /// True where Services are rendered the same with the other options.
    pub(super) fn services_see_no_difference(&self, other: &Self) -> bool {
        let seen = |it: &Self| Self {
            masquerade: Masquerade::default(),
            ..it.clone()
        };
        seen(self) == seen(other)
    }
}

/// False for addresses that each machine has: loopback and IPv6 link-local ones (contract 3.3).
fn is_real(address: &IpAddr) -> bool {
    let link_local = matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local());
    !address.is_loopback() && !link_local
}
