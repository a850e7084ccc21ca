//! What a watch tells.

use std::time::SystemTime;

use viprule_service::model::Event;

use super::object::{Change, Reading};
use super::page::is_version;
use super::present::{Present, is_content};
use super::watch::{Failure, Watch};
use super::{Problem, Resource};

/// What a watch tells.
#[derive(Debug)]
pub(super) enum Told {
    /// An event, and what caused it where the change is to be measured.
    Event(Event, Option<SystemTime>),
    /// A problem, with the object's version.
    Problem(Problem, Option<Box<str>>),
    /// Everything that exists was told.
    Listed(Resource),
}

/// Nobody listens any more.
#[derive(Debug)]
pub(super) struct Closed;

impl Watch {
    /// Tells what an object means; returns its version. In a list, only what exists is told: what
    /// does not is left for the end.
    pub(super) async fn tell(
        &mut self,
        reading: Reading,
        change: Change,
        present: Option<&mut Present>,
    ) -> Result<Option<String>, Failure> {
        self.status.received();
        let listing = present.is_some();
        // A list may repeat what was measured already.
        let trigger = reading.trigger.filter(|_| !listing);
        if let Some(present) = present {
            present.note(reading.id, change != Change::Deleted);
        }
        for problem in reading.problems {
            let version = reading.version.as_deref().map(Into::into);
            self.send(Told::Problem(problem, version)).await?;
        }
        let told = |event: &Event| !listing || is_content(event);
        for event in reading.events.into_iter().filter(told) {
            self.known.note(&event);
            let trigger = trigger.filter(|_| matches!(event, Event::SliceApplied(_)));
            self.send(Told::Event(event, trigger)).await?;
        }
        Ok(reading.version.filter(|version| is_version(version)))
    }

    pub(super) async fn send(&self, told: Told) -> Result<(), Closed> {
        self.out.send(told).await.map_err(|_| Closed)
    }
}
