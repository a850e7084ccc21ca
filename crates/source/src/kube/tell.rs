//! What a watch tells, and whether it was asked for.

use std::time::SystemTime;

use kube::core::watch::{Bookmark, BookmarkMeta};
use viprule_service::model::Event;

use super::error::{Cause, ServerError, Step};
use super::object::{self, Change, Reading};
use super::page::is_version;
use super::present::{Present, is_content};
use super::watch::{Failure, Watch};
use super::{Problem, Resource, kind};

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
    /// Something was told that wasn't asked for.
    pub(super) fn other(&self, step: Step, found: String) -> ServerError {
        let wanted = self.resource.kind().to_owned();
        self.error(step, Cause::Other { found, wanted })
    }

    /// A bookmark's metadata, where it is one of this resource at some version.
    pub(super) fn checked(
        &self,
        step: Step,
        bookmark: Bookmark,
    ) -> Result<BookmarkMeta, ServerError> {
        let Bookmark { types, metadata } = bookmark;
        let (kind, version) = (types.kind.as_str(), types.api_version.as_str());
        if (kind, version) != (self.resource.kind(), self.resource.version()) {
            return Err(self.other(step, kind::told(Some(kind), Some(version))));
        }
        if !is_version(&metadata.resource_version) {
            let reason = "a bookmark says no resourceVersion".to_owned();
            return Err(self.error(step, Cause::Malformed(reason)));
        }
        Ok(metadata)
    }

    /// An object without a name may be any of those that are known, and another Node is none of
    /// ours.
    fn check_name(&self, step: Step, reading: &Reading, text: &str) -> Result<(), ServerError> {
        if self.resource == Resource::Node {
            let name = kind::name(self.resource, text).unwrap_or_default();
            if name != self.node {
                let name = kind::short(&name);
                return Err(self.other(step, format!("one with the name \"{name}\"")));
            }
        } else if reading.id.is_none() && kind::name(self.resource, text).is_none() {
            let reason = "an object has no name".to_owned();
            return Err(self.error(step, Cause::Malformed(reason)));
        }
        Ok(())
    }

    /// Tells what an object means; returns its version. In a list, only what exists is told: what
    /// does not is left for the end.
    pub(super) async fn tell(
        &mut self,
        step: Step,
        text: &str,
        change: Change,
        present: Option<&mut Present>,
    ) -> Result<Option<String>, Failure> {
        self.status.received();
        let reading = object::read(self.resource, text, change);
        self.check_name(step, &reading, text)?;
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
