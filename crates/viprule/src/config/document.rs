//! Configuration files as trees that know their lines.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// From 1; 0 where it is not known.
    pub(crate) line: u64,
}

/// What a YAML or JSON file can say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    /// Every entry in the file's order, also those whose key is there twice.
    Map(Vec<(Key, Node)>),
}

/// A key and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) line: u64,
}

impl Value {
    /// What it is, in words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(value) => format!("the text {value:?}"),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(from)?;
        Ok(Self {
            value: spanned.value,
            line: spanned.referenced.line(),
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        // No field takes anything near this.
        Ok(Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = from.next_element()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, node)) = from.next_entry::<Spanned<String>, Node>()? {
            let key = Key {
                line: key.referenced.line(),
                name: key.value,
            };
            map.push((key, node));
        }
        Ok(Value::Map(map))
    }
}

/// The documents of a file; empty ones are left out. JSON is YAML. The error says where.
pub(crate) fn documents(text: &str) -> Result<Vec<Node>, String> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        emit_comments: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: false,
    };
    let nodes: Vec<Node> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| format!("is not YAML: {}", error.without_snippet()))?;
    Ok(nodes
        .into_iter()
        .filter(|node| node.value != Value::Null)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(node: &Node) -> Vec<(String, u64, String, u64)> {
        let Value::Map(entries) = &node.value else {
            return Vec::new();
        };
        let entries = entries.iter();
        entries
            .map(|(key, node)| (key.name.clone(), key.line, node.value.describe(), node.line))
            .collect()
    }

    #[test]
    fn every_entry_is_kept_with_its_line() {
        let text = "# head\na: 1\nb: 'x'\na: yes\n---\n---\n{\"c\": [1.5, null],\n\t\"d\": -2}\n";
        let found = documents(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            entries(&found[0]),
            [
                ("a".to_owned(), 2, "1".to_owned(), 2),
                ("b".to_owned(), 3, "the text \"x\"".to_owned(), 3),
                ("a".to_owned(), 4, "true".to_owned(), 4),
            ]
        );
        assert_eq!(
            entries(&found[1]),
            [
                ("c".to_owned(), 7, "a list".to_owned(), 7),
                ("d".to_owned(), 8, "-2".to_owned(), 8),
            ]
        );
    }

    #[test]
    fn broken_syntax_is_told_with_its_place() {
        let error = documents("a: [1,\nb: 2\n").unwrap_err();
        assert!(error.contains("line "), "{error}");
    }
}
