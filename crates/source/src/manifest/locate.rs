//! The line of a field, found by reading its document again; only problems need it.

use std::cell::Cell;
use std::fmt;
use std::io::BufRead;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::path::Step;
use super::yaml;

/// Where to look.
pub(super) enum Text<'t> {
    /// One YAML document.
    Document(&'t str),
    /// One YAML document that is too long to keep.
    Stream(Box<dyn BufRead + 't>),
    /// One JSON document.
    Json(Box<dyn BufRead + 't>),
}

/// The line within the text, from 1. None where the path leads nowhere or the text can't be read.
pub(super) fn line(text: Text<'_>, path: &[Step]) -> Option<u64> {
    let found = Cell::new(false);
    let seed = Locate {
        path,
        found: &found,
    };
    let line = match text {
        Text::Document(text) => {
            serde_saphyr::with_deserializer_from_str_with_options(text, yaml::options(), |from| {
                seed.deserialize(from)
            })
            .err()?
            .location()?
            .line()
        }
        Text::Stream(text) => serde_saphyr::with_deserializer_from_reader_with_options(
            text,
            yaml::options(),
            |from| seed.deserialize(from),
        )
        .err()?
        .location()?
        .line(),
        Text::Json(text) => {
            let mut from = serde_json::Deserializer::from_reader(text);
            u64::try_from(seed.deserialize(&mut from).err()?.line()).ok()?
        }
    };
    found.get().then_some(line)
}

/// Walks along the path and stops with an error at its end: errors carry their place.
#[derive(Clone, Copy)]
struct Locate<'p> {
    path: &'p [Step],
    found: &'p Cell<bool>,
}

impl Locate<'_> {
    fn hit<E: Error>(self) -> E {
        self.found.set(true);
        E::custom("found")
    }
}

impl<'de> DeserializeSeed<'de> for Locate<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Locate<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, path)) = self.path.split_first() else {
            return Err(self.hit());
        };
        let inner = Locate { path, ..self };
        while let Some(is_next) = map.next_key_seed(Key { first, inner })? {
            if is_next {
                map.next_value_seed(inner)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((first, path)) = self.path.split_first() else {
            return Err(self.hit());
        };
        let inner = Locate { path, ..self };
        for index in 0.. {
            let more = if *first == Step::Index(index) {
                seq.next_element_seed(inner)?.is_some()
            } else {
                seq.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar()
    }
}

impl Locate<'_> {
    fn scalar<E: Error>(self) -> Result<(), E> {
        if self.path.is_empty() {
            Err(self.hit())
        } else {
            Ok(())
        }
    }
}

/// Says whether a key is the next step; stops at it where it is the last one.
struct Key<'p> {
    first: &'p Step,
    inner: Locate<'p>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        let is_next = matches!(self.first, Step::Key(first) if first == key);
        if is_next && self.inner.path.is_empty() {
            Err(self.inner.hit())
        } else {
            Ok(is_next)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::parse;
    use super::*;

    const YAML: &str = "a: 1\nb:\n  - x\n  - y: 1\n    z: 2\n  - [1,\n     2]\n";
    const JSON: &str = "{\"a\": 1,\n\"b\": [\n\"x\",\n{\"y\": 1,\n\"z\": 2}\n]}";

    #[test]
    fn yaml_fields_have_lines() {
        let at = |path: &str| {
            let whole = line(Text::Document(YAML), &parse(path));
            let stream = line(Text::Stream(Box::new(YAML.as_bytes())), &parse(path));
            assert_eq!(whole, stream, "{path}");
            whole
        };
        assert_eq!(at("a"), Some(1));
        assert_eq!(at("b"), Some(2));
        assert_eq!(at("b[0]"), Some(3));
        assert_eq!(at("b[1]"), Some(4));
        assert_eq!(at("b[1].z"), Some(5));
        assert_eq!(at("b[2][1]"), Some(7));
        assert_eq!(at("b[3]"), None);
        assert_eq!(at("c"), None);
        assert_eq!(at("a.c"), None);
    }

    #[test]
    fn json_fields_have_lines() {
        let at = |text: &'static str, path: &str| {
            line(Text::Json(Box::new(text.as_bytes())), &parse(path))
        };
        assert_eq!(at(JSON, "a"), Some(1));
        assert_eq!(at(JSON, "b[0]"), Some(3));
        assert_eq!(at(JSON, "b[1].z"), Some(5));
        assert_eq!(at(JSON, "b[1].q"), None);
    }
}
