//! A mode under test.

use std::fmt::Debug;

use proptest::strategy::BoxedStrategy;
use viprule_dataplane::{CommonSettings, Dataplane, State};
use viprule_service::plan::NodeFacts;
use viprule_testkit::semantics::{Cluster, Settings};
use viprule_testkit::walker::iptables::Unordered;
use viprule_testkit::walker::{Affinity, Distribution, Host, Packet, Remembered, Walk, WalkError};
use viprule_writer::Writer;

use crate::{golden, world};

/// What identifies an object of a mode.
pub(crate) type KeyOf<M> = <<M as Mode>::Dataplane as Dataplane>::Key;
/// What it says.
pub(crate) type ObjectOf<M> = <<M as Mode>::Dataplane as Dataplane>::Object;
/// What an operator sets.
pub(crate) type SettingsOf<M> = <<M as Mode>::Dataplane as Dataplane>::Settings;
/// Objects of a mode.
pub(crate) type StateOf<M> = State<KeyOf<M>, ObjectOf<M>>;

/// How the first packet of a connection has to end on a node with these settings, given what session
/// affinity remembers.
pub(crate) type Statement = fn(&Cluster, &Settings, &Packet, &Affinity) -> Distribution;

/// A mode: how it renders a world, how packets are walked through that, and what it understands
/// of Services.
pub(crate) trait Mode {
    /// Renders.
    type Dataplane: Dataplane<Settings: Clone + Debug + Default>;
    /// What Kubernetes says about a packet, as this mode understands it.
    const STATEMENT: Statement;
    /// Generated clusters in a run.
    const CLUSTERS: u32;
    /// What never happens to packets in this mode, in the words of `generated::happens`.
    const NEVER: &'static [&'static str];

    /// How far probabilities may be from those that are meant. iptables keeps them in 31 bits and
    /// writes them with 10 decimals.
    const TOLERANCE: f64 = 1e-6;

    /// The mode's own settings, in every combination that packets don't notice.
    fn unnoticed() -> BoxedStrategy<SettingsOf<Self>>;

    /// The same with what packets do notice.
    fn settings(
        unnoticed: &SettingsOf<Self>,
        common: CommonSettings,
        noticed: &Settings,
    ) -> SettingsOf<Self>;

    /// The dataplane of these settings on a node.
    fn dataplane(settings: SettingsOf<Self>, facts: &NodeFacts) -> Self::Dataplane;

    /// What the machine has without this mode's objects.
    fn host(cluster: &Cluster, settings: &Settings) -> Host;

    /// The cluster as clients on the node see it, with this mode's objects.
    fn seen(cluster: &Cluster, _settings: &Settings) -> Cluster {
        cluster.clone()
    }

    /// Walks packets through a state on a machine.
    fn walker<'s>(
        state: &'s StateOf<Self>,
        host: &'s Host,
        order: Unordered,
    ) -> Result<Box<dyn Walk + 's>, WalkError>;

    /// The packet's client was at endpoints in this position, a moment ago.
    fn memories(cluster: &Cluster, packet: &Packet, position: usize) -> Vec<Remembered> {
        world::memories(cluster, packet, position)
    }

    /// The golden cluster on a node as kube-proxy's was.
    fn golden_cluster() -> Cluster {
        golden::cluster()
    }
}

/// A mode of which there are dumps of kube-proxy's.
pub(crate) trait Dumped: Mode {
    /// What kube-proxy wrote for the golden cluster.
    fn kube_proxys() -> StateOf<Self>;
}

/// A mode whose objects the kernel in memory takes.
pub(crate) trait Written: Mode {
    /// Writes what is rendered.
    type Writer: Writer<Key = KeyOf<Self>, Object = ObjectOf<Self>>;

    /// Writes to the kernel of the calling thread.
    fn writer() -> Self::Writer;
}
