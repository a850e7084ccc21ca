//! Whether an answer is what was asked for.

use serde::Deserialize;

use super::Resource;

/// What an object says that it is, and whose name it has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    kind: Option<String>,
    api_version: Option<String>,
    metadata: Option<Names>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names {
    name: Option<String>,
    namespace: Option<String>,
}

/// Longest text of an answer in messages, characters.
const TEXT_LIMIT: usize = 128;

/// One line of bounded length.
pub(super) fn short(text: &str) -> String {
    let short = text.chars().take(TEXT_LIMIT);
    short.flat_map(char::escape_debug).collect()
}

/// What an answer says that it is, for messages: `kind ConfigMap of v1`.
pub(super) fn told(kind: Option<&str>, version: Option<&str>) -> String {
    match (kind.filter(|kind| !kind.is_empty()), version) {
        (None, _) => "an object of no kind".to_owned(),
        (Some(kind), None) => format!("kind {}", short(kind)),
        (Some(kind), Some(version)) => format!("kind {} of {}", short(kind), short(version)),
    }
}

/// Checks an object of a watch. The error is what it says that it is.
pub(super) fn of_event(resource: Resource, text: &str) -> Result<(), String> {
    if text.starts_with(resource.beginning()) {
        return Ok(());
    }
    let head: Head = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let (kind, version) = (head.kind.as_deref(), head.api_version.as_deref());
    if kind == Some(resource.kind()) && version == Some(resource.version()) {
        return Ok(());
    }
    Err(told(kind, version))
}

/// Checks an object of a list by pages, whose kind servers leave out.
pub(super) fn of_item(resource: Resource, text: &str) -> Result<(), String> {
    // Whoever writes a kind writes it before: Go as its structures have it, maps by the alphabet.
    if text.starts_with("{\"metadata\":") || text.starts_with(resource.beginning()) {
        return Ok(());
    }
    let head: Head = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let (kind, version) = (head.kind.as_deref(), head.api_version.as_deref());
    let is = |found: Option<&str>, wanted| found.is_none_or(|found| found == wanted);
    if is(kind, resource.kind()) && is(version, resource.version()) {
        return Ok(());
    }
    Err(told(kind, version))
}

/// The name of an object, which every object of an API server has, with its namespace.
pub(super) fn name(resource: Resource, text: &str) -> Option<String> {
    let head: Head = serde_json::from_str(text).ok()?;
    let names = head.metadata?;
    let has = |name: Option<String>| name.filter(|name| !name.is_empty());
    if resource != Resource::Node {
        has(names.namespace)?;
    }
    has(names.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: Resource = Resource::Service;

    #[test]
    fn an_event_has_the_kind_that_was_asked_for() {
        for text in [
            r#"{"kind":"Service","apiVersion":"v1","metadata":{}}"#,
            r#"{"apiVersion":"v1","kind":"Service","metadata":{}}"#,
            r#"{ "metadata":{},"kind":"Service","apiVersion":"v1"}"#,
        ] {
            assert_eq!(of_event(SERVICE, text), Ok(()), "{text}");
        }
        for (text, told) in [
            (
                r#"{"kind":"Secret","apiVersion":"v1"}"#,
                "kind Secret of v1",
            ),
            (
                r#"{"kind":"Service","apiVersion":"v2"}"#,
                "kind Service of v2",
            ),
            (r#"{"kind":"Service"}"#, "kind Service"),
            (r#"{"metadata":{"name":"a"}}"#, "an object of no kind"),
            (
                r#"{"kind":"\u001b[2J","apiVersion":"v1"}"#,
                "kind \\u{1b}[2J of v1",
            ),
        ] {
            assert_eq!(of_event(SERVICE, text), Err(told.to_owned()), "{text}");
        }
        assert!(of_event(SERVICE, "null").is_err());
        assert!(of_event(SERVICE, "[]").is_err());
        assert!(of_event(SERVICE, r#"{"kind":5}"#).is_err());
    }

    #[test]
    fn an_item_has_it_or_none() {
        for text in [
            r#"{"metadata":{"name":"a"}}"#,
            r#"{"kind":"Service","apiVersion":"v1","metadata":{}}"#,
            r#"{"apiVersion":"v1","metadata":{}}"#,
        ] {
            assert_eq!(of_item(SERVICE, text), Ok(()), "{text}");
        }
        let secret = r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}}"#;
        assert_eq!(
            of_item(SERVICE, secret),
            Err("kind Secret of v1".to_owned())
        );
        assert!(of_item(SERVICE, "null").is_err());
    }

    #[test]
    fn only_nodes_have_no_namespace() {
        let named = r#"{"metadata":{"name":"a"}}"#;
        assert_eq!(name(Resource::Node, named).as_deref(), Some("a"));
        let whole = r#"{"metadata":{"name":"a","namespace":"b"}}"#;
        assert_eq!(name(SERVICE, whole).as_deref(), Some("a"));
        for text in [
            named,
            r#"{"metadata":{"name":"","namespace":"b"}}"#,
            r#"{"metadata":null}"#,
            "{}",
        ] {
            assert_eq!(name(SERVICE, text), None, "{text}");
        }
    }

    #[test]
    fn what_go_writes_needs_no_second_look() {
        for resource in Resource::ALL {
            let (kind, version) = (resource.kind(), resource.version());
            let beginning = format!(r#"{{"kind":"{kind}","apiVersion":"{version}","#);
            assert_eq!(resource.beginning(), beginning);
        }
    }
}
