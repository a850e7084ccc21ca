//! Kubernetes objects as far as they count here, borrowed from the text that they are read from.
//!
//! A field that nobody needs is skipped without a look, so that no value of it can spoil an object.
//! In a field that counts, `null` is as if it were absent, as Go writes empty lists and structs, and
//! of two equal keys the last one counts; a value of another type is an error with its path.
//!
//! `decode` makes an object of a server's text, `decode_value` of a manifest's fields.

mod endpoints;
mod metadata;
mod node;
mod service;
mod service_cidr;
mod slice;
mod text;

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::FieldError;
use crate::escape;

pub use endpoints::{Endpoints, Subset, SubsetAddress};
pub use metadata::{Annotations, Labels, Metadata, Named};
pub use node::{Node, NodeAddress, NodeSpec, NodeStatus, Taint};
pub use service::{
    ClientIp, Ingress, LoadBalancerStatus, Service, ServicePort, ServiceSpec, ServiceStatus,
    SessionAffinityConfig,
};
pub use service_cidr::{ServiceCidr, ServiceCidrSpec};
pub use slice::{Conditions, Endpoint, EndpointPort, EndpointSlice, Hint, Hints};
pub use text::Text;

/// Defines a struct with the fields that are read of an object, each with the key that it has
/// there. Structs of no text have no lifetime.
///
/// Not derived: serde's structs take a list for an object and refuse `null`.
macro_rules! fields {
    (
        $(#[$doc:meta])*
        struct $name:ident<$life:lifetime> {
            $($(#[$field_doc:meta])* $key:literal => $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name<$life> {
            $($(#[$field_doc])* pub $field: $type,)*
        }
        $crate::convert::object::fields!(@read $life, $name, $name<$life>, $($key => $field,)*);
    };
    (
        $(#[$doc:meta])*
        struct $name:ident {
            $($(#[$field_doc:meta])* $key:literal => $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }
        $crate::convert::object::fields!(@read 'de, $name, $name, $($key => $field,)*);
    };
    (@read $life:lifetime, $name:ident, $object:ty, $($key:literal => $field:ident,)*) => {
        impl<$life> serde::de::Deserialize<$life> for $object {
            fn deserialize<D: serde::de::Deserializer<$life>>(from: D) -> Result<Self, D::Error> {
                struct Fields;
                impl<$life> serde::de::Visitor<$life> for Fields {
                    type Value = $object;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<$life>>(
                        self,
                        mut map: A,
                    ) -> Result<$object, A::Error> {
                        let mut object = $name::default();
                        while let Some(key) = map.next_key::<$crate::convert::object::Text<'_>>()? {
                            match &*key {
                                $($key => {
                                    object.$field = $crate::convert::object::value(&mut map)?;
                                })*
                                _ => $crate::convert::object::skip(&mut map)?,
                            }
                        }
                        Ok(object)
                    }
                }
                from.deserialize_map(Fields)
            }
        }
    };
}
use fields;

/// The value of a field, its default for `null`.
fn value<'de, T, A>(map: &mut A) -> Result<T, A::Error>
where
    T: Default + Deserialize<'de>,
    A: MapAccess<'de>,
{
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// A value of which only matters whether it is there.
pub type Presence = Option<IgnoredAny>;

/// The first text of a list; the others are skipped.
#[derive(Debug, Default)]
pub struct First<'o>(pub Option<Text<'o>>);

impl<'de> Deserialize<'de> for First<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = First<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<'de>, A::Error> {
                let first = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        from.deserialize_seq(List)
    }
}

/// Reads an object, or anything that holds objects, from JSON. The path of what is wrong is found
/// by a second reading: it costs as much as all the rest.
pub(crate) fn decode<'o, T: Deserialize<'o>>(text: &'o str) -> Result<T, FieldError> {
    serde_json::from_str(text).map_err(|error| {
        let mut from = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(&mut from) {
            Err(error) => undecodable(error.path(), error.inner()),
            // Such as something behind the object.
            Ok(_) => FieldError::new("", error.to_string()),
        }
    })
}

/// Reads an object from its fields.
pub(crate) fn decode_value<'o, T: Deserialize<'o>>(fields: &'o Value) -> Result<T, FieldError> {
    T::deserialize(fields).map_err(
        |error| match serde_path_to_error::deserialize::<_, T>(fields) {
            Err(error) => undecodable(error.path(), error.inner()),
            Ok(_) => FieldError::new("", error.to_string()),
        },
    )
}

/// Longest text of what is wrong with a field, characters.
const LONGEST_MESSAGE: usize = 256;

fn undecodable(path: &Path, error: &serde_json::Error) -> FieldError {
    // Servers write objects in one line.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = error
        .to_string()
        .replace("expected i32", "expected a number");
    let message = message.strip_suffix(&*place).unwrap_or(&message);
    // It quotes what is there instead, which can be of any length.
    let message = escape::shortened(message.to_owned(), LONGEST_MESSAGE);
    let mut field = String::new();
    for segment in path {
        let step = match segment {
            Segment::Map { key } if key.contains('.') => format!("[{key:?}]"),
            Segment::Map { key } if field.is_empty() => key.clone(),
            Segment::Map { key } => format!(".{key}"),
            other => other.to_string(),
        };
        field.push_str(&step);
    }
    FieldError::new(field, message)
}
