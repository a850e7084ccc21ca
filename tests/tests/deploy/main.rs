//! `deploy/`: what its files promise. What an API server thinks of them is for a cluster to say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod daemonset;
mod node;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// Where a file below `deploy/` is.
fn path(file: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    folder.join(file)
}

/// A file below `deploy/`.
fn text(file: &str) -> String {
    let path = path(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file's YAML documents, with anchors resolved.
fn documents(file: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A file's only YAML document.
fn document(file: &str) -> Value {
    let mut documents = documents(file);
    assert_eq!(documents.len(), 1, "{file}");
    documents.remove(0)
}

/// An object's apiVersion, kind and name.
fn identity(object: &Value) -> [&str; 3] {
    ["/apiVersion", "/kind", "/metadata/name"]
        .map(|field| object.pointer(field).and_then(Value::as_str).unwrap_or(""))
}
