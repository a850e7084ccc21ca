//! What the sync loop is told.

use tokio::time::Instant;
use viprule_service::model::Event;
use viprule_source::kube::Trigger;
use viprule_writer::netfilter::Support;

use crate::config::Resolved;

/// A message to the sync loop.
#[derive(Debug)]
pub(super) enum News {
    /// Something happened.
    Events(Happened),
    /// All that exists has been told: the first sync may begin.
    Complete,
    /// Settings are others from now on.
    Settings(Box<NewSettings>),
}

/// Events that arrived together.
#[derive(Debug)]
pub(super) struct Happened {
    pub(super) events: Vec<Event>,
    /// When what they tell began, where known.
    pub(super) triggers: Vec<Trigger>,
    pub(super) arrived: Instant,
}

impl Happened {
    pub(super) fn now(events: Vec<Event>) -> Self {
        Self {
            events,
            triggers: Vec::new(),
            arrived: Instant::now(),
        }
    }
}

/// Settings that can change while the loop runs.
#[derive(Debug)]
pub(super) struct NewSettings {
    pub(super) resolved: Resolved,
    /// What this kernel has.
    pub(super) support: Support,
}
