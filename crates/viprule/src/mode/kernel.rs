//! This kernel, as verbs that end open it.

use nfnetlink::Family;
use viprule_writer::backend::{Choice, choose};
use viprule_writer::netfilter::probe;

use super::leftovers::{self, Found, Search};
use super::{Mode, SettingsOf};
use crate::config::Resolved;

/// This kernel, opened for a mode.
pub(crate) struct Kernel<M: Mode> {
    /// Settings as this kernel can have them.
    pub(crate) settings: SettingsOf<M>,
    pub(crate) writer: M::Writer,
    pub(crate) elsewhere: Elsewhere,
}

/// What is not the mode's own in this kernel.
pub(crate) struct Elsewhere {
    choice: Choice,
    families: Vec<Family>,
}

impl<M: Mode> Kernel<M> {
    /// Opens it. `write`: what the settings need is made.
    pub(crate) fn open(resolved: &Resolved, write: bool) -> anyhow::Result<Self> {
        let support = probe(write && M::HAS_COUNTERS)?;
        let choice = choose(resolved.backend.chosen())?;
        let families = resolved.families_on(support);
        let mut writer = M::open(choice.backend, &families)?;
        M::configure(&mut writer, resolved);
        Ok(Self {
            settings: M::settings(resolved, Some(support)),
            writer,
            elsewhere: Elsewhere { choice, families },
        })
    }
}

impl Elsewhere {
    /// What other modes left.
    pub(crate) fn leftovers(&self, resolved: &Resolved) -> Vec<Found> {
        leftovers::find(&Search {
            mode: Some(resolved.mode),
            choice: &self.choice,
            families: &self.families,
            settings: &resolved.modes,
        })
    }
}
