//! What a list names, for the time of the list.

use std::collections::BTreeSet;

use viprule_service::model::{Event, ServiceId, SliceId};

use super::Resource;

/// The names of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Id {
    Node,
    Service(ServiceId),
    Slice(SliceId),
}

/// What a list named so far.
#[derive(Debug)]
pub(super) enum Present {
    Node(bool),
    Services(BTreeSet<ServiceId>),
    Slices(BTreeSet<SliceId>),
}

impl Present {
    pub(super) fn none(resource: Resource) -> Self {
        match resource {
            Resource::Node => Self::Node(false),
            Resource::Service => Self::Services(BTreeSet::new()),
            Resource::EndpointSlice => Self::Slices(BTreeSet::new()),
        }
    }

    pub(super) fn note(&mut self, id: Option<Id>, exists: bool) {
        match (self, id) {
            (Self::Node(node), Some(Id::Node)) => *node = exists,
            (Self::Services(services), Some(Id::Service(id))) => {
                if exists {
                    services.insert(id);
                } else {
                    services.remove(&id);
                }
            }
            (Self::Slices(slices), Some(Id::Slice(id))) => {
                if exists {
                    slices.insert(id);
                } else {
                    slices.remove(&id);
                }
            }
            _ => {}
        }
    }

    /// The event that nothing else exists.
    pub(super) fn into_event(self) -> Option<Event> {
        match self {
            Self::Node(exists) => (!exists).then_some(Event::NodeDeleted),
            Self::Services(ids) => Some(Event::ServicesRelisted(ids)),
            Self::Slices(ids) => Some(Event::SlicesRelisted(ids)),
        }
    }
}
