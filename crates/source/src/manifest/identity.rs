//! What says which object an object is: texts all, so that no number or list is taken for another
//! name, or for none.

use serde_json::{Map, Value};

use super::object::{Key, Kind};
use crate::convert::{FieldError, label, quoted};

/// A text of an object. `None` where it is missing, null or empty, as for Go.
pub(super) fn text<'f>(
    fields: &'f Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Option<&'f str>, FieldError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(other) => Err(FieldError::new(path, no_text(other))),
    }
}

/// What is in place of a text.
fn no_text(value: &Value) -> String {
    match value {
        Value::Number(number) => {
            format!("is the number {number}, and must be a string: put it in quotes")
        }
        Value::Bool(value) => format!(
            "is the boolean {value}, and must be a string: put it in quotes (yes, on, no and off are \
             booleans in YAML)"
        ),
        Value::Array(_) => "is a list, and must be a string".to_owned(),
        Value::Object(_) => "is an object, and must be a string".to_owned(),
        Value::Null | Value::String(_) => "must be a string".to_owned(),
    }
}

/// An object within an object; empty where it is missing or null.
fn inner<'f>(
    fields: &'f Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Option<&'f Map<String, Value>>, FieldError> {
    let found = match fields.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(inner)) => return Ok(Some(inner)),
        Some(Value::Array(_)) => "a list".to_owned(),
        Some(Value::String(text)) => format!("the string {}", quoted(text)),
        Some(other) => other.to_string(),
    };
    Err(FieldError::new(
        path,
        format!("is {found}, and must be an object"),
    ))
}

/// How messages call the object, and its key or what is wrong with its names.
pub(super) fn named(kind: Kind, fields: &Map<String, Value>) -> (String, Result<Key, FieldError>) {
    let metadata = inner(fields, "metadata", "metadata");
    let read = |field: &str| match &metadata {
        Ok(Some(metadata)) => text(metadata, field, &format!("metadata.{field}")),
        Ok(None) | Err(_) => Ok(None),
    };
    let name = read("name");
    let namespace = if kind.is_namespaced() {
        read("namespace").map(|text| Some(text.unwrap_or("default")))
    } else {
        Ok(None)
    };
    let label = label(
        match (&metadata, &namespace) {
            (Ok(_), Ok(namespace)) => *namespace,
            (Err(_), _) | (_, Err(_)) => Some("?"),
        },
        name.as_ref().ok().copied().flatten().unwrap_or_default(),
    );
    let key = || {
        metadata
            .as_ref()
            .map_err(|error| FieldError::new(&error.field, &*error.message))?;
        let name = match (namespace?, name?) {
            (_, None) => return Err(FieldError::new("metadata.name", "is missing")),
            (Some(namespace), Some(name)) => format!("{namespace}/{name}").into(),
            (None, Some(name)) => name.into(),
        };
        Ok(Key { kind, name })
    };
    (format!("{} {label}", kind.as_str()), key())
}

/// Fills in the namespace of an object that says none.
pub(super) fn fill_in_namespace(fields: &mut Map<String, Value>) {
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata")
        && let Ok(None) = text(metadata, "namespace", "")
    {
        metadata.insert("namespace".to_owned(), "default".into());
    }
}
