//! What verbs that end do otherwise in each mode.

mod iptables;
mod ipvs;

pub(super) use iptables::OfIptables;
pub(super) use ipvs::{OfIpvs, section_name};

use std::path::PathBuf;

use serde_json::Value;
use viprule_dataplane::{Dataplane, Diff, State};
use viprule_service::plan::NodeFacts;
use viprule_sync::WriterFor;

use super::changes::Changes;
use crate::config::Resolved;

pub(super) type KeyOf<F> = <<F as Facility>::Dataplane as Dataplane>::Key;
pub(super) type ObjectOf<F> = <<F as Facility>::Dataplane as Dataplane>::Object;
pub(super) type SettingsOf<F> = <<F as Facility>::Dataplane as Dataplane>::Settings;
pub(super) type StateOf<F> = State<KeyOf<F>, ObjectOf<F>>;

/// What verbs that end do otherwise in each mode.
pub(super) trait Facility {
    /// How plans are expressed.
    type Dataplane: Dataplane + Clone;
    /// How that gets into the kernel.
    type Writer: WriterFor<Self::Dataplane>;

    /// Settings for a kernel that has everything.
    fn settings(resolved: &Resolved) -> SettingsOf<Self>;

    /// Settings as this kernel can have them. `write`: what they need is made.
    fn settings_here(resolved: &Resolved, write: bool) -> anyhow::Result<SettingsOf<Self>>;

    /// The dataplane of these settings on a node.
    fn dataplane(settings: SettingsOf<Self>, facts: &NodeFacts) -> Self::Dataplane;

    /// Opens this kernel.
    fn open(resolved: &Resolved, settings: &SettingsOf<Self>) -> anyhow::Result<Self::Writer>;

    /// Makes this machine ready for what is about to be written.
    fn prepare(resolved: &Resolved, dataplane: &Self::Dataplane) -> anyhow::Result<()>;

    /// What is left to do after a commit, as a sentence.
    fn unfinished(writer: &Self::Writer) -> Option<String>;

    /// Reads what the tools saved into files.
    fn saved(paths: &[PathBuf], resolved: &Resolved) -> anyhow::Result<Saved<Self>>;

    /// A state as the tools print it.
    fn text(settings: &SettingsOf<Self>, state: &StateOf<Self>) -> String;

    /// A state for programs.
    fn json(state: &StateOf<Self>) -> anyhow::Result<Value>;

    /// What differs.
    fn changes(diff: &Diff<'_, KeyOf<Self>, ObjectOf<Self>, ObjectOf<Self>>) -> Changes;
}

/// Tells whether something would show.
type Shows<K> = Box<dyn Fn(&K) -> bool>;

/// What files told.
pub(super) struct Saved<F: Facility + ?Sized> {
    pub(super) state: StateOf<F>,
    /// Settings of whoever has this state, as far as it shows.
    pub(super) settings: SettingsOf<F>,
    /// True for objects that the files would show.
    pub(super) shows: Shows<KeyOf<F>>,
}
