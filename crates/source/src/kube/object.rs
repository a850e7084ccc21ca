//! One object: from the server's text to events. Nothing of it is kept.

use std::collections::BTreeMap;
use std::time::SystemTime;

use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use viprule_service::model::{Event, ServiceId};

use super::present::Id;
use super::{Problem, Resource};
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

/// What is read of `metadata`; `managedFields` alone can be longer than the rest of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<Annotations>,
    deletion_timestamp: Option<Time>,
}

#[derive(Debug, Default, Deserialize)]
struct Annotations {
    #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time")]
    trigger: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Head {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Service {
    metadata: Metadata,
    spec: Option<v1::ServiceSpec>,
    status: Option<v1::ServiceStatus>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slice {
    metadata: Metadata,
    address_type: String,
    endpoints: Option<Vec<discovery::Endpoint>>,
    ports: Option<Vec<discovery::EndpointPort>>,
}

#[derive(Debug, Deserialize)]
struct Node {
    metadata: Metadata,
    spec: Option<v1::NodeSpec>,
    status: Option<NodeStatus>,
}

/// Without the images, which are most of a Node.
#[derive(Debug, Deserialize)]
struct NodeStatus {
    addresses: Option<Vec<v1::NodeAddress>>,
}

impl Metadata {
    /// Splits off what `convert` doesn't need.
    fn split(self) -> (ObjectMeta, Option<String>, Option<String>) {
        let trigger = self.annotations.and_then(|annotations| annotations.trigger);
        let metadata = ObjectMeta {
            name: self.name,
            namespace: self.namespace,
            labels: self.labels,
            deletion_timestamp: self.deletion_timestamp,
            ..ObjectMeta::default()
        };
        (metadata, self.resource_version, trigger)
    }
}

/// Reads the text of an object of this kind. Objects that can't be programmed are refused: the
/// model keeps what it has of them.
pub(super) fn read(resource: Resource, text: &str, change: Change) -> Reading {
    let mut reading = Reading::default();
    let result = match change {
        Change::Deleted => gone(resource, text, &mut reading),
        _ => present(resource, text, change, &mut reading),
    };
    if let Err(error) = result {
        reading.problems.push(Problem::refused(error));
    }
    reading
}

fn gone(resource: Resource, text: &str, reading: &mut Reading) -> Result<(), ObjectError> {
    let head: Head = typed(resource, text)?;
    let metadata = reading.head(resource, head.metadata);
    reading.events.extend(match reading.id.clone() {
        Some(Id::Node) => Some(Event::NodeDeleted),
        Some(Id::Service(id)) => Some(Event::ServiceDeleted(id)),
        Some(Id::Slice(id)) => Some(Event::SliceDeleted(id)),
        None if resource == Resource::EndpointSlice => moved(&metadata, None),
        None => None,
    });
    Ok(())
}

fn present(
    resource: Resource,
    text: &str,
    change: Change,
    reading: &mut Reading,
) -> Result<(), ObjectError> {
    match resource {
        Resource::Node => {
            let object: Node = reading.typed(resource, text)?;
            let metadata = reading.head(resource, object.metadata);
            let status = object.status.map(|status| v1::NodeStatus {
                addresses: status.addresses,
                ..v1::NodeStatus::default()
            });
            let object = v1::Node {
                metadata,
                spec: object.spec,
                status,
            };
            let converted = convert::node(&object)?;
            reading.take(converted, &object.metadata, Event::NodeApplied);
        }
        Resource::Service => {
            let object: Service = reading.typed(resource, text)?;
            let object = v1::Service {
                metadata: reading.head(resource, object.metadata),
                spec: object.spec,
                status: object.status,
            };
            let converted = convert::service(&object)?;
            reading.take(converted, &object.metadata, Event::ServiceApplied);
        }
        Resource::EndpointSlice => {
            let object: Slice = reading.typed(resource, text)?;
            let object = discovery::EndpointSlice {
                metadata: reading.head(resource, object.metadata),
                address_type: object.address_type,
                endpoints: object.endpoints.unwrap_or_default(),
                ports: object.ports,
            };
            if change == Change::Modified && object.address_type != "FQDN" {
                let to = convert::slice_id(&object.metadata).map(|id| id.service);
                reading.events.extend(moved(&object.metadata, to));
            }
            // The tracker keeps one copy of each node name; one object's names are soon gone.
            let converted = convert::endpoint_slice(&object, &mut Interner::default())?;
            reading.take(converted, &object.metadata, Event::SliceApplied);
        }
    }
    Ok(())
}

fn moved(metadata: &ObjectMeta, to: Option<ServiceId>) -> Option<Event> {
    Some(Event::SliceMoved {
        namespace: metadata.namespace.as_deref()?.into(),
        name: metadata.name.as_deref()?.into(),
        to,
    })
}

impl Reading {
    /// Takes the names in; the rest is for `convert`.
    fn head(&mut self, resource: Resource, metadata: Metadata) -> ObjectMeta {
        let (metadata, version, trigger) = metadata.split();
        self.version = version;
        self.trigger = trigger.and_then(|text| Some(text.parse::<Timestamp>().ok()?.into()));
        self.id = match resource {
            Resource::Node => Some(Id::Node),
            Resource::Service => convert::service_id(&metadata).map(Id::Service),
            Resource::EndpointSlice => convert::slice_id(&metadata).map(Id::Slice),
        };
        metadata
    }

    /// Parses an object; where that fails, its names at least.
    fn typed<T: DeserializeOwned>(
        &mut self,
        resource: Resource,
        text: &str,
    ) -> Result<T, ObjectError> {
        typed(resource, text).inspect_err(|_| {
            if let Ok(head) = serde_json::from_str::<Head>(text) {
                self.head(resource, head.metadata);
            }
        })
    }

    fn take<T>(&mut self, converted: Converted<T>, metadata: &ObjectMeta, applied: fn(T) -> Event) {
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
            None => (Resource::EndpointSlice.kind(), None),
        };
        for warning in warnings {
            let object = convert::label(metadata.namespace.as_deref(), metadata.name.as_deref());
            self.problems.push(Problem::warning(kind, object, warning));
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

fn typed<T: DeserializeOwned>(resource: Resource, text: &str) -> Result<T, ObjectError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let head: Option<Head> = serde_json::from_str(text).ok();
        let metadata = head.map(|head| head.metadata).unwrap_or_default();
        let path = error.path().to_string();
        ObjectError {
            kind: resource.kind(),
            object: convert::label(metadata.namespace.as_deref(), metadata.name.as_deref()),
            field: if path == "." { String::new() } else { path },
            message: error.into_inner().to_string(),
        }
    })
}

#[cfg(test)]
mod tests;
