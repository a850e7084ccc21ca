//! One object: from the server's text to events. Nothing of it is kept.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use viprule_service::model::{Event, ServiceId};

use super::error::Cause;
use super::kind::{Asked, Head, Place};
use super::present::Id;
use super::{Problem, Resource};
use crate::convert::object::{
    EndpointSlice, Labels, Metadata, Named, Node, Service, ServiceCidr, decode,
};
use crate::convert::{self, Converted, Ignored, Interner, ObjectError, Outcome};

/// What the server says about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It exists: part of a list, or new.
    Exists,
    /// It is another than before.
    Modified,
    /// It is gone, or the selectors don't choose it any more.
    Deleted,
}

/// What an object means.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Names the object where it can be ours at all, also where it is refused.
    pub(super) id: Option<Id>,
    pub(super) events: Vec<Event>,
    pub(super) problems: Vec<Problem>,
    /// When the change happened that a slice's newest content is due to.
    pub(super) trigger: Option<SystemTime>,
    /// `metadata.resourceVersion`.
    pub(super) version: Option<String>,
}

/// An object of a kind that is watched.
pub(super) trait Object<'o>: Deserialize<'o> {
    fn head(&self) -> Head<'_, 'o>;

    /// Adds what it means that the object exists.
    fn present(&self, change: Change, reading: &mut Reading) -> Result<(), ObjectError>;

    /// What it asks for where it is refused.
    fn asked(&self) -> Option<Event> {
        None
    }
}

macro_rules! head {
    () => {
        fn head(&self) -> Head<'_, 'o> {
            Head {
                kind: &self.kind,
                version: &self.api_version,
                metadata: &self.metadata,
            }
        }
    };
}

impl<'o> Object<'o> for Node<'o> {
    head!();

    fn present(&self, _: Change, reading: &mut Reading) -> Result<(), ObjectError> {
        reading.take(convert::node(self)?, &self.metadata, Event::NodeApplied);
        Ok(())
    }
}

impl<'o> Object<'o> for Service<'o> {
    head!();

    fn present(&self, _: Change, reading: &mut Reading) -> Result<(), ObjectError> {
        let converted = convert::service(self)?;
        reading.take(converted, &self.metadata, Event::ServiceApplied);
        Ok(())
    }

    fn asked(&self) -> Option<Event> {
        convert::asked(self).map(Event::RefusedAsks)
    }
}

impl<'o> Object<'o> for EndpointSlice<'o> {
    head!();

    fn present(&self, change: Change, reading: &mut Reading) -> Result<(), ObjectError> {
        // The tracker keeps one copy of each node name; one object's names are soon gone.
        let converted = convert::endpoint_slice(self, &mut Interner::default())?;
        if change == Change::Modified && &*self.address_type != "FQDN" {
            let to = convert::slice_id(&self.metadata).map(|id| id.service);
            reading.events.extend(moved(&self.metadata, to));
        }
        reading.take(converted, &self.metadata, Event::SliceApplied);
        Ok(())
    }
}

impl<'o> Object<'o> for ServiceCidr<'o> {
    head!();

    fn present(&self, _: Change, reading: &mut Reading) -> Result<(), ObjectError> {
        let converted = convert::service_cidr(self)?;
        reading.take(converted, &self.metadata, Event::ServiceCidrApplied);
        Ok(())
    }
}

/// Reads the text of an object. One that can't be programmed is refused: the model keeps what it
/// has of it. The error is that it was not asked for.
pub(super) fn read(
    asked: Asked<'_>,
    text: &str,
    change: Change,
    place: Place,
) -> Result<Reading, Cause> {
    match asked.resource {
        Resource::Node => read_as::<Node<'_>>(asked, text, change, place),
        Resource::Service => read_as::<Service<'_>>(asked, text, change, place),
        Resource::EndpointSlice => read_as::<EndpointSlice<'_>>(asked, text, change, place),
        Resource::ServiceCidr => read_as::<ServiceCidr<'_>>(asked, text, change, place),
    }
}

fn read_as<'o, T: Object<'o>>(
    asked: Asked<'_>,
    text: &'o str,
    change: Change,
    place: Place,
) -> Result<Reading, Cause> {
    let error = match decode::<T>(text) {
        Ok(object) => return reading(asked, &object, change, place),
        Err(error) => error,
    };
    let object: Value = serde_json::from_str(text).unwrap_or_default();
    let named = names(&object);
    let metadata = &named.metadata;
    asked.check(place, named.head())?;
    if change == Change::Deleted {
        return Ok(Reading::gone(asked.resource, metadata));
    }
    let mut reading = Reading::of(asked.resource, metadata);
    reading.refuse(error.of(asked.resource.kind(), metadata));
    if asked.resource == Resource::Service {
        let asked = convert::asked_of_value(&object);
        reading.events.extend(asked.map(Event::RefusedAsks));
    }
    Ok(reading)
}

/// What a decoded object means.
pub(super) fn reading<'o>(
    asked: Asked<'_>,
    object: &impl Object<'o>,
    change: Change,
    place: Place,
) -> Result<Reading, Cause> {
    let head = object.head();
    asked.check(place, head)?;
    if change == Change::Deleted {
        return Ok(Reading::gone(asked.resource, head.metadata));
    }
    let mut reading = Reading::of(asked.resource, head.metadata);
    if let Err(error) = object.present(change, &mut reading) {
        reading.refuse(error);
        reading.events.extend(object.asked());
    }
    Ok(reading)
}

/// The names of an object that can't be decoded, as far as it has any.
fn names(object: &Value) -> Named<'static> {
    let text = |pointer| Some(object.pointer(pointer)?.as_str()?.to_owned().into());
    let or_none = |pointer| text(pointer).unwrap_or_default();
    Named {
        kind: or_none("/kind"),
        api_version: or_none("/apiVersion"),
        metadata: Metadata {
            name: or_none("/metadata/name"),
            namespace: or_none("/metadata/namespace"),
            resource_version: or_none("/metadata/resourceVersion"),
            labels: Labels {
                service_name: text("/metadata/labels/kubernetes.io~1service-name"),
                ..Labels::default()
            },
            ..Metadata::default()
        },
    }
}

fn moved(metadata: &Metadata<'_>, to: Option<ServiceId>) -> Option<Event> {
    Some(Event::SliceMoved {
        namespace: metadata.namespace.filled()?.into(),
        name: metadata.name.filled()?.into(),
        to,
    })
}

impl Reading {
    /// With what can be said of any object.
    fn of(resource: Resource, metadata: &Metadata<'_>) -> Self {
        let trigger = metadata.annotations.trigger.as_deref();
        Self {
            id: match resource {
                Resource::Node => Some(Id::Node),
                Resource::Service => convert::service_id(metadata).map(Id::Service),
                Resource::EndpointSlice => convert::slice_id(metadata).map(Id::Slice),
                Resource::ServiceCidr => {
                    let name = metadata.name.filled();
                    name.map(|name| Id::ServiceCidr(name.into()))
                }
            },
            trigger: trigger.and_then(|text| Some(text.parse::<Timestamp>().ok()?.into())),
            version: metadata.resource_version.filled().map(str::to_owned),
            ..Self::default()
        }
    }

    fn refuse(&mut self, error: ObjectError) {
        self.trigger = None;
        let refused = self.id.as_ref().and_then(Id::refused);
        self.events.extend(refused.map(Event::Refused));
        let problem = Problem::refused(error, self.id.as_ref());
        self.problems.push(problem);
    }

    fn gone(resource: Resource, metadata: &Metadata<'_>) -> Self {
        let mut reading = Self::of(resource, metadata);
        reading.events.extend(match reading.id.clone() {
            Some(Id::Node) => Some(Event::NodeDeleted),
            Some(Id::Service(id)) => Some(Event::ServiceDeleted(id)),
            Some(Id::Slice(id)) => Some(Event::SliceDeleted(id)),
            Some(Id::ServiceCidr(name)) => Some(Event::ServiceCidrDeleted(name)),
            None if resource == Resource::EndpointSlice => moved(metadata, None),
            None => None,
        });
        reading
    }

    fn take<T>(
        &mut self,
        converted: Converted<T>,
        metadata: &Metadata<'_>,
        applied: fn(T) -> Event,
    ) {
        let Converted { outcome, warnings } = converted;
        let (kind, id) = match &self.id {
            Some(Id::Node) => (Resource::Node.kind(), Some(Event::NodeDeleted)),
            Some(Id::Service(id)) => (
                Resource::Service.kind(),
                Some(Event::ServiceDeleted(id.clone())),
            ),
            Some(Id::Slice(id)) => (
                Resource::EndpointSlice.kind(),
                Some(Event::SliceDeleted(id.clone())),
            ),
            Some(Id::ServiceCidr(name)) => (
                Resource::ServiceCidr.kind(),
                Some(Event::ServiceCidrDeleted(name.clone())),
            ),
            None => (Resource::EndpointSlice.kind(), None),
        };
        for warning in warnings {
            let object = convert::label(metadata.namespace.filled(), &metadata.name);
            self.problems
                .push(Problem::warning(kind, object, self.id.as_ref(), warning));
        }
        match outcome {
            Outcome::Programmed(object) => self.events.push(applied(object)),
            Outcome::Ignored(reason) => {
                self.trigger = None;
                // What never is ours needs no farewell.
                self.events.extend(id.filter(|_| reason != Ignored::Fqdn));
                self.id = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
