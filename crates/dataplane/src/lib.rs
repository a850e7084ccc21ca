//! Desired states of kernel dataplanes for a plan, and the one diff between states.
//!
//! Everything here is pure. A dataplane renders each Service's share of its objects (a fragment)
//! and a static skeleton; the kernel's objects are observed into the same type; [`diff()`] decides
//! what to write, whoever asks.

mod api_server;
mod common;
pub mod diff;
pub mod family;
mod feature;
pub mod iptables;
pub mod ipvs;
pub mod netfilter;
pub mod nftables;
pub mod ownership;
pub mod protocol;
pub mod state;

pub use common::{CommonSettings, DetectLocal};
pub use diff::{Diff, Write, diff};
pub use feature::Feature;
pub use state::{Content, Fingerprint, ObjectKey, Scope, State};

use std::collections::BTreeSet;
use std::fmt;
use std::ops::{AddAssign, SubAssign};

use viprule_service::plan::{FlowDestination, NodeFacts, ServicePlan};

/// How one kernel facility expresses plans.
///
/// The desired state is the base, one fragment for each Service, and the entry points. Fragments
/// share no keys but common ones ([`ObjectKey::is_common`]). Written in this order and removed in
/// the reverse order, what a packet meets is complete at every step.
pub trait Dataplane {
    /// What identifies an object.
    type Key: ObjectKey;
    /// What an object says.
    type Object: Content + From<(Self::Key, Self::Object)>;
    /// What an operator sets.
    type Settings;
    /// Figures about objects, for metrics.
    type Counts: Counts;

    /// Takes new facts of this node and tells what has to be rendered again because of them.
    fn set_node(&mut self, facts: &NodeFacts) -> NodeEffect;

    /// Takes new settings and tells what has to be rendered again because of them.
    fn configure(&mut self, settings: Self::Settings, facts: &NodeFacts) -> NodeEffect;

    /// Takes what the kernel turned out to lack, all of it, and tells what has to be rendered again
    /// because of that.
    fn set_lacking(&mut self, _lacking: &BTreeSet<Feature>, _facts: &NodeFacts) -> NodeEffect {
        NodeEffect::Nothing
    }

    /// What every Service's objects need.
    fn base(&self) -> State<Self::Key, Self::Object>;

    /// One Service's objects.
    fn service(&self, plan: &ServicePlan) -> State<Self::Key, Self::Object>;

    /// What makes the rest reachable. `has` tells whether an object has an element among those of
    /// the Services ([`ObjectKey::container`]); whenever that changes, the entry points are rendered again.
    fn entry_points(&self, has: &dyn Fn(&Self::Key) -> bool) -> State<Self::Key, Self::Object>;

    /// The whole desired state, with these Services' objects.
    fn desired(
        &self,
        services: impl IntoIterator<Item = State<Self::Key, Self::Object>>,
    ) -> State<Self::Key, Self::Object> {
        let services: State<_, _> = services.into_iter().flatten().collect();
        let containers: BTreeSet<Self::Key> = services.containers().collect();
        let entry_points = self.entry_points(&|container| containers.contains(container));
        let base = self.base().into_iter();
        base.chain(services).chain(entry_points).collect()
    }

    /// What to leave of an object of ours that shall go and that the kernel won't let go; `None`
    /// where there is nothing less than the whole.
    fn flushed(&self, key: &Self::Key) -> Option<Self::Object>;

    /// True for an object of ours that stays though nobody wants it, because an operator says so.
    fn is_excluded(&self, _key: &Self::Key) -> bool {
        false
    }

    /// What a plan asks for and this dataplane refuses to do, each as a sentence for whoever made
    /// the Service.
    fn objections(&self, plan: &ServicePlan) -> Vec<String> {
        api_server::objections(plan).collect()
    }

    /// The UDP frontend that an object serves: evidence of flows that led there, also where its
    /// Service went while nobody watched.
    fn udp_frontend(key: &Self::Key, object: &Self::Object) -> Option<FlowDestination>;

    /// The pieces that show which Services are served; see [`Self::served`].
    fn frontends() -> BTreeSet<<Self::Key as ObjectKey>::Piece>;

    /// How many Services with a cluster IP and endpoints there are at least, by what the kernel has
    /// in the pieces of [`Self::frontends`]. What an earlier run left there is evidence against
    /// whoever tells of far fewer.
    fn served(frontends: &State<Self::Key, Self::Object>) -> usize;

    /// What an object adds to the figures.
    fn counts(key: &Self::Key, object: &Self::Object) -> Self::Counts;
}

/// Figures that add up, such as numbers of rules. What is taken away was added before.
pub trait Counts: Copy + Default + fmt::Debug + AddAssign + SubAssign {}

impl<C: Copy + Default + fmt::Debug + AddAssign + SubAssign> Counts for C {}

/// What a change of the node's facts or of the settings means for a dataplane, apart from changed
/// plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeEffect {
    /// Nothing.
    Nothing,
    /// The base and the entry points.
    Base,
    /// Every Service too.
    Everything,
}
