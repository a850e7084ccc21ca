//! One document: an object, or a list of them that is never held as a whole.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use viprule_service::model::Event;

use super::object::{Fault, Key, Place, Read, Reader};
use super::path;
use super::problem::PROBLEM_LIMIT;
use super::state::Before;

/// An object that was found; there are no events where it is ignored or not wanted.
pub(super) type Found = (Key, Place, Vec<Event>);

/// What a document holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Good objects, in order.
    pub(super) objects: Vec<Found>,
    /// Objects that are there but bad.
    pub(super) broken: Vec<Key>,
    /// Whether something bad is there that could be any object.
    pub(super) unattributed: bool,
    /// Objects of kinds that aren't read.
    pub(super) other_kinds: usize,
    /// What is wrong.
    pub(super) faults: Vec<Fault>,
    /// What is wrong beyond that.
    pub(super) untold: usize,
    /// Whether the document is a list.
    pub(super) is_list: bool,
}

impl Contents {
    /// Whether there is nothing to it but an object without faults.
    pub(super) fn is_plain(&self) -> bool {
        !self.is_list && self.faults.is_empty()
    }
}

/// Reads documents from any deserialiser.
pub(super) struct Document<'d, 'r> {
    /// Reads the objects.
    pub(super) reader: &'d mut Reader<'r>,
    /// What is known, whose events aren't wanted.
    pub(super) before: &'d Before<'d>,
    /// What was found so far.
    pub(super) contents: Contents,
    /// Items that say no kind and wait for the list's, which may follow them.
    nameless: Vec<(usize, Value)>,
    /// `items` is there and no list.
    no_list: bool,
}

impl<'d, 'r> Document<'d, 'r> {
    pub(super) fn new(reader: &'d mut Reader<'r>, before: &'d Before<'d>) -> Self {
        Self {
            reader,
            before,
            contents: Contents::default(),
            nameless: Vec::new(),
            no_list: false,
        }
    }

    /// Reads one document. Errors are the syntax's; what is wrong with objects is in the contents.
    pub(super) fn read<'de, D: Deserializer<'de>>(&mut self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(Root(self))
    }

    fn add(&mut self, mut value: Value, at: &str) {
        if let Some(items) = take_items(&mut value) {
            let header = value.as_object();
            for (index, mut item) in items.into_iter().enumerate() {
                if let Some(header) = header {
                    name_item(&mut item, header);
                }
                self.add(item, &path::item(at, index));
            }
            return;
        }
        match self.reader.read(value, at, &mut self.contents.faults) {
            Read::OtherKind => self.contents.other_kinds += 1,
            Read::Good(key, place, mut events) => {
                if !self.before.wants(&key, &place) {
                    events.clear();
                }
                self.contents.objects.push((key, place, events));
            }
            Read::Bad(Some(key)) => self.contents.broken.push(key),
            Read::Bad(None) => self.contents.unattributed = true,
        }
        self.contents.untold += self.contents.faults.len().saturating_sub(PROBLEM_LIMIT);
        self.contents.faults.truncate(PROBLEM_LIMIT);
    }

    fn add_item(&mut self, index: usize, mut item: Value, header: &Map<String, Value>) {
        let has_kind = |item: &Value| item.get("kind").is_some();
        if !has_kind(&item) {
            name_item(&mut item, header);
        }
        if has_kind(&item) || !item.is_object() {
            self.add(item, &path::item("", index));
        } else {
            self.nameless.push((index, item));
        }
    }

    fn finish(&mut self, header: Map<String, Value>, has_items: bool) {
        if has_items && list_kind(&header).is_some() {
            self.contents.is_list = true;
            if self.no_list {
                self.contents.unattributed = true;
                self.contents.faults.push(Fault {
                    warning: false,
                    object: None,
                    field: Some("items".to_owned()),
                    at: String::new(),
                    message: "must be a list of objects".to_owned(),
                });
            }
            for (index, mut item) in std::mem::take(&mut self.nameless) {
                name_item(&mut item, &header);
                self.add(item, &path::item("", index));
            }
        } else {
            // Not a list after all: what looked like its items isn't ours to read.
            self.contents = Contents::default();
            self.nameless.clear();
            self.add(Value::Object(header), "");
        }
    }
}

/// The kind of a list's items; empty where each says its own.
fn list_kind(header: &Map<String, Value>) -> Option<&str> {
    header
        .get("kind")
        .and_then(Value::as_str)
        .and_then(|kind| kind.strip_suffix("List"))
}

/// The items of a list within a list.
fn take_items(value: &mut Value) -> Option<Vec<Value>> {
    let fields = value.as_object_mut()?;
    list_kind(fields)?;
    match fields.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Some(items),
        _ => None,
    }
}

/// Gives an item its list's kind and version, as a server leaves them out in `ServiceList`s.
fn name_item(item: &mut Value, header: &Map<String, Value>) {
    let (Some(fields), Some(kind)) = (item.as_object_mut(), list_kind(header)) else {
        return;
    };
    if kind.is_empty() || fields.contains_key("kind") {
        return;
    }
    let Some(version) = header.get("apiVersion") else {
        return;
    };
    fields.insert("kind".to_owned(), kind.into());
    fields
        .entry("apiVersion")
        .or_insert_with(|| version.clone());
}

struct Root<'a, 'd, 'r>(&'a mut Document<'d, 'r>);

impl Root<'_, '_, '_> {
    /// Text, numbers and sequences where an object should be.
    fn foreign(self) {
        self.0.contents.unattributed = true;
        self.0.contents.faults.push(Fault {
            warning: false,
            object: None,
            field: None,
            at: String::new(),
            message: "is not an object with apiVersion, kind and metadata".to_owned(),
        });
    }
}

impl<'de> Visitor<'de> for Root<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut header = Map::new();
        let mut has_items = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "items" {
                has_items = true;
                map.next_value_seed(Items {
                    document: self.0,
                    header: &header,
                })?;
            } else {
                header.insert(key, map.next_value()?);
            }
        }
        self.0.finish(header, has_items);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.foreign();
        Ok(())
    }

    // An empty document.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.foreign();
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.foreign();
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.foreign();
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.foreign();
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.foreign();
        Ok(())
    }
}

/// The items of a list, each dropped before the next is read.
struct Items<'a, 'd, 'r> {
    document: &'a mut Document<'d, 'r>,
    header: &'a Map<String, Value>,
}

impl<'de> DeserializeSeed<'de> for Items<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(item) = seq.next_element::<Value>()? {
            self.document.add_item(index, item, self.header);
            index += 1;
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.document.no_list = true;
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.document.no_list = true;
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.document.no_list = true;
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.document.no_list = true;
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.document.no_list = true;
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.document.no_list = true;
        Ok(())
    }
}
