//! Whether an answer is what was asked for.

use super::Resource;
use super::error::Cause;
use crate::convert::object::{Metadata, Named};

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) resource: Resource,
    /// The name of this node; of Nodes only this one was asked for.
    pub(super) node: &'a str,
}

/// Where an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On a page, where servers leave out what all objects have in common.
    Page,
    /// In a watch.
    Watch,
}

/// What an object says that it is, and which one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'h, 'o> {
    pub(super) kind: &'h str,
    pub(super) version: &'h str,
    pub(super) metadata: &'h Metadata<'o>,
}

impl<'o> Named<'o> {
    pub(super) fn head(&self) -> Head<'_, 'o> {
        Head {
            kind: &self.kind,
            version: &self.api_version,
            metadata: &self.metadata,
        }
    }
}

/// Longest text of an answer in messages, characters.
const TEXT_LIMIT: usize = 128;

/// One line of bounded length.
pub(super) fn short(text: &str) -> String {
    let short = text.chars().take(TEXT_LIMIT);
    short.flat_map(char::escape_debug).collect()
}

/// What an answer says that it is, for messages: `kind ConfigMap of v1`.
pub(super) fn told(kind: &str, version: &str) -> String {
    match (kind, version) {
        ("", _) => "an object of no kind".to_owned(),
        (kind, "") => format!("kind {}", short(kind)),
        (kind, version) => format!("kind {} of {}", short(kind), short(version)),
    }
}

impl Asked<'_> {
    /// Checks an object.
    pub(super) fn check(self, place: Place, head: Head<'_, '_>) -> Result<(), Cause> {
        self.check_kind(place, head)?;
        self.check_name(head.metadata)
    }

    /// Checks what is no object but says a kind, too.
    pub(super) fn check_kind(self, place: Place, head: Head<'_, '_>) -> Result<(), Cause> {
        let is =
            |found: &str, wanted| found == wanted || (place == Place::Page && found.is_empty());
        let Head { kind, version, .. } = head;
        if is(kind, self.resource.kind()) && is(version, self.resource.version()) {
            return Ok(());
        }
        Err(self.other(told(kind, version)))
    }

    /// An object without a name may be any of those that are known, and another Node is none of
    /// ours.
    fn check_name(self, metadata: &Metadata<'_>) -> Result<(), Cause> {
        let Metadata {
            name, namespace, ..
        } = metadata;
        match self.resource {
            Resource::Node if **name != *self.node => {
                Err(self.other(format!("one with the name \"{}\"", short(name))))
            }
            Resource::Service | Resource::EndpointSlice
                if name.is_empty() || namespace.is_empty() =>
            {
                Err(Cause::Malformed("an object has no name".to_owned()))
            }
            Resource::ServiceCidr if name.is_empty() => {
                Err(Cause::Malformed("an object has no name".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn other(self, found: String) -> Cause {
        Cause::Other {
            found,
            wanted: self.resource.kind().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(resource: Resource, place: Place, text: &str) -> Result<(), String> {
        let asked = Asked {
            resource,
            node: "node-0",
        };
        let object: Named<'_> = serde_json::from_str(text).unwrap();
        let result = asked.check(place, object.head());
        result.map_err(|cause| cause.to_string())
    }

    #[test]
    fn an_event_has_the_kind_that_was_asked_for() {
        let service = |text: &str| check(Resource::Service, Place::Watch, text);
        for text in [
            r#"{"kind":"Service","apiVersion":"v1","metadata":{"name":"a","namespace":"b"}}"#,
            r#"{ "metadata":{"name":"a","namespace":"b"},"apiVersion":"v1","kind":"Service"}"#,
        ] {
            assert_eq!(service(text), Ok(()), "{text}");
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
            let error = service(text).unwrap_err();
            assert!(
                error.contains(&format!("asked for Service, got {told};")),
                "{error}"
            );
        }
    }

    #[test]
    fn an_item_has_it_or_none() {
        let service = |text: &str| check(Resource::Service, Place::Page, text);
        for text in [
            r#"{"metadata":{"name":"a","namespace":"b"}}"#,
            r#"{"kind":"Service","apiVersion":"v1","metadata":{"name":"a","namespace":"b"}}"#,
            r#"{"apiVersion":"v1","metadata":{"name":"a","namespace":"b"}}"#,
        ] {
            assert_eq!(service(text), Ok(()), "{text}");
        }
        let secret = r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}}"#;
        assert!(service(secret).unwrap_err().contains("kind Secret of v1"));
    }

    #[test]
    fn objects_have_a_name_and_nodes_that_of_this_one() {
        let named = r#"{"metadata":{"name":"node-0"}}"#;
        assert_eq!(check(Resource::Node, Place::Page, named), Ok(()));
        let other = r#"{"metadata":{"name":"node-1"}}"#;
        let error = check(Resource::Node, Place::Page, other).unwrap_err();
        assert!(error.contains("one with the name \"node-1\""), "{error}");
        for text in [
            named,
            r#"{"metadata":{"name":"","namespace":"b"}}"#,
            r#"{"metadata":null}"#,
            "{}",
        ] {
            let error = check(Resource::Service, Place::Page, text).unwrap_err();
            assert!(error.contains("no name"), "{text}: {error}");
        }
    }
}
