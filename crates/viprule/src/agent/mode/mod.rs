//! What the sync loop does otherwise in each mode.

mod iptables;
mod ipvs;

pub(super) use iptables::IptablesMode;
pub(super) use ipvs::IpvsMode;

use std::time::Duration;

use viprule_dataplane::Dataplane;
use viprule_dataplane::netfilter::RuleCounts;
use viprule_service::plan::NodeFacts;
use viprule_sync::{Syncer, WriterFor};
use viprule_writer::conntrack::Cleaner;

use super::news::NewSettings;
use super::telemetry::{Cause, Telemetry};

/// What an operator sets.
pub(super) type SettingsOf<M> = <<M as Mode>::Dataplane as Dataplane>::Settings;
/// The syncer that writes them.
pub(super) type SyncerOf<M> = Syncer<<M as Mode>::Dataplane, <M as Mode>::Writer>;

/// What the sync loop does otherwise in each mode.
pub(super) trait Mode {
    /// How plans are expressed.
    type Dataplane: Dataplane<Counts = RuleCounts>;
    /// How that gets into the kernel.
    type Writer: WriterFor<Self::Dataplane>;

    /// New settings as this kernel can have them. What is not the dataplane's takes effect at once.
    fn adopt(&mut self, news: &NewSettings, writer: &mut Self::Writer) -> SettingsOf<Self>;

    /// The node's facts, before each sync.
    fn follow(&self, _facts: &NodeFacts, _writer: &mut Self::Writer) {}

    /// Makes the kernel ready for what is about to be written.
    fn prepare(&mut self, dataplane: &Self::Dataplane, cause: &Cause);

    /// Looks at the settings of the node that have to be as they are, and puts them right.
    fn check_host(&mut self, _dataplane: &Self::Dataplane, _telemetry: &Telemetry) {}

    /// The writer has gone on with what takes time.
    fn tended(&self, _writer: &Self::Writer, _telemetry: &Telemetry) {}

    /// Removes what another proxy left in places that this mode does not write. To be called after
    /// each sync that put everything right, and when the answer says.
    fn take_over(&mut self, cleaner: Option<&Cleaner>, telemetry: &Telemetry) -> Option<Duration>;
}
