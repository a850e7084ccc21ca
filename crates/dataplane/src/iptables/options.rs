//! Settings of iptables mode.

use ipnet::IpNet;
use nfnetlink::Family;
use nfnetlink::xtables::{Interface, NotOr, Rule};
use viprule_service::plan::NodePortTargets;

use crate::family::index;

/// What the chains depend on besides the plan. Values that differ by family are indexed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Options {
    /// The families to write.
    pub families: Vec<Family>,
    /// The packet mark that asks for masquerading: one bit (`iptables.masqueradeBit`).
    pub masquerade_mark: u32,
    /// `iptables.masqueradeAll`.
    pub masquerade_all: bool,
    /// How packets of local pods are told from others (contract 1.8).
    pub detectors: [Option<Detector>; 2],
    /// Node ports answer on IPv4 loopback addresses: the setting `iptables.localhostNodePorts`
    /// where `nodePortAddresses` allows it (contract 2.11).
    pub localhost_node_ports: bool,
    /// Where node ports answer.
    pub node_port_targets: [NodePortTargets; 2],
    /// The kernel has nfacct counters (contract 2.11).
    pub nfacct: bool,
    /// Drop packets that conntrack finds invalid: false where
    /// `net.netfilter.nf_conntrack_tcp_be_liberal` is set (contract 2.4).
    pub drop_invalid: bool,
}

impl Options {
    /// kube-proxy's defaults: bit 14, no detector, node ports everywhere, counters present.
    pub fn new() -> Self {
        Self {
            families: Family::ALL.to_vec(),
            masquerade_mark: 1 << 14,
            masquerade_all: false,
            detectors: [None, None],
            localhost_node_ports: true,
            node_port_targets: [NodePortTargets::Every, NodePortTargets::Every],
            nfacct: true,
            drop_invalid: true,
        }
    }

    /// The detector of a family.
    pub fn detector(&self, family: Family) -> Option<&Detector> {
        self.detectors[index(family)].as_ref()
    }

    /// The node port targets of a family.
    pub fn node_ports(&self, family: Family) -> &NodePortTargets {
        &self.node_port_targets[index(family)]
    }

    /// True where node ports answer on the family's loopback addresses.
    pub fn localhost(&self, family: Family) -> bool {
        family == Family::Ipv4 && self.localhost_node_ports
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// How packets of local pods are recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detector {
    /// By source address.
    Source(IpNet),
    /// By the interface that they arrive on.
    Interface(Interface),
}

impl Detector {
    /// Makes the rule apply to local pods' packets only.
    #[must_use]
    pub fn local(&self, rule: Rule) -> Rule {
        self.apply(rule, false)
    }

    /// Makes the rule apply to all packets but those of local pods.
    #[must_use]
    pub fn not_local(&self, rule: Rule) -> Rule {
        self.apply(rule, true)
    }

    fn apply(&self, mut rule: Rule, not: bool) -> Rule {
        match self {
            Self::Source(net) => rule.src = Some(NotOr { not, value: *net }),
            Self::Interface(interface) => {
                rule.in_interface = Some(NotOr {
                    not,
                    value: interface.clone(),
                });
            }
        }
        rule
    }
}
