//! What modes left in this kernel that the mode in use does not write: found, shown and removed in
//! one way, whoever asks.
//!
//! `diff` shows it, `apply` and the agent remove it behind the first sync that put everything right,
//! as the rules then serve every Service; `cleanup` removes all there is, whatever mode it is of.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use nfnetlink::Family;
use viprule_sync::Report;
use viprule_writer::backend::Choice;
use viprule_writer::leftovers::{Leftover, Removal};

use super::changes::Changes;
use super::{Mode as _, ModeSettings, ProxyMode, with_mode};

/// What to look for.
pub(crate) struct Search<'a> {
    /// The mode in use, whose objects stay; `None` where all goes.
    pub(crate) mode: Option<ProxyMode>,
    /// Where iptables' rules are, as chains of a service proxy in the other one are leftovers.
    pub(crate) choice: &'a Choice,
    /// Of other families nothing is removed, but tables of nftables mode.
    pub(crate) families: &'a [Family],
    /// How long connections are waited for, and what stays.
    pub(crate) settings: &'a ModeSettings,
}

/// What a mode left.
pub(crate) trait Leftovers: fmt::Debug {
    /// What it is, in a few words.
    fn name(&self) -> String;

    /// What there is, kind by kind.
    fn lines(&mut self) -> anyhow::Result<Vec<String>>;

    /// What there is, object by object where that tells more.
    fn changes(&mut self) -> anyhow::Result<Changes> {
        let mut changes = Changes::none("all");
        changes.add_leftovers(self.lines()?);
        Ok(changes)
    }

    /// Takes settings that have changed.
    fn configure(&mut self, _settings: &ModeSettings) {}

    /// Removes what no connection goes through. To be called again when the answer says; there is
    /// nothing left to do when it says nothing.
    fn drain(&mut self) -> anyhow::Result<Progress>;

    /// Removes all of it, whoever uses it.
    fn remove(&mut self) -> anyhow::Result<Report>;
}

/// How far a removal has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// What is gone since the last time.
    pub(crate) gone: Vec<String>,
    /// What can't go, and why.
    pub(crate) left: Vec<String>,
    /// Frontends of UDP that are gone since: tracked flows to them lead nowhere now.
    pub(crate) udp: Vec<SocketAddr>,
    /// When to go on; `None` at the end.
    pub(crate) next: Option<Duration>,
}

/// What could not be looked for.
#[derive(Debug, thiserror::Error)]
#[error("{what} can't be looked for")]
pub(crate) struct Failed {
    pub(crate) what: String,
    #[source]
    pub(crate) source: anyhow::Error,
}

/// What one mode left, or why that is not known.
pub(crate) type Found = Result<Box<dyn Leftovers>, Failed>;

/// Lets `each` have what was found. No failure keeps it from the rest; the answer is all of them.
pub(crate) fn for_each(
    found: Vec<Found>,
    mut each: impl FnMut(&mut dyn Leftovers) -> anyhow::Result<()>,
) -> Vec<anyhow::Error> {
    let done = found.into_iter().map(|found| {
        let mut leftovers = found?;
        each(&mut *leftovers).with_context(|| leftovers.name())
    });
    done.filter_map(Result::err).collect()
}

/// Asks every mode, in the order in which things go: rules before what they refer to.
pub(crate) fn find(search: &Search<'_>) -> Vec<Found> {
    let mut all = Vec::new();
    for mode in ProxyMode::ALL {
        all.extend(with_mode!(mode, M => M::leftovers(search)));
    }
    all
}

/// A removal as it is reported.
pub(super) fn told(removal: Removal) -> Report {
    let (sets, others): (Vec<_>, Vec<_>) = removal
        .removed
        .into_iter()
        .partition(|leftover| matches!(leftover, Leftover::Set(_)));
    let mut gone: Vec<String> = others.iter().map(ToString::to_string).collect();
    if !sets.is_empty() {
        gone.push(format!("{} IP sets", sets.len()));
    }
    let left = removal.left.into_iter();
    Report {
        leftovers: gone,
        refused: left
            .map(|(leftover, why)| format!("{leftover}: {why}"))
            .collect(),
        ..Report::default()
    }
}
