//! What an operator sets, and what follows from it on this node.

use std::collections::BTreeSet;

use viprule_service::model;
use viprule_service::plan::{FlowDestination, NodeFacts, ServicePlan};

use super::options::Options;
use super::served;
use crate::netfilter::{Key, Masquerade, Object, Piece, RuleCounts};
use crate::ownership::Layout;
use crate::{CommonSettings, Dataplane, NodeEffect, State};

/// iptables mode's settings (contract 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Those of every mode.
    pub common: CommonSettings,
    /// `iptables.localhostNodePorts`.
    pub localhost_node_ports: bool,
    /// The kernel has nfacct counters.
    pub nfacct: bool,
    /// Drop packets that conntrack finds invalid (contract 2.4).
    pub drop_invalid: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            common: CommonSettings::default(),
            localhost_node_ports: true,
            nfacct: true,
            drop_invalid: true,
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
    let node_ports = &settings.common.node_port_addresses;
    Options {
        families: settings.common.families.clone(),
        masquerade: Masquerade::resolve(&settings.common, facts),
        localhost_node_ports: settings.localhost_node_ports && node_ports.include_loopback(facts),
        node_port_targets: model::Family::ALL.map(|family| node_ports.targets(family, facts)),
        nfacct: settings.nfacct,
        drop_invalid: settings.drop_invalid,
    }
}

/// What is rendered otherwise with the new options. Services' own objects don't depend on where
/// node ports answer, on whether invalid packets are dropped, nor on source ports.
fn effect(old: &Options, new: &Options) -> NodeEffect {
    let services_see = |options: &Options| Options {
        node_port_targets: Options::default().node_port_targets,
        drop_invalid: true,
        masquerade: Masquerade {
            source_ports: None,
            ..options.masquerade.clone()
        },
        ..options.clone()
    };
    if old == new {
        NodeEffect::Nothing
    } else if services_see(old) == services_see(new) {
        NodeEffect::Base
    } else {
        NodeEffect::Everything
    }
}

impl Dataplane for Iptables {
    type Key = Key;
    type Object = Object;
    type Settings = Settings;
    type Counts = RuleCounts;

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

    fn base(&self) -> State<Key, Object> {
        super::base(&self.options)
    }

    fn service(&self, plan: &ServicePlan) -> State<Key, Object> {
        super::service(plan, &self.options)
    }

    fn entry_points(&self, _has: &dyn Fn(&Key) -> bool) -> State<Key, Object> {
        super::entry_points(&self.options)
    }

    /// A chain without rules: a rule of somebody else may lead there for all we know.
    fn flushed(&self, key: &Key) -> Option<Object> {
        match key {
            Key::Chain { chain, .. } if !chain.is_shared(Layout::Iptables) => {
                Some(Object::Rules(Vec::new()))
            }
            _ => None,
        }
    }

    fn frontends() -> BTreeSet<Piece> {
        served::frontends()
    }

    fn served(frontends: &State<Key, Object>) -> usize {
        served::served(frontends)
    }

    fn udp_frontend(_: &Key, object: &Object) -> Option<FlowDestination> {
        object.udp_frontend()
    }

    fn counts(key: &Key, object: &Object) -> RuleCounts {
        RuleCounts::of(key, object)
    }
}
