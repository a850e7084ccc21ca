//! What a list names, for the time of the list.

use std::collections::BTreeSet;
use std::fmt;

use viprule_service::model::{Event, Refused, ServiceId, SliceId};

use super::Resource;

/// The names of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Id {
    Node,
    Service(ServiceId),
    Slice(SliceId),
    /// By its name.
    ServiceCidr(Box<str>),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("the Node"),
            Self::Service(id) => write!(f, "Service {id}"),
            Self::Slice(SliceId { service, name }) => {
                write!(f, "EndpointSlice {}/{name}", service.namespace())
            }
            Self::ServiceCidr(name) => write!(f, "ServiceCIDR {name}"),
        }
    }
}

impl Id {
    /// The Service that it is or belongs to.
    pub(super) const fn service(&self) -> Option<&ServiceId> {
        match self {
            Self::Node | Self::ServiceCidr(_) => None,
            Self::Service(id) => Some(id),
            Self::Slice(id) => Some(&id.service),
        }
    }

    /// What is told where it is refused; nothing of what is no part of a Service.
    pub(super) fn refused(&self) -> Option<Refused> {
        match self {
            Self::Node | Self::ServiceCidr(_) => None,
            Self::Service(id) => Some(Refused::Service(id.clone())),
            Self::Slice(id) => Some(Refused::Slice {
                namespace: id.service.namespace().into(),
                name: id.name.clone(),
                service: Some(id.service.clone()),
            }),
        }
    }
}

/// What a list named so far.
#[derive(Debug, Clone)]
pub(super) enum Present {
    Node(bool),
    Services(BTreeSet<ServiceId>),
    Slices(BTreeSet<SliceId>),
    ServiceCidrs(BTreeSet<Box<str>>),
}

impl Present {
    pub(super) fn none(resource: Resource) -> Self {
        match resource {
            Resource::Node => Self::Node(false),
            Resource::Service => Self::Services(BTreeSet::new()),
            Resource::EndpointSlice => Self::Slices(BTreeSet::new()),
            Resource::ServiceCidr => Self::ServiceCidrs(BTreeSet::new()),
        }
    }

    /// True where it named that already.
    pub(super) fn has(&self, id: &Id) -> bool {
        match (self, id) {
            (Self::Node(exists), Id::Node) => *exists,
            (Self::Services(services), Id::Service(id)) => services.contains(id),
            (Self::Slices(slices), Id::Slice(id)) => slices.contains(id),
            (Self::ServiceCidrs(names), Id::ServiceCidr(name)) => names.contains(name),
            _ => false,
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
            (Self::ServiceCidrs(names), Some(Id::ServiceCidr(name))) => {
                if exists {
                    names.insert(name);
                } else {
                    names.remove(&name);
                }
            }
            _ => {}
        }
    }

    /// Adds what another list names.
    pub(super) fn join(&mut self, other: &Self) {
        match (self, other) {
            (Self::Node(node), Self::Node(exists)) => *node |= exists,
            (Self::Services(services), Self::Services(more)) => {
                services.extend(more.iter().cloned());
            }
            (Self::Slices(slices), Self::Slices(more)) => slices.extend(more.iter().cloned()),
            (Self::ServiceCidrs(names), Self::ServiceCidrs(more)) => {
                names.extend(more.iter().cloned());
            }
            _ => {}
        }
    }

    /// How many Services it names, or of how many its slices are.
    pub(super) fn services(&self) -> Option<usize> {
        match self {
            Self::Node(_) | Self::ServiceCidrs(_) => None,
            Self::Services(ids) => Some(ids.len()),
            Self::Slices(ids) => {
                let services: BTreeSet<&ServiceId> = ids.iter().map(|id| &id.service).collect();
                Some(services.len())
            }
        }
    }

    /// True where it names nothing.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Node(exists) => !exists,
            Self::Services(ids) => ids.is_empty(),
            Self::Slices(ids) => ids.is_empty(),
            Self::ServiceCidrs(names) => names.is_empty(),
        }
    }

    /// Namespaces and names of all but Nodes, as the server knows them: a slice is the same one
    /// whatever Service it belongs to.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        let (services, slices, cidrs) = match self {
            Self::Node(_) => (None, None, None),
            Self::Services(ids) => (Some(ids), None, None),
            Self::Slices(ids) => (None, Some(ids), None),
            Self::ServiceCidrs(names) => (None, None, Some(names)),
        };
        let services = services.into_iter().flatten();
        let slices = slices.into_iter().flatten();
        let cidrs = cidrs.into_iter().flatten();
        services
            .map(|id| (id.namespace(), id.name()))
            .chain(slices.map(|id| (id.service.namespace(), &*id.name)))
            .chain(cidrs.map(|name| ("", &**name)))
    }

    /// The event that nothing else exists.
    pub(super) fn into_event(self) -> Option<Event> {
        match self {
            Self::Node(exists) => (!exists).then_some(Event::NodeDeleted),
            Self::Services(ids) => Some(Event::ServicesRelisted(ids)),
            Self::Slices(ids) => Some(Event::SlicesRelisted(ids)),
            Self::ServiceCidrs(names) => Some(Event::ServiceCidrsRelisted(names)),
        }
    }
}

/// True for what says that an object exists, and what it is if that can be told.
pub(super) fn is_content(event: &Event) -> bool {
    matches!(
        event,
        Event::ServiceApplied(_)
            | Event::SliceApplied(_)
            | Event::NodeApplied(_)
            | Event::ServiceCidrApplied(_)
            | Event::Refused(_)
            | Event::RefusedAsks(_)
    )
}
