//! The modes: all that the program does otherwise in each, and nowhere else.
//!
//! [`with_mode!`] is the only place that chooses one. A mode is a folder: its settings and flags,
//! how it opens the kernel and makes the node ready, what it prints, parses and counts, and what it
//! leaves behind for others to remove.

mod chains;
pub(crate) mod changes;
mod dump;
pub mod iptables;
pub mod ipvs;
mod kernel;
pub(crate) mod leftovers;
mod metrics;
pub mod nftables;
mod owners;
mod settings;

pub(crate) use dump::{Dump, Saved};
pub(crate) use kernel::Kernel;
pub use metrics::{Counted, Failures, ModeMetrics};
pub(crate) use settings::MasqueradeSettings;
pub(crate) use settings::resolve;
pub use settings::{ModeArgs, ModeSettings};

use std::net::{IpAddr, SocketAddr};

use nfnetlink::Family;
use viprule_dataplane::{Dataplane, State};
use viprule_service::model;
use viprule_service::plan::NodeFacts;
use viprule_source::kube::Resource;
use viprule_sync::{Listener, Syncer, WriterFor};
use viprule_writer::WriteError;
use viprule_writer::backend::Backend;
use viprule_writer::host::Outcome;
use viprule_writer::netfilter::Support;

use crate::agent::Cause;
use crate::agent::host_settings::Strictness;
use crate::config::{GoDuration, KubeProxyConfiguration, Resolved};
use crate::debug::Fallible;
use crate::metrics::Metrics;
use leftovers::{Found, Search};

/// The kernel facility that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyMode {
    /// iptables chains.
    Iptables,
    /// IPVS virtual servers.
    Ipvs,
    /// nftables sets.
    Nftables,
}

/// Evaluates an expression with the type of a mode.
macro_rules! with_mode {
    ($mode:expr, $M:ident => $body:expr) => {
        match $mode {
            $crate::mode::ProxyMode::Iptables => {
                type $M = $crate::mode::iptables::IptablesMode;
                $body
            }
            $crate::mode::ProxyMode::Ipvs => {
                type $M = $crate::mode::ipvs::IpvsMode;
                $body
            }
            $crate::mode::ProxyMode::Nftables => {
                type $M = $crate::mode::nftables::NftablesMode;
                $body
            }
        }
    };
}
pub(crate) use with_mode;

impl ProxyMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Iptables, Self::Ipvs, Self::Nftables];
    /// Where nothing says which.
    pub const DEFAULT: Self = Self::Iptables;

    /// As the configuration names it.
    pub const fn as_str(self) -> &'static str {
        with_mode!(self, M => M::NAME)
    }

    /// What it writes, in two words.
    pub const fn about(self) -> &'static str {
        with_mode!(self, M => M::ABOUT)
    }

    /// What it is told of by an API server.
    pub const fn resources(self) -> &'static [Resource] {
        with_mode!(self, M => M::RESOURCES)
    }

    /// The mode of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }

    /// Their names, as a list.
    pub fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

/// What identifies an object of a mode.
pub(crate) type KeyOf<M> = <<M as Mode>::Dataplane as Dataplane>::Key;
/// What it says.
pub(crate) type ObjectOf<M> = <<M as Mode>::Dataplane as Dataplane>::Object;
/// What an operator sets.
pub(crate) type SettingsOf<M> = <<M as Mode>::Dataplane as Dataplane>::Settings;
/// Figures about its objects.
pub(crate) type CountsOf<M> = <<M as Mode>::Dataplane as Dataplane>::Counts;
/// Objects of a mode.
pub(crate) type StateOf<M> = State<KeyOf<M>, ObjectOf<M>>;
/// The syncer that writes them.
pub(crate) type SyncerOf<M> = Syncer<<M as Mode>::Dataplane, <M as Mode>::Writer>;

/// What counts the traffic of Services.
pub(crate) struct Counters<M: Mode> {
    /// Hears whose the objects are that count.
    pub(crate) listener: Box<dyn Listener<KeyOf<M>>>,
    /// The text of `/metrics/services`.
    pub(crate) text: Fallible,
}

/// What the agent and all verbs do otherwise in each mode.
pub(crate) trait Mode: Sized + 'static {
    /// How plans are expressed.
    type Dataplane: Dataplane + Clone;
    /// How that gets into the kernel.
    type Writer: WriterFor<Self::Dataplane>;

    /// As the configuration names it.
    const NAME: &str;
    /// What it writes, in two words.
    const ABOUT: &str;
    /// Rules feed nfacct counters, which have to be there first.
    const HAS_COUNTERS: bool = false;
    /// Its chains are in one of the kernel's two iptables.
    const USES_IPTABLES: bool = true;
    /// What it masquerades gets no source port that may be a node port, unless settings say
    /// otherwise. False where rules are to be those of kube-proxy.
    const MASQUERADES_OUTSIDE_NODE_PORTS: bool = false;
    /// What it is told of by an API server.
    const RESOURCES: &[Resource] = &Resource::USUAL;
    /// Settings of the node without which no Service works.
    const VITAL: &[&str] = &[];

    /// How often the kernel is checked, and how long to wait between two syncs.
    fn periods(proxy: &KubeProxyConfiguration) -> (GoDuration, GoDuration);

    /// How packets are masqueraded, where the mode has settings of its own for that.
    fn masquerade(_proxy: &KubeProxyConfiguration) -> Option<MasqueradeSettings> {
        None
    }

    /// Settings for a kernel that has this, or everything.
    fn settings(resolved: &Resolved, support: Option<Support>) -> SettingsOf<Self>;

    /// The dataplane of these settings on a node.
    fn dataplane(settings: SettingsOf<Self>, facts: &NodeFacts) -> Self::Dataplane;

    /// Fails where this kernel can't have the mode.
    fn check(_backend: Backend, _support: Support, _resolved: &Resolved) -> Result<(), WriteError> {
        Ok(())
    }

    /// Opens this kernel.
    fn open(backend: Backend, families: &[Family]) -> Result<Self::Writer, WriteError>;

    /// Tells the writer of settings that are not the dataplane's.
    fn configure(_writer: &mut Self::Writer, _resolved: &Resolved) {}

    /// Tells the writer of the node's facts, before each sync.
    fn follow(_writer: &mut Self::Writer, _facts: &NodeFacts) {}

    /// Makes settings of this node, at the start of the agent and when they change.
    fn start(_resolved: &Resolved) -> anyhow::Result<()> {
        Ok(())
    }

    /// Makes all settings of this node that the dataplane needs.
    fn prepare_node(
        resolved: &Resolved,
        dataplane: &Self::Dataplane,
        strictness: Strictness,
    ) -> anyhow::Result<()>;

    /// Keeps the files open through which settings are made, for the time when no other file can be
    /// opened for writing.
    fn hold();

    /// Makes the kernel ready for what is about to be written.
    fn prepare(&mut self, dataplane: &Self::Dataplane, cause: &Cause);

    /// Looks at the settings of the node that have to be as they are, and puts them right.
    fn check_node(resolved: &Resolved, dataplane: &Self::Dataplane) -> Outcome;

    /// Takes away from this mode's objects, whoever runs now, what bars the way to the API server.
    fn clear_way(_api_server: &[SocketAddr]) -> Result<Vec<IpAddr>, WriteError> {
        Ok(Vec::new())
    }

    /// Destinations that wait for the end of their connections.
    fn draining(_writer: &Self::Writer) -> usize {
        0
    }

    /// Which metrics are served.
    fn metrics(support: Support) -> ModeMetrics;

    /// Tells how many objects of a family there are, and how many the last sync wrote, where metrics
    /// show that.
    fn count(
        _metrics: &Metrics,
        _family: model::Family,
        _total: &CountsOf<Self>,
        _written: &CountsOf<Self>,
    ) {
    }

    /// What counts the traffic of Services, where something does.
    fn counters() -> Option<Counters<Self>> {
        None
    }

    /// What this mode left in places that the mode in use does not write.
    fn leftovers(search: &Search<'_>) -> Vec<Found>;
}

/// The same for any mode that may have run here.
pub(crate) fn clear_way(api_server: &[SocketAddr]) -> Result<Vec<IpAddr>, WriteError> {
    let mut freed = Vec::new();
    for mode in ProxyMode::ALL {
        freed.extend(with_mode!(mode, M => M::clear_way(api_server))?);
    }
    Ok(freed)
}
