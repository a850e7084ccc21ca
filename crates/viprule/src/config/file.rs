//! A configuration file: kube-proxy's document, and ours beside it.

use std::path::Path;

use viprule_source::files::{self, Kinds};

use super::document::{self, Node, Value};
use super::fields::{Field as _, Reader};
use super::own::{self, OwnSettings};
use super::problem::{ConfigError, Problem};
use super::proxy::{self, KubeProxyConfiguration};

/// What a file says; kube-proxy's fields without defaults.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct File {
    pub(super) proxy: KubeProxyConfiguration,
    pub(super) own: OwnSettings,
    pub(super) warnings: Vec<String>,
}

/// Reads a file. Everything that is wrong in it is told at once.
pub(super) fn read(path: &Path, kinds: Kinds) -> Result<File, ConfigError> {
    let origin = path.display().to_string();
    let text = files::read_settings(path, kinds)
        .map_err(|error| ConfigError::unreadable(origin.clone(), files::describe(&error)))?;
    parse(&text, &origin)
}

/// Reads a file's text; `origin` is what it is called.
pub(super) fn parse(text: &str, origin: &str) -> Result<File, ConfigError> {
    let unreadable = |message| ConfigError::unreadable(origin.to_owned(), message);
    let documents = document::documents(text).map_err(unreadable)?;
    let mut file = File::default();
    let mut reader = Reader::default();
    let (mut of_proxy, mut of_own) = (0, 0);
    for node in &documents {
        let version = text_of(node, "apiVersion");
        let kind = text_of(node, "kind");
        match (version, kind) {
            (Some(proxy::API_VERSION), Some(proxy::KIND)) => {
                of_proxy += 1;
                file.proxy.read(node, &mut reader);
            }
            (Some(own::API_VERSION), Some(own::KIND)) => {
                of_own += 1;
                file.own.read(node, &mut reader);
            }
            _ => reader.problem(node, unknown(version, kind)),
        }
    }
    for (count, kind) in [(of_proxy, proxy::KIND), (of_own, own::KIND)] {
        if count > 1 {
            reader.problems.push(whole(format!(
                "has {count} documents of kind {kind}; keep one"
            )));
        }
    }
    if of_proxy == 0 && reader.problems.is_empty() {
        let (version, kind) = (proxy::API_VERSION, proxy::KIND);
        let message = format!("has no document of apiVersion {version} and kind {kind}");
        reader.problems.push(whole(message));
    }
    if !reader.problems.is_empty() {
        return Err(ConfigError {
            origin: origin.to_owned(),
            problems: reader.problems,
        });
    }
    if !reader.passed_over.is_empty() {
        let fields = reader.passed_over.join(", ");
        file.warnings
            .push(format!("{origin}: unknown or repeated fields: {fields}"));
    }
    Ok(file)
}

fn unknown(version: Option<&str>, kind: Option<&str>) -> String {
    let known = format!(
        "{} of {} or {} of {}",
        proxy::KIND,
        proxy::API_VERSION,
        own::KIND,
        own::API_VERSION
    );
    match (version, kind) {
        (None, _) => format!("apiVersion is missing; documents are {known}"),
        (_, None) => format!("kind is missing; documents are {known}"),
        (Some(version), Some(kind)) => {
            format!("{kind} of {version} is unknown; documents are {known}")
        }
    }
}

/// A problem of the file as a whole.
fn whole(message: String) -> Problem {
    Problem {
        field: String::new(),
        line: None,
        message,
    }
}

/// A text at the top of a document.
fn text_of<'n>(node: &'n Node, name: &str) -> Option<&'n str> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    entries.iter().find_map(|(key, node)| match &node.value {
        Value::Text(text) if key.name == name && !text.is_empty() => Some(text.as_str()),
        _ => None,
    })
}
