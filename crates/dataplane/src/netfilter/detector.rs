//! How rules tell the packets of local pods from others (contract 1.8).

use ipnet::IpNet;
use nfnetlink::xtables::{Interface, NotOr, Rule};
use viprule_service::model;
use viprule_service::plan::NodeFacts;

use crate::DetectLocal;

/// How packets of local pods are recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detector {
    /// By source address.
    Source(IpNet),
    /// By the interface that they arrive on.
    Interface(Interface),
}

impl Detector {
    /// That of a family on this node; none where the family has no network to tell by.
    pub(super) fn resolve(
        detect_local: &DetectLocal,
        family: model::Family,
        facts: &NodeFacts,
    ) -> Option<Self> {
        let first = |networks: &[IpNet]| {
            let network = networks
                .iter()
                .find(|net| model::Family::of(&net.addr()) == family);
            network.map(|net| Self::Source(net.trunc()))
        };
        let interface = |name: &str, wildcard| {
            Some(Self::Interface(Interface {
                name: name.to_owned(),
                wildcard,
            }))
        };
        match detect_local {
            DetectLocal::ClusterCidr(networks) => first(networks),
            DetectLocal::NodeCidr => first(&facts.pod_cidrs),
            DetectLocal::BridgeInterface(name) => interface(name, false),
            DetectLocal::InterfaceNamePrefix(name) => interface(name, true),
        }
    }

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
