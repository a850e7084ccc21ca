//! What a mode prints and parses.

use std::path::PathBuf;

use serde_json::Value;
use viprule_dataplane::Diff;

use super::changes::Changes;
use super::{KeyOf, Mode, ObjectOf, SettingsOf, StateOf};
use crate::config::Resolved;

/// What a mode prints and parses, for verbs that end.
pub(crate) trait Dump: Mode {
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
pub(crate) struct Saved<M: Mode> {
    pub(crate) state: StateOf<M>,
    /// Settings of whoever has this state, as far as it shows.
    pub(crate) settings: SettingsOf<M>,
    /// True for objects that the files would show.
    pub(crate) shows: Shows<KeyOf<M>>,
}
