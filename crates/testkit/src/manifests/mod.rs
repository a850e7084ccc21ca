//! Manifests for tests: terse builders, folders as viprule watches them, big data sets.

mod bulk;
mod folder;
mod node;
mod projected;
mod service;
mod slice;
mod yaml;

pub use bulk::Bulk;
pub use folder::ManifestFolder;
pub use node::{Node, node};
pub use projected::ProjectedVolume;
pub use service::{Service, service};
pub use slice::{Endpoint, EndpointSlice, endpoint, slice};
pub use yaml::{join, to_yaml};

use serde_json::{Value, json};

/// `namespace/name`, or `name` in namespace `default`, as object metadata.
fn metadata(name: &str) -> Value {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    json!({ "namespace": namespace, "name": name })
}

/// Sets the value at a path such as `/spec/type`, making the maps on the way. A `~1` in a step
/// stands for `/`, as in RFC 6901. Lists on the way aren't entered: the path's value replaces them.
pub(crate) fn set(document: &mut Value, path: &str, value: Value) {
    let mut place = document;
    for step in path.trim_start_matches('/').split('/') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[step.replace("~1", "/").replace("~0", "~")];
    }
    *place = value;
}

/// Appends to the list at a path, making it if it isn't there.
fn push(document: &mut Value, path: &str, value: Value) {
    match document.pointer_mut(path) {
        Some(Value::Array(list)) => list.push(value),
        _ => set(document, path, json!([value])),
    }
}

/// What every object builder offers.
macro_rules! object_builder {
    ($builder:ident) => {
        impl $builder {
            /// Sets any field, by a path such as `/spec/type`; a `/` within a key is written `~1`.
            #[must_use]
            pub fn set(mut self, path: &str, value: impl Into<serde_json::Value>) -> Self {
                super::set(&mut self.0, path, value.into());
                self
            }

            /// Adds a label.
            #[must_use]
            pub fn label(self, key: &str, value: &str) -> Self {
                self.set(
                    &format!("/metadata/labels/{}", key.replace('/', "~1")),
                    value,
                )
            }

            /// Adds an annotation.
            #[must_use]
            pub fn annotation(self, key: &str, value: &str) -> Self {
                self.set(
                    &format!("/metadata/annotations/{}", key.replace('/', "~1")),
                    value,
                )
            }

            /// The object as JSON.
            pub fn json(&self) -> &serde_json::Value {
                &self.0
            }
        }

        /// One YAML document, ending in a newline.
        impl std::fmt::Display for $builder {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&super::to_yaml(&self.0))
            }
        }
    };
}
use object_builder;
