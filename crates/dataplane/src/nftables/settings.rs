//! What an operator sets, and what follows from it on this node.

use std::net::IpAddr;

use ipnet::IpNet;
use nfnetlink::Family;
use viprule_service::model;
use viprule_service::plan::{NodeFacts, NodePortTargets};

use crate::CommonSettings;
use crate::netfilter::Masquerade;

/// nftables mode's settings (contract 8).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Those of every mode.
    pub common: CommonSettings,
}

/// What is rendered depends on this besides the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) families: Vec<Family>,
    pub(super) masquerade: Masquerade,
    /// The node's addresses that take node port traffic, but for loopback ones, which no packet
    /// from elsewhere reaches and no answer comes back to without `route_localnet`.
    pub(super) node_addresses: Vec<IpAddr>,
    /// Ranges that cluster IPs are given out from; none overlap.
    pub(super) service_cidrs: Vec<IpNet>,
}

impl Options {
    pub(super) fn resolve(settings: &Settings, facts: &NodeFacts) -> Self {
        let common = &settings.common;
        let of_family = |family| {
            let all = match common.node_port_addresses.targets(family, facts) {
                NodePortTargets::Every => facts.local_addresses.clone(),
                NodePortTargets::Addresses(chosen) => chosen,
            };
            let takes = move |ip: &IpAddr| model::Family::of(ip) == family && !ip.is_loopback();
            all.into_iter().filter(takes)
        };
        Self {
            families: common.families.clone(),
            masquerade: Masquerade::resolve(common, facts),
            node_addresses: model::Family::ALL.into_iter().flat_map(of_family).collect(),
            service_cidrs: facts.service_cidrs.clone(),
        }
    }
}
