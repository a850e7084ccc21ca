//! What conversion says about an object.

use std::fmt;

use super::object::Metadata;

/// An object that can't be programmed as it is.
///
/// Its text is `Service shop/edge: spec.ports[0].port: 70000 is not a port, 1 to 65535 are`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {object}: {field}{}{message}", if field.is_empty() { "" } else { ": " })]
pub struct ObjectError {
    /// The object's kind.
    pub kind: &'static str,
    /// `namespace/name`, or the name alone where the kind has no namespaces.
    pub object: String,
    /// The field's path within the object, such as `spec.ports[0].port`; empty where it is about the
    /// object as a whole.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Something about a converted object that its author should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The field's path within the object.
    pub field: String,
    /// What was made of it.
    pub message: String,
}

impl Warning {
    /// A field that is left out for its error.
    pub(crate) fn skipped(error: FieldError) -> Self {
        Self {
            field: error.field,
            message: format!("{}; it is skipped", error.message),
        }
    }
}

/// A model object, or why the object is none of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// To be programmed.
    Programmed(T),
    /// Not to be programmed; if it was before, it is gone now.
    Ignored(Ignored),
}

/// Why an object is not programmed (contract 1.1, 1.4, 1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// `spec.clusterIP: None`, or a slice of such a Service.
    Headless,
    /// `spec.type: ExternalName`.
    ExternalName,
    /// Label `service.kubernetes.io/service-proxy-name`: another proxy's.
    ForeignProxy,
    /// No cluster IP is assigned.
    NoClusterIp,
    /// A slice with `addressType: FQDN`.
    Fqdn,
    /// A slice without the label that names its Service, or Endpoints with a name that no Service
    /// can have.
    NoServiceName,
    /// Endpoints with the label `endpointslice.kubernetes.io/skip-mirror: "true"`.
    SkipMirror,
    /// Endpoints with the annotation `control-plane.alpha.kubernetes.io/leader`.
    LeaderElection,
}

/// What is wrong with a field; becomes an [`ObjectError`] once the object is known.
#[derive(Debug)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) message: String,
}

impl FieldError {
    pub(crate) fn new(field: impl fmt::Display, message: impl Into<String>) -> Self {
        Self {
            field: field.to_string(),
            message: message.into(),
        }
    }

    pub(crate) fn of(self, kind: &'static str, metadata: &Metadata<'_>) -> ObjectError {
        ObjectError {
            kind,
            object: label(metadata.namespace.filled(), &metadata.name),
            field: self.field,
            message: self.message,
        }
    }
}

/// Longest text of an object's author in messages, characters; texts can be of any length.
const TEXT_LIMIT: usize = 128;

/// `namespace/name` for messages, whatever the names are.
pub(crate) fn label(namespace: Option<&str>, name: &str) -> String {
    let name = if name.is_empty() {
        "(without a name)"
    } else {
        name
    };
    match namespace {
        Some(namespace) => printable(&format!("{namespace}/{name}")),
        None => printable(name),
    }
}

/// A text in quotes, for messages.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", printable(text))
}

/// One line of bounded length.
fn printable(text: &str) -> String {
    let mut characters = text.chars();
    let mut short: String = characters
        .by_ref()
        .take(TEXT_LIMIT)
        .flat_map(char::escape_debug)
        .collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}
