//! What a history has otherwise in each mode of the agent.

mod iptables;
mod ipvs;
mod netfilter;
mod nftables;

pub(crate) use iptables::IptablesMode;
pub(crate) use ipvs::IpvsMode;
pub(crate) use netfilter::{elsewhere, lost};
pub(crate) use nftables::NftablesMode;

use std::collections::BTreeSet;

use anyhow::Context as _;
use viprule::config::Effective;
use viprule_dataplane::{Dataplane, State};
use viprule_service::plan::{NodeFacts, ServicePlan};
use viprule_sync::WriterFor;
use viprule_testkit::chance::Chance;
use viprule_testkit::memory::{MemoryKernel, Program, Ruleset};
use viprule_writer::WriteError;

use crate::checks::tracker;
use crate::cluster::{self, Cluster};

/// What identifies an object of a mode.
pub(crate) type KeyOf<M> = <<M as Mode>::Dataplane as Dataplane>::Key;
/// What it says.
pub(crate) type ObjectOf<M> = <<M as Mode>::Dataplane as Dataplane>::Object;
/// Objects of a mode.
pub(crate) type StateOf<M> = State<KeyOf<M>, ObjectOf<M>>;

/// A mode, as a history needs it.
pub(crate) trait Mode {
    /// How plans are expressed.
    type Dataplane: Dataplane;
    /// How the kernel is read.
    type Writer: WriterFor<Self::Dataplane>;

    /// The word for it, as the agent's flag takes it.
    const NAME: &str;

    /// The dataplane of these settings on a node.
    fn dataplane(effective: &Effective, facts: &NodeFacts) -> Self::Dataplane;

    /// Opens the kernel for the calling thread.
    fn open() -> Result<Self::Writer, WriteError>;

    /// What besides the agent is at the kernel. An error where not all steady Services can be told.
    fn environment(
        cluster: &Cluster,
        effective: &Effective,
    ) -> anyhow::Result<Box<dyn Environment>>;

    /// What is still there for the sake of what was, if anything.
    fn left(_kernel: &MemoryKernel, _observed: &StateOf<Self>) -> Option<String> {
        None
    }
}

/// What leads to the Services that are there all the time: of each one's objects those that `of`
/// picks, by the plan and the key. An error where a Service has none.
fn steady<M: Mode, T: Ord>(
    cluster: &Cluster,
    effective: &Effective,
    of: impl Fn(&ServicePlan, &KeyOf<M>) -> Option<T>,
) -> anyhow::Result<BTreeSet<T>> {
    let tracker = tracker(cluster, effective, &cluster::interfaces(false));
    let dataplane = M::dataplane(effective, tracker.facts());
    let mut steady = BTreeSet::new();
    for id in Cluster::steady() {
        let plan = tracker.plan(&id).context("a steady Service has a plan")?;
        let before = steady.len();
        let objects = dataplane.service(&plan);
        steady.extend(objects.iter().filter_map(|(key, _)| of(&plan, key)));
        anyhow::ensure!(steady.len() > before, "nothing leads to {id}");
    }
    Ok(steady)
}

/// A change that another program made of what is the agent's.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    /// In words.
    pub(crate) what: String,
    /// True where the kernel tells of it; all else is found by the next full look.
    pub(crate) is_told: bool,
}

/// Clients of Services and other programs; and whether each step of the agent is right for them.
///
/// A step is wrong where it takes away the last endpoint of a Service that has one at every moment,
/// or what is somebody else's. What was wrong is told in words.
pub(crate) trait Environment: Send {
    /// The agent is about to send something.
    fn before_send(&mut self, _kernel: &MemoryKernel) {}

    /// A transaction of the agent was committed.
    fn committed(&mut self, _before: &Ruleset, _after: &Ruleset) -> Option<String> {
        None
    }

    /// A message of the agent that belongs to no transaction took effect.
    fn took_effect(&mut self, _kernel: &MemoryKernel) -> Option<String> {
        None
    }

    /// How many of the Services that are there all the time lead to an endpoint now, in the family in
    /// which more do.
    fn serving(&self, kernel: &MemoryKernel) -> usize;

    /// The kernel is what it should be: what others did before has no consequences any more.
    fn all_is_right(&mut self) {}

    /// Another program changes something that is the agent's. None where there is nothing.
    fn edit(&mut self, chance: &mut Chance, rival: &Program, kernel: &MemoryKernel)
    -> Option<Edit>;

    /// Clients come and go.
    fn clients(&mut self, _chance: &mut Chance, _kernel: &MemoryKernel) {}

    /// All clients go.
    fn no_clients(&mut self, _kernel: &MemoryKernel) {}
}
