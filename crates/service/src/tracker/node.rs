//! What is known of this node, from its object, the machine and the settings (contract 1.3).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::model::{Family, Node};
use crate::plan::{NodeFacts, PlanConfig};

/// The inputs that [`NodeFacts`] are worked out from.
#[derive(Debug, Default)]
pub(super) struct NodeInputs {
    pub(super) node: Option<Node>,
    /// The machine's addresses, once they were told.
    pub(super) machine: Option<Vec<IpAddr>>,
    /// Where the API server is, as the source reaches it.
    pub(super) api_server: BTreeSet<SocketAddr>,
    /// What each `ServiceCIDR` object has.
    pub(super) service_cidrs: BTreeMap<Box<str>, Vec<IpNet>>,
}

impl NodeInputs {
    fn addresses(&self) -> &[IpAddr] {
        self.node.as_ref().map_or(&[], |node| &node.addresses)
    }

    /// Works out the facts, but for the way to the API server, which Services are part of.
    pub(super) fn facts(&self, config: &PlanConfig) -> NodeFacts {
        let node_ip = Family::ALL.map(|family| {
            let bound = bind_address(config).filter(|ip| Family::of(ip) == family);
            let own = self
                .addresses()
                .iter()
                .copied()
                .find(|ip| Family::of(ip) == family);
            Some(bound.or(own).unwrap_or(match family {
                Family::Ipv4 => Ipv4Addr::LOCALHOST.into(),
                Family::Ipv6 => Ipv6Addr::LOCALHOST.into(),
            }))
        });
        let mut local_addresses = self
            .machine
            .clone()
            .unwrap_or_else(|| self.addresses().to_vec());
        local_addresses.sort_unstable();
        local_addresses.dedup();
        let node = self.node.as_ref();
        let zone = node.and_then(|node| node.zone.clone());
        let pod_cidrs = node.map(|node| node.pod_cidrs.clone()).unwrap_or_default();
        NodeFacts {
            zone,
            node_ip,
            local_addresses,
            pod_cidrs,
            api_server: Vec::new(),
            service_cidrs: merged(self.service_cidrs.values().flatten()),
        }
    }

    /// The family of `bindAddress`, else of the node's first address, else IPv4.
    pub(super) fn primary_family(&self, config: &PlanConfig) -> Family {
        let first = self.addresses().first().copied();
        bind_address(config)
            .or(first)
            .map_or(Family::Ipv4, |ip| Family::of(&ip))
    }
}

fn merged<'a>(networks: impl Iterator<Item = &'a IpNet>) -> Vec<IpNet> {
    let networks: Vec<IpNet> = networks.map(IpNet::trunc).collect();
    let mut merged = IpNet::aggregate(&networks);
    merged.sort_unstable();
    merged
}

fn bind_address(config: &PlanConfig) -> Option<IpAddr> {
    config.bind_address.filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{config, ip};

    fn inputs(addresses: &[&str]) -> NodeInputs {
        let addresses = addresses.iter().map(|text| ip(text)).collect();
        NodeInputs {
            node: Some(Node {
                addresses,
                ..Node::default()
            }),
            ..NodeInputs::default()
        }
    }

    #[test]
    fn without_a_node_the_loopback_addresses_stand_in() {
        let facts = NodeInputs::default().facts(&config());
        assert_eq!(facts.node_ip, [Some(ip("127.0.0.1")), Some(ip("::1"))]);
        assert!(facts.local_addresses.is_empty());
        assert_eq!(
            NodeInputs::default().primary_family(&config()),
            Family::Ipv4
        );
    }

    #[test]
    fn service_cidrs_are_merged() {
        let networks = |texts: &[&str]| -> Vec<IpNet> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let inputs = NodeInputs {
            service_cidrs: [
                ("kubernetes", networks(&["10.96.0.0/16", "fd00:96::/112"])),
                ("more", networks(&["10.97.0.1/16", "10.96.7.0/24"])),
            ]
            .map(|(name, networks)| (name.into(), networks))
            .into(),
            ..NodeInputs::default()
        };
        let merged = networks(&["10.96.0.0/15", "fd00:96::/112"]);
        assert_eq!(inputs.facts(&config()).service_cidrs, merged);
    }

    #[test]
    fn the_first_address_of_each_family_counts_and_the_first_is_primary() {
        let inputs = inputs(&["fd00::1", "192.0.2.1", "192.0.2.2", "fd00::2"]);
        assert_eq!(
            inputs.facts(&config()).node_ip,
            [Some(ip("192.0.2.1")), Some(ip("fd00::1"))]
        );
        assert_eq!(inputs.primary_family(&config()), Family::Ipv6);
    }

    #[test]
    fn bind_address_replaces_its_family_and_is_primary() {
        let inputs = inputs(&["fd00::1", "192.0.2.1"]);
        let bound = PlanConfig {
            bind_address: Some(ip("127.0.0.9")),
            ..config()
        };
        assert_eq!(
            inputs.facts(&bound).node_ip,
            [Some(ip("127.0.0.9")), Some(ip("fd00::1"))]
        );
        assert_eq!(inputs.primary_family(&bound), Family::Ipv4);
    }

    #[test]
    fn an_unspecified_bind_address_changes_nothing() {
        let inputs = inputs(&["fd00::1", "192.0.2.1"]);
        let bound = PlanConfig {
            bind_address: Some(ip("0.0.0.0")),
            ..config()
        };
        assert_eq!(inputs.facts(&bound), inputs.facts(&config()));
        assert_eq!(inputs.primary_family(&bound), Family::Ipv6);
    }

    #[test]
    fn the_machines_addresses_win_over_the_node_objects() {
        let mut inputs = inputs(&["192.0.2.2", "192.0.2.1", "192.0.2.2"]);
        let facts = inputs.facts(&config());
        assert_eq!(facts.local_addresses, [ip("192.0.2.1"), ip("192.0.2.2")]);
        inputs.machine = Some(vec![ip("10.0.0.1")]);
        assert_eq!(inputs.facts(&config()).local_addresses, [ip("10.0.0.1")]);
        inputs.machine = Some(vec![]);
        assert!(inputs.facts(&config()).local_addresses.is_empty());
    }
}
