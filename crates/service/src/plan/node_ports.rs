//! `nodePortAddresses`: which of the node's addresses take node port traffic (contract 10).

use std::net::IpAddr;

use ipnet::IpNet;

use super::NodeFacts;
use crate::model::Family;

/// The setting `nodePortAddresses`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// Not set: every local address.
    #[default]
    All,
    /// `primary`: the node's own address of each family.
    Primary,
    /// Local addresses inside these networks; a family without a network gets every address.
    Networks(Vec<IpNet>),
}

/// Where node ports answer, for one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodePortTargets {
    /// On every local address.
    Every,
    /// On these addresses, sorted.
    Addresses(Vec<IpAddr>),
}

impl NodePortAddresses {
    /// The networks of one family; `None` means every address.
    fn networks(&self, family: Family, facts: &NodeFacts) -> Option<Vec<IpNet>> {
        let networks: Vec<IpNet> = match self {
            Self::All => return None,
            Self::Primary => Family::ALL
                .iter()
                .filter_map(|family| facts.node_ip(*family))
                .filter(|ip| !ip.is_loopback())
                .map(IpNet::from)
                .collect(),
            Self::Networks(networks) => networks.clone(),
        };
        let networks: Vec<IpNet> = networks
            .into_iter()
            .filter(|net| Family::of(&net.addr()) == family)
            .collect();
        let every = networks.is_empty() || networks.iter().any(|net| net.prefix_len() == 0);
        (!every).then_some(networks)
    }

    /// The addresses of one family on this node that answer on node ports.
    pub fn targets(&self, family: Family, facts: &NodeFacts) -> NodePortTargets {
        match self.networks(family, facts) {
            None => NodePortTargets::Every,
            Some(networks) => NodePortTargets::Addresses(
                facts
                    .local_addresses
                    .iter()
                    .copied()
                    .filter(|ip| networks.iter().any(|net| net.contains(ip)))
                    .collect(),
            ),
        }
    }

    /// True where IPv4 loopback addresses take node port traffic, which needs `route_localnet`
    /// (contract 2.11).
    pub fn include_loopback(&self, facts: &NodeFacts) -> bool {
        let loopback = IpAddr::from([127, 0, 0, 0]);
        self.networks(Family::Ipv4, facts).is_none_or(|networks| {
            networks
                .iter()
                .any(|net| net.network().is_loopback() || net.contains(&loopback))
        })
    }
}
