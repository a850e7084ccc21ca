//! The pages of a list, and whether they are what was asked for: all of it.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::marker::PhantomData;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Resource;
use super::bound::{LIST_OBJECTS, LIST_PAGES, too_many_objects};
use super::error::Cause;
use super::kind::{self, Asked, Place};
use super::object::{self, Change, Object, Reading};
use crate::convert::object::{EndpointSlice, Node, Service, ServiceCidr};

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Reading>,
    /// `metadata.resourceVersion`.
    pub(super) version: String,
    /// Asks for the page after this one.
    next: Option<String>,
    /// How many items follow on other pages, where the server says so.
    remaining: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "T: Deserialize<'de>"))]
struct Answer<T> {
    kind: Option<String>,
    api_version: Option<String>,
    metadata: Option<Metadata>,
    /// None where there is no such field. Go writes no items as `null`.
    #[serde(default, deserialize_with = "items")]
    items: Option<Vec<T>>,
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

fn items<'p, T, D>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: Deserialize<'p>,
    D: Deserializer<'p>,
{
    struct Items<T>(PhantomData<T>);
    impl<'p, T: Deserialize<'p>> Visitor<'p> for Items<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        // An item takes a hundred times the room of its text where that is `{}`.
        fn visit_seq<S: SeqAccess<'p>>(self, mut from: S) -> Result<Vec<T>, S::Error> {
            let mut items = Vec::new();
            while let Some(item) = from.next_element()? {
                if items.len() as u64 == LIST_OBJECTS {
                    return Err(de::Error::custom(too_many_objects()));
                }
                items.push(item);
            }
            Ok(items)
        }
    }
    from.deserialize_any(Items(PhantomData)).map(Some)
}

/// True for a version at which a list can have been: servers read no version and 0 as any.
pub(super) fn is_version(text: &str) -> bool {
    !text.is_empty() && text != "0"
}

impl Page {
    /// Reads an answer, in one go unless one of its objects can't be decoded.
    pub(super) fn read(asked: Asked<'_>, text: &str) -> Result<Self, Cause> {
        match asked.resource {
            Resource::Node => Self::read_as::<Node<'_>>(asked, text),
            Resource::Service => Self::read_as::<Service<'_>>(asked, text),
            Resource::EndpointSlice => Self::read_as::<EndpointSlice<'_>>(asked, text),
            Resource::ServiceCidr => Self::read_as::<ServiceCidr<'_>>(asked, text),
        }
    }

    fn read_as<'p, T: Object<'p>>(asked: Asked<'_>, text: &'p str) -> Result<Self, Cause> {
        let (change, place) = (Change::Exists, Place::Page);
        if let Ok(answer) = serde_json::from_str::<Answer<T>>(text) {
            return Self::of(asked.resource, answer, |object| {
                object::reading(asked, &object, change, place)
            });
        }
        let answer: Answer<&RawValue> = serde_json::from_str(text)?;
        Self::of(asked.resource, answer, |object| {
            object::read(asked, object.get(), change, place)
        })
    }

    fn of<T>(
        resource: Resource,
        answer: Answer<T>,
        read: impl Fn(T) -> Result<Reading, Cause>,
    ) -> Result<Self, Cause> {
        let kind = answer.kind.unwrap_or_default();
        let version = answer.api_version.unwrap_or_default();
        let is_list = kind.strip_suffix("List") == Some(resource.kind());
        if !is_list || version != resource.version() {
            let mut found = kind::told(&kind, &version);
            if let ("Status", Some(message)) = (&*kind, answer.message) {
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
            items: items.into_iter().map(read).collect::<Result<_, _>>()?,
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
    /// The continue tokens that came, as a hash each: they can be of any length.
    tokens: HashSet<u64>,
    keys: RandomState,
    items: u64,
    /// How many items there are at least, by what the pages said.
    promised: u64,
}

impl Pages {
    /// Takes the next page. Returns what asks for the one after it, none where this is the last.
    pub(super) fn take(&mut self, page: &Page) -> Result<Option<String>, Cause> {
        let version = self.version.get_or_insert_with(|| page.version.clone());
        if *version != page.version {
            return Err(Cause::Partial(format!(
                "its pages are of different versions, {version} and {}",
                page.version
            )));
        }
        let items = u64::try_from(page.items.len()).unwrap_or(u64::MAX);
        self.items = self.items.saturating_add(items);
        if self.items > LIST_OBJECTS {
            return Err(Cause::TooLarge(too_many_objects()));
        }
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
        if !self.tokens.insert(self.keys.hash_one(token)) {
            return Err(Cause::Partial("a continue token came twice".to_owned()));
        }
        if self.tokens.len() >= LIST_PAGES {
            let many = format!("more than {LIST_PAGES} pages in one list");
            return Err(Cause::TooLarge(many));
        }
        Ok(Some(token.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Page, String> {
        let asked = Asked {
            resource: Resource::Service,
            node: "node-0",
        };
        Page::read(asked, text).map_err(|cause| cause.to_string())
    }

    fn page(items: usize, version: &str, next: &str, remaining: u64) -> Page {
        let next = Some(next.to_owned()).filter(|next| !next.is_empty());
        Page {
            items: (0..items).map(|_| Reading::default()).collect(),
            version: version.to_owned(),
            next,
            remaining,
        }
    }

    #[test]
    fn a_list_has_an_end() {
        let objects = usize::try_from(LIST_OBJECTS).unwrap();
        let many = |count| {
            let items = vec!["{}"; count].join(",");
            let head = r#""kind":"ServiceList","apiVersion":"v1""#;
            read(&format!(r#"{{{head},"items":[{items}]}}"#)).unwrap_err()
        };
        assert!(!many(objects).contains("objects in one list"));
        let told = "more than 250000 objects in one list";
        assert!(many(objects + 1).contains(told));

        let pages = |size, count| last((0..count).map(|at| page(size, "7", &format!("t{at}"), 0)));
        let error = pages(2_000, objects / 2_000 + 1).unwrap_err();
        assert!(error.contains(told), "{error}");
        pages(2_000, objects / 2_000).unwrap();
        let error = pages(1, LIST_PAGES).unwrap_err();
        assert!(error.contains("10000 pages in one list"), "{error}");
        pages(1, LIST_PAGES - 1).unwrap();
    }

    fn last(pages: impl IntoIterator<Item = Page>) -> Result<Option<String>, String> {
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
