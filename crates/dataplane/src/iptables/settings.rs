//! What an operator sets, and what follows from it on this node.

use std::collections::BTreeSet;

use ipnet::IpNet;
use nfnetlink::Family;
use nfnetlink::xtables::Interface;
use viprule_service::model;
use viprule_service::plan::{NodeFacts, NodePortAddresses, ServicePlan};

use super::options::{Detector, Options};
use super::served;
use crate::netfilter::{Key, Object, Part};
use crate::ownership::Layout;
use crate::{Dataplane, NodeEffect, RuleCounts, State};

/// iptables mode's settings (contract 8).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Settings {
    /// The families to write.
    pub families: Vec<Family>,
    /// `iptables.masqueradeBit`, 0 to 31.
    pub masquerade_bit: u8,
    /// `iptables.masqueradeAll`.
    pub masquerade_all: bool,
    /// `detectLocalMode` and what belongs to it.
    pub detect_local: DetectLocal,
    /// `iptables.localhostNodePorts`.
    pub localhost_node_ports: bool,
    /// `nodePortAddresses`.
    pub node_port_addresses: NodePortAddresses,
    /// The kernel has nfacct counters.
    pub nfacct: bool,
    /// Drop packets that conntrack finds invalid (contract 2.4).
    pub drop_invalid: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            families: Family::ALL.to_vec(),
            masquerade_bit: 14,
            masquerade_all: false,
            detect_local: DetectLocal::ClusterCidr(Vec::new()),
            localhost_node_ports: true,
            node_port_addresses: NodePortAddresses::All,
            nfacct: true,
            drop_invalid: true,
        }
    }
}

/// How local pods' packets are recognised (contract 1.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DetectLocal {
    /// `ClusterCIDR`: by these networks, the first of each family.
    ClusterCidr(Vec<IpNet>),
    /// `NodeCIDR`: by the Node's `podCIDRs`.
    NodeCidr,
    /// `BridgeInterface`: by this interface.
    BridgeInterface(String),
    /// `InterfaceNamePrefix`: by interfaces whose names begin so.
    InterfaceNamePrefix(String),
}

impl DetectLocal {
    pub(crate) fn detector(&self, family: model::Family, facts: &NodeFacts) -> Option<Detector> {
        let first = |networks: &[IpNet]| {
            let network = networks
                .iter()
                .find(|net| model::Family::of(&net.addr()) == family);
            network.map(|net| Detector::Source(net.trunc()))
        };
        let interface = |name: &str, wildcard| {
            Some(Detector::Interface(Interface {
                name: name.to_owned(),
                wildcard,
            }))
        };
        match self {
            Self::ClusterCidr(networks) => first(networks),
            Self::NodeCidr => first(&facts.pod_cidrs),
            Self::BridgeInterface(name) => interface(name, false),
            Self::InterfaceNamePrefix(name) => interface(name, true),
        }
    }
}

/// iptables mode on one node.
#[derive(Debug, Clone)]
pub struct Iptables {
    settings: Settings,
    options: Options,
}

impl Iptables {
    /// The dataplane of these settings on a node.
    pub fn new(settings: Settings, facts: &NodeFacts) -> Self {
        let options = resolve(&settings, facts);
        Self { settings, options }
    }

    /// What is written, settings and node taken together.
    pub fn options(&self) -> &Options {
        &self.options
    }
}

fn resolve(settings: &Settings, facts: &NodeFacts) -> Options {
    let node_ports = &settings.node_port_addresses;
    Options {
        families: settings.families.clone(),
        masquerade_mark: 1 << settings.masquerade_bit,
        masquerade_all: settings.masquerade_all,
        detectors: model::Family::ALL.map(|family| settings.detect_local.detector(family, facts)),
        localhost_node_ports: settings.localhost_node_ports && node_ports.include_loopback(facts),
        node_port_targets: model::Family::ALL.map(|family| node_ports.targets(family, facts)),
        nfacct: settings.nfacct,
        drop_invalid: settings.drop_invalid,
    }
}

/// What is rendered otherwise with the new options. Services' own objects don't depend on where
/// node ports answer, nor on whether invalid packets are dropped.
fn effect(old: &Options, new: &Options) -> NodeEffect {
    let services_see = |options: &Options| Options {
        node_port_targets: Options::new().node_port_targets,
        drop_invalid: true,
        ..options.clone()
    };
    if old == new {
        NodeEffect::Nothing
    } else if services_see(old) == services_see(new) {
        NodeEffect::Foundation
    } else {
        NodeEffect::Everything
    }
}

impl Dataplane for Iptables {
    type Key = Key;
    type Object = Object;
    type Settings = Settings;

    fn set_node(&mut self, facts: &NodeFacts) -> NodeEffect {
        let options = resolve(&self.settings, facts);
        let effect = effect(&self.options, &options);
        self.options = options;
        effect
    }

    fn configure(&mut self, settings: Settings, facts: &NodeFacts) -> NodeEffect {
        self.settings = settings;
        self.set_node(facts)
    }

    fn foundation(&self) -> State<Key, Object> {
        super::foundation(&self.options)
    }

    fn service(&self, plan: &ServicePlan) -> State<Key, Object> {
        super::service(plan, &self.options)
    }

    fn links(&self) -> State<Key, Object> {
        super::links(&self.options)
    }

    /// A chain without rules: a rule of somebody else may lead there for all we know.
    fn hollow(&self, key: &Key) -> Option<Object> {
        match key {
            Key::Chain { chain, .. } if !chain.is_shared(Layout::Iptables) => {
                Some(Object::Rules(Vec::new()))
            }
            _ => None,
        }
    }

    fn frontends() -> BTreeSet<Part> {
        served::frontends()
    }

    fn served(frontends: &State<Key, Object>) -> usize {
        served::served(frontends)
    }

    fn rules(key: &Key, object: &Object) -> RuleCounts {
        RuleCounts::of(key, object)
    }
}
