//! The pages of a list, and whether they are what was asked for: all of it.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::Cause;
use super::{Resource, kind};

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page<'p> {
    pub(super) items: Vec<&'p RawValue>,
    /// `metadata.resourceVersion`.
    pub(super) version: String,
    /// Asks for the page after this one.
    next: Option<String>,
    /// How many items follow on other pages, where the server says so.
    remaining: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'p> {
    kind: Option<String>,
    api_version: Option<String>,
    metadata: Option<Metadata>,
    /// None where there is no such field. Go writes no items as `null`.
    #[serde(default, borrow, deserialize_with = "items")]
    items: Option<Vec<&'p RawValue>>,
    /// Where it is a Status.
    message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    next: Option<String>,
    remaining_item_count: Option<u64>,
}

fn items<'p, D: Deserializer<'p>>(from: D) -> Result<Option<Vec<&'p RawValue>>, D::Error> {
    let items: Option<Vec<&'p RawValue>> = Deserialize::deserialize(from)?;
    Ok(Some(items.unwrap_or_default()))
}

/// True for a version at which a list can have been: servers read no version and 0 as any.
pub(super) fn is_version(text: &str) -> bool {
    !text.is_empty() && text != "0"
}

impl<'p> Page<'p> {
    /// Reads an answer.
    pub(super) fn read(resource: Resource, text: &'p str) -> Result<Self, Cause> {
        let answer: Answer<'_> = serde_json::from_str(text)?;
        let (kind, version) = (answer.kind.as_deref(), answer.api_version.as_deref());
        let is_list = kind.and_then(|kind| kind.strip_suffix("List")) == Some(resource.kind());
        if !is_list || version != Some(resource.version()) {
            let mut found = kind::told(kind, version);
            if let (Some("Status"), Some(message)) = (kind, answer.message) {
                found = format!("{found} ({})", kind::short(&message));
            }
            return Err(Cause::Other {
                found,
                wanted: format!("{}List", resource.kind()),
            });
        }
        let metadata = answer.metadata.unwrap_or_default();
        let version = metadata.resource_version.unwrap_or_default();
        if !is_version(&version) {
            return Err(Cause::Partial("it says no resourceVersion".to_owned()));
        }
        let Some(items) = answer.items else {
            return Err(Cause::Partial("it has no items, not even none".to_owned()));
        };
        Ok(Self {
            items,
            version,
            next: metadata.next.filter(|token| !token.is_empty()),
            remaining: metadata.remaining_item_count.unwrap_or_default(),
        })
    }
}

/// What the pages of one list said so far.
#[derive(Debug, Default)]
pub(super) struct Pages {
    version: Option<String>,
    tokens: HashSet<String>,
    items: u64,
    /// How many items there are at least, by what the pages said.
    promised: u64,
}

impl Pages {
    /// Takes the next page. Returns what asks for the one after it, none where this is the last.
    pub(super) fn take(&mut self, page: &Page<'_>) -> Result<Option<String>, Cause> {
        let version = self.version.get_or_insert_with(|| page.version.clone());
        if *version != page.version {
            return Err(Cause::Partial(format!(
                "its pages are of different versions, {version} and {}",
                page.version
            )));
        }
        let items = u64::try_from(page.items.len()).unwrap_or(u64::MAX);
        self.items = self.items.saturating_add(items);
        self.promised = self.promised.max(self.items.saturating_add(page.remaining));
        let Some(token) = &page.next else {
            // The server counts those of this version, so fewer can't be.
            return if self.items < self.promised {
                Err(Cause::Partial(format!(
                    "{} items came of {} that were promised",
                    self.items, self.promised
                )))
            } else {
                Ok(None)
            };
        };
        if page.items.is_empty() {
            return Err(Cause::Partial(
                "a page without items says that more follow".to_owned(),
            ));
        }
        if !self.tokens.insert(token.clone()) {
            return Err(Cause::Partial("a continue token came twice".to_owned()));
        }
        Ok(Some(token.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Page<'_>, String> {
        Page::read(Resource::Service, text).map_err(|cause| cause.to_string())
    }

    fn page(items: usize, version: &str, next: &str, remaining: u64) -> Page<'static> {
        let next = Some(next.to_owned()).filter(|next| !next.is_empty());
        Page {
            items: vec![serde_json::from_str("null").unwrap(); items],
            version: version.to_owned(),
            next,
            remaining,
        }
    }

    fn last(pages: impl IntoIterator<Item = Page<'static>>) -> Result<Option<String>, String> {
        let (mut taken, mut last) = (Pages::default(), None);
        for page in pages {
            last = taken.take(&page).map_err(|cause| cause.to_string())?;
        }
        Ok(last)
    }

    #[test]
    fn no_items_are_null_or_an_empty_list() {
        for items in ["null", "[]"] {
            let text = format!(
                r#"{{"kind":"ServiceList","apiVersion":"v1","metadata":{{"resourceVersion":"7"}},"items":{items}}}"#
            );
            let page = read(&text).unwrap();
            assert!(page.items.is_empty() && page.next.is_none());
            assert_eq!(page.version, "7");
        }
    }

    #[test]
    fn what_was_not_asked_for_is_no_list() {
        let other = [
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"message":"upstream is away"}"#,
            r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[]}"#,
            r#"{"kind":"ServiceList","apiVersion":"v2","metadata":{"resourceVersion":"7"},"items":[]}"#,
            r#"{"kind":"ServiceList","metadata":{"resourceVersion":"7"},"items":[]}"#,
            r#"{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[]}"#,
            r#"{"kind":"Service","apiVersion":"v1","metadata":{"resourceVersion":"7"}}"#,
            r#"{"metadata":{"resourceVersion":"7"},"items":[]}"#,
            "{}",
        ];
        for text in other {
            let error = read(text).unwrap_err();
            assert!(
                error.contains("asked for ServiceList, got "),
                "{text}: {error}"
            );
        }
        let error = read(other[0]).unwrap_err();
        assert!(
            error.contains("kind Status of v1 (upstream is away)"),
            "{error}"
        );
        for text in ["", "null", "[]", "<html>hello</html>", r#"{"kind":5}"#] {
            let error = read(text).unwrap_err();
            assert!(
                error.contains("none of the Kubernetes API"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_list_has_a_version_and_items() {
        let of = |rest: &str| format!(r#"{{"kind":"ServiceList","apiVersion":"v1"{rest}}}"#);
        for (rest, told) in [
            (r#","items":[]"#, "no resourceVersion"),
            (r#","metadata":null,"items":[]"#, "no resourceVersion"),
            (r#","metadata":{},"items":[]"#, "no resourceVersion"),
            (
                r#","metadata":{"resourceVersion":""},"items":[]"#,
                "no resourceVersion",
            ),
            (
                r#","metadata":{"resourceVersion":"0"},"items":[]"#,
                "no resourceVersion",
            ),
            (r#","metadata":{"resourceVersion":"7"}"#, "no items"),
        ] {
            let error = read(&of(rest)).unwrap_err();
            assert!(error.contains(told), "{rest}: {error}");
        }
    }

    #[test]
    fn pages_follow_each_other_to_an_end() {
        assert_eq!(last([page(2, "7", "a", 3)]), Ok(Some("a".to_owned())));
        assert_eq!(
            last([
                page(2, "7", "a", 3),
                page(2, "7", "b", 1),
                page(1, "7", "", 0)
            ]),
            Ok(None)
        );
        // The last one may have nothing that the selectors choose.
        assert_eq!(last([page(2, "7", "a", 0), page(0, "7", "", 0)]), Ok(None));
        for (pages, told) in [
            (vec![page(1, "7", "a", 0), page(1, "8", "", 0)], "7 and 8"),
            (vec![page(1, "7", "a", 0), page(1, "7", "a", 0)], "twice"),
            (
                vec![
                    page(1, "7", "a", 0),
                    page(1, "7", "b", 0),
                    page(1, "7", "a", 0),
                ],
                "twice",
            ),
            (vec![page(1, "7", "a", 0), page(0, "7", "b", 0)], "without"),
            (vec![page(2, "7", "", 1)], "2 items came of 3"),
            (
                vec![page(2, "7", "a", 3), page(2, "7", "", 0)],
                "4 items came of 5",
            ),
        ] {
            let error = last(pages).unwrap_err();
            assert!(error.contains(told), "{told}: {error}");
        }
    }
}
