//! Texts, borrowed where they can be.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A text; empty where there is none.
///
/// It is borrowed unless something of it is escaped, as Go escapes `<`, `>` and `&`: serde itself
/// borrows neither `Option<Cow<str>>` nor `Vec<Cow<str>>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text<'o>(Cow<'o, str>);

impl Text<'_> {
    /// The text, or `None` where it is empty.
    pub fn filled(&self) -> Option<&str> {
        Some(&**self).filter(|text| !text.is_empty())
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl<'o> From<&'o str> for Text<'o> {
    fn from(text: &'o str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl<'de: 'o, 'o> Deserialize<'de> for Text<'o> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(text.into())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(text.to_owned().into())
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Text<'de>, E> {
                Ok(text.into())
            }

            // `null`, which Go reads as the empty text.
            fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
        }
        from.deserialize_any(Borrow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Vec<Text<'_>> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn plain_texts_are_borrowed_and_escaped_ones_are_whole() {
        let texts = read(r#"["plain", "a\u003cb", "\"", "\ud83d\ude00", null, ""]"#);
        assert!(matches!(texts[0].0, Cow::Borrowed("plain")));
        assert_eq!(&*texts[1], "a<b");
        assert_eq!(&*texts[2], "\"");
        assert_eq!(&*texts[3], "😀");
        assert_eq!((texts[4].filled(), texts[5].filled()), (None, None));
    }

    #[test]
    fn nothing_else_is_a_text() {
        for json in ["[1]", "[true]", "[[]]", "[{}]", "[1.5]"] {
            assert!(
                serde_json::from_str::<Vec<Text<'_>>>(json).is_err(),
                "{json}"
            );
        }
    }
}
