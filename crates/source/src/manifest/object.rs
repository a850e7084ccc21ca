//! One object of a manifest: from its fields to an event.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use viprule_service::model::{Event, ServiceId, SliceId};

use super::fingerprint::fingerprint;
use super::{identity, path};
use crate::convert::object::{EndpointSlice, Endpoints, Node, Service, ServiceCidr, decode_value};
use crate::convert::{self, Converted, Ignored, Interner, ObjectError, Outcome};

/// Kinds that manifests are read for, in the order of their events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Node,
    ServiceCidr,
    Service,
    EndpointSlice,
    /// Told behind the slices that may take their place.
    Endpoints,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::Node,
        Self::ServiceCidr,
        Self::Service,
        Self::EndpointSlice,
        Self::Endpoints,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::ServiceCidr => "ServiceCIDR",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Endpoints => "Endpoints",
        }
    }

    const fn api_version(self) -> &'static str {
        match self {
            Self::Node | Self::Service | Self::Endpoints => "v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::ServiceCidr => "networking.k8s.io/v1",
        }
    }

    /// Whether its objects are in namespaces.
    pub(super) const fn is_namespaced(self) -> bool {
        !matches!(self, Self::Node | Self::ServiceCidr)
    }
}

/// What makes two objects the same object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: Kind,
    /// `namespace/name`, or the name alone where there are no namespaces.
    pub(super) name: Arc<str>,
}

impl Key {
    /// For look-ups.
    pub(super) fn parts(&self) -> (Kind, &str) {
        (self.kind, &self.name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// What an object is to the rest of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Is ignored for what it is.
    Ignored,
    /// The node.
    Node(u64),
    /// Where cluster IPs are from.
    ServiceCidr(u64),
    /// A Service.
    Service {
        fingerprint: u64,
        /// An API server would mirror no Endpoints to slices of it.
        has_selector: bool,
    },
    /// A slice of a Service; its identity changes with the Service.
    Of(ServiceId, u64),
    /// Endpoints and the slices that they are mirrored to, if they are.
    Mirrored(Box<[SliceId]>, u64),
    /// Endpoints that say that they are not to be mirrored.
    Unmirrored(Ignored),
}

impl Place {
    /// Whether there are events of such an object.
    pub(super) const fn is_told(&self) -> bool {
        !matches!(self, Self::Ignored | Self::Unmirrored(_))
    }
}

/// Something wrong with an object, a path within its document yet.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) warning: bool,
    pub(super) object: Option<String>,
    pub(super) field: Option<String>,
    /// Path of the object within the document.
    pub(super) at: String,
    pub(super) message: String,
}

/// What became of an object.
#[derive(Debug)]
pub(super) enum Read {
    /// A kind that isn't read, or another node.
    OtherKind,
    /// An object of ours; there are no events where it is ignored.
    Good(Key, Place, Vec<Event>),
    /// An object with an error, which `Fault`s tell; it has a key where it could be attributed.
    Bad(Option<Key>),
}

/// What reading objects needs to know.
#[derive(Debug)]
pub(super) struct Reader<'r> {
    pub(super) names: &'r mut Interner,
    /// This node's name.
    pub(super) node: Option<&'r str>,
}

impl Reader<'_> {
    /// Reads the object at the path `at` of its document.
    pub(super) fn read(&mut self, value: Value, at: &str, faults: &mut Vec<Fault>) -> Read {
        let fault = |object: Option<String>, field: &str, message: &str| Fault {
            warning: false,
            object,
            field: (!field.is_empty()).then(|| field.to_owned()),
            at: at.to_owned(),
            message: message.to_owned(),
        };
        let Value::Object(mut fields) = value else {
            let message = "is not an object with apiVersion, kind and metadata";
            faults.push(fault(None, at, message));
            return Read::Bad(None);
        };
        let name = match identity::text(&fields, "kind", "kind") {
            Ok(Some(name)) => name,
            Ok(None) => {
                faults.push(fault(None, &path::join(at, "kind"), "is missing"));
                return Read::Bad(None);
            }
            Err(error) => {
                faults.push(fault(None, &path::join(at, "kind"), &error.message));
                return Read::Bad(None);
            }
        };
        let kind = match name {
            "Service" => Kind::Service,
            "EndpointSlice" => Kind::EndpointSlice,
            "Endpoints" => Kind::Endpoints,
            "Node" => Kind::Node,
            "ServiceCIDR" => Kind::ServiceCidr,
            _ => return Read::OtherKind,
        };
        let (label, key) = identity::named(kind, &fields);
        let wanted = kind.api_version();
        let version = match identity::text(&fields, "apiVersion", "apiVersion") {
            Ok(Some(version)) if version == wanted => Ok(()),
            // Such as a Service of serving.knative.dev; old versions of slices are worth a word.
            Ok(Some(version)) if !version.starts_with("discovery.k8s.io/") => {
                return Read::OtherKind;
            }
            Ok(Some(version)) => Err(format!("is {version}")),
            Ok(None) => Err("is missing".to_owned()),
            Err(error) => Err(error.message),
        };
        if let Err(found) = version {
            let message = format!("{found}; {} objects have {wanted}", kind.as_str());
            faults.push(fault(Some(label), "apiVersion", &message));
            return Read::Bad(key.ok());
        }
        let name = key.as_ref().ok().map(|key| &*key.name);
        if kind == Kind::Node && name != self.node {
            return Read::OtherKind;
        }
        let key = match key {
            Ok(key) => key,
            Err(error) => {
                faults.push(fault(Some(label), &error.field, &error.message));
                return Read::Bad(None);
            }
        };
        if kind.is_namespaced() {
            identity::fill_in_namespace(&mut fields);
        }
        match self.convert(&Value::Object(fields), &key, at, faults) {
            Ok((place, events)) => Read::Good(key, place, events),
            Err(error) => {
                let field = error.field;
                faults.push(fault(Some(label), &field, &error.message));
                Read::Bad(Some(key))
            }
        }
    }

    fn convert(
        &mut self,
        value: &Value,
        key: &Key,
        at: &str,
        faults: &mut Vec<Fault>,
    ) -> Result<(Place, Vec<Event>), ObjectError> {
        let (events, warnings) = match key.kind {
            Kind::Node => {
                let object: Node<'_> = typed(value, key)?;
                split(convert::node(&object)?, |node| {
                    vec![Event::NodeApplied(node)]
                })
            }
            Kind::ServiceCidr => {
                let object: ServiceCidr<'_> = typed(value, key)?;
                let events = |cidr| vec![Event::ServiceCidrApplied(cidr)];
                split(convert::service_cidr(&object)?, events)
            }
            Kind::Service => {
                let object: Service<'_> = typed(value, key)?;
                let events = |service| vec![Event::ServiceApplied(service)];
                split(convert::service(&object)?, events)
            }
            Kind::EndpointSlice => {
                let object: EndpointSlice<'_> = typed(value, key)?;
                let events = |slice| vec![Event::SliceApplied(slice)];
                split(convert::endpoint_slice(&object, self.names)?, events)
            }
            Kind::Endpoints => {
                let object: Endpoints<'_> = typed(value, key)?;
                let events = |slices: Vec<_>| slices.into_iter().map(Event::SliceApplied).collect();
                split(convert::endpoints(&object, self.names)?, events)
            }
        };
        let mut warn = |field: String, message: String| {
            faults.push(Fault {
                warning: true,
                object: Some(key.to_string()),
                field: Some(field),
                at: at.to_owned(),
                message,
            });
        };
        for warning in warnings {
            warn(warning.field, warning.message);
        }
        match events {
            Ok(events) => Ok((place(key.kind, value, &events), events)),
            Err(Ignored::NoClusterIp) => {
                warn(
                    "spec.clusterIP".to_owned(),
                    "is missing, so the Service is ignored; an API server would have assigned one"
                        .to_owned(),
                );
                Ok((Place::Ignored, Vec::new()))
            }
            Err(why @ (Ignored::SkipMirror | Ignored::LeaderElection)) => {
                Ok((Place::Unmirrored(why), Vec::new()))
            }
            Err(_) => Ok((Place::Ignored, Vec::new())),
        }
    }
}

/// What is remembered of an object that its events are about.
fn place(kind: Kind, value: &Value, events: &[Event]) -> Place {
    let fingerprint = fingerprint(events);
    let slices = events.iter().filter_map(|event| match event {
        Event::SliceApplied(slice) => Some(slice.id.clone()),
        _ => None,
    });
    match (kind, events) {
        // Endpoints without an address.
        (_, []) => Place::Ignored,
        (Kind::Node, _) => Place::Node(fingerprint),
        (Kind::ServiceCidr, _) => Place::ServiceCidr(fingerprint),
        (Kind::EndpointSlice, [Event::SliceApplied(slice), ..]) => {
            Place::Of(slice.id.service.clone(), fingerprint)
        }
        (Kind::EndpointSlice | Kind::Endpoints, _) => {
            Place::Mirrored(slices.collect(), fingerprint)
        }
        (Kind::Service, _) => Place::Service {
            fingerprint,
            has_selector: has_selector(value),
        },
    }
}

/// An empty selector is none: Go leaves it out.
fn has_selector(service: &Value) -> bool {
    match service.pointer("/spec/selector") {
        None | Some(Value::Null) => false,
        Some(Value::Object(selector)) => !selector.is_empty(),
        Some(_) => true,
    }
}

type Parts = (Result<Vec<Event>, Ignored>, Vec<convert::Warning>);

fn split<T>(converted: Converted<T>, events: impl FnOnce(T) -> Vec<Event>) -> Parts {
    let outcome = match converted.outcome {
        Outcome::Programmed(object) => Ok(events(object)),
        Outcome::Ignored(reason) => Err(reason),
    };
    (outcome, converted.warnings)
}

/// The events that an object is gone.
pub(super) fn deleted(key: &Key, place: &Place) -> Vec<Event> {
    let (namespace, name) = key.name.split_once('/').unwrap_or(("", &key.name));
    let event = match place {
        Place::Ignored | Place::Unmirrored(_) => None,
        Place::Node(_) => Some(Event::NodeDeleted),
        Place::ServiceCidr(_) => Some(Event::ServiceCidrDeleted(key.name.as_ref().into())),
        Place::Service { .. } => ServiceId::new(namespace, name)
            .ok()
            .map(Event::ServiceDeleted),
        Place::Of(service, _) => SliceId::new(service.clone(), name)
            .ok()
            .map(Event::SliceDeleted),
        Place::Mirrored(slices, _) => {
            return slices.iter().cloned().map(Event::SliceDeleted).collect();
        }
    };
    event.into_iter().collect()
}

/// The events that something of an object is gone that has another place now.
pub(super) fn replaced(key: &Key, before: &Place, now: &Place) -> Vec<Event> {
    match (before, now) {
        (Place::Of(old, _), Place::Of(new, _)) if old != new => deleted(key, before),
        (Place::Mirrored(old, _), Place::Mirrored(new, _)) => {
            let gone = old.iter().filter(|slice| !new.contains(slice));
            gone.cloned().map(Event::SliceDeleted).collect()
        }
        _ => Vec::new(),
    }
}

fn typed<'v, T: Deserialize<'v>>(value: &'v Value, key: &Key) -> Result<T, ObjectError> {
    decode_value(value).map_err(|error| ObjectError {
        kind: key.kind.as_str(),
        object: key.name.to_string(),
        field: error.field,
        message: error.message,
    })
}
