//! nftables mode on one node.

use std::collections::BTreeSet;

use viprule_service::model::Protocol;
use viprule_service::plan::{FlowDestination, FlowPlace, Frontend, NodeFacts, ServicePlan};

use super::counts::ObjectCounts;
use super::element::Element;
use super::key::{Key, Object, Piece};
use super::set::FrontendSet;
use super::settings::{Options, Settings};
use super::{base, served, service};
use crate::{Dataplane, NodeEffect, State, api_server};

/// nftables mode on one node.
#[derive(Debug, Clone)]
pub struct Nftables {
    settings: Settings,
    options: Options,
}

impl Nftables {
    /// The dataplane of these settings on a node.
    pub fn new(settings: Settings, facts: &NodeFacts) -> Self {
        let options = Options::resolve(&settings, facts);
        Self { settings, options }
    }
}

impl Dataplane for Nftables {
    type Key = Key;
    type Object = Object;
    type Settings = Settings;
    type Counts = ObjectCounts;

    /// Services' elements are the same whatever the node is and however packets are masqueraded.
    fn set_node(&mut self, facts: &NodeFacts) -> NodeEffect {
        let options = Options::resolve(&self.settings, facts);
        let effect = if options == self.options {
            NodeEffect::Nothing
        } else if options.families == self.options.families {
            NodeEffect::Base
        } else {
            NodeEffect::Everything
        };
        self.options = options;
        effect
    }

    fn configure(&mut self, settings: Settings, facts: &NodeFacts) -> NodeEffect {
        self.settings = settings;
        self.set_node(facts)
    }

    fn base(&self) -> State<Key, Object> {
        base::base(&self.options)
    }

    fn service(&self, plan: &ServicePlan) -> State<Key, Object> {
        service::service(plan, &self.options)
    }

    fn entry_points(&self, _has: &dyn Fn(&Key) -> bool) -> State<Key, Object> {
        base::entry_points(&self.options)
    }

    /// A chain without rules: a rule that somebody else put into our table may lead there.
    fn flushed(&self, key: &Key) -> Option<Object> {
        match key {
            Key::Chain { .. } => Some(Object::Chain {
                base: None,
                rules: Vec::new(),
            }),
            _ => None,
        }
    }

    fn objections(&self, plan: &ServicePlan) -> Vec<String> {
        api_server::objections(plan)
            .chain(service::objections(plan, &self.options))
            .collect()
    }

    fn frontends() -> BTreeSet<Piece> {
        served::frontends()
    }

    fn served(frontends: &State<Key, Object>) -> usize {
        served::served(frontends)
    }

    fn udp_frontend(key: &Key, _: &Object) -> Option<FlowDestination> {
        let Key::Element(Element::Frontend {
            set: FrontendSet::Services,
            frontend,
        }) = *key
        else {
            return None;
        };
        let (place, protocol) = match frontend {
            Frontend::Address {
                address,
                port,
                protocol,
            } => (FlowPlace::Virtual { address, port }, protocol),
            Frontend::NodePort {
                family,
                port,
                protocol,
            } => (FlowPlace::NodePort { family, port }, protocol),
        };
        (protocol == Protocol::Udp).then(|| place.over(protocol))
    }

    fn counts(key: &Key, object: &Object) -> ObjectCounts {
        ObjectCounts::of(key, object)
    }
}
