//! Splits a line into words as `iptables-restore` does.

use std::borrow::Cow;

use super::ParseError;

/// The words of a line.
pub(super) struct Words<'t> {
    rest: &'t str,
}

impl<'t> Words<'t> {
    pub(super) const fn new(line: &'t str) -> Self {
        Self { rest: line }
    }

    /// The next word. Quotes hold a word together and end it; in quotes a backslash takes the next
    /// character as it is.
    pub(super) fn next(&mut self) -> Result<Option<Cow<'t, str>>, ParseError> {
        let line = self.rest.trim_start_matches(is_space);
        if line.is_empty() {
            self.rest = line;
            return Ok(None);
        }
        let end = line.find(|c| is_space(c) || c == '"').unwrap_or(line.len());
        let (plain, rest) = line.split_at(end);
        let Some(quoted) = rest.strip_prefix('"') else {
            self.rest = rest;
            return Ok(Some(Cow::Borrowed(plain)));
        };
        // Nearly always there is nothing in front of the quotes and nothing escaped in them.
        if plain.is_empty()
            && let Some(end) = quoted.find(['"', '\\'])
            && let Some((text, rest)) = quoted.split_at_checked(end)
            && let Some(rest) = rest.strip_prefix('"')
        {
            self.rest = rest;
            return Ok(Some(Cow::Borrowed(text)));
        }
        let mut word = plain.to_owned();
        let mut characters = quoted.chars();
        loop {
            match characters.next() {
                Some('"') => break,
                Some('\\') => word.extend(characters.next()),
                Some(other) => word.push(other),
                None => {
                    return Err(ParseError::Unclosed {
                        token: line.to_owned(),
                    });
                }
            }
        }
        self.rest = characters.as_str();
        Ok(Some(Cow::Owned(word)))
    }
}

const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<String>, ParseError> {
        let mut words = Words::new(line);
        let mut all = Vec::new();
        while let Some(word) = words.next()? {
            all.push(word.into_owned());
        }
        Ok(all)
    }

    #[test]
    fn quotes_hold_a_word_together_and_end_it() {
        assert_eq!(words(r#"  -m  "a b""#).unwrap(), ["-m", "a b"]);
        assert_eq!(
            words(r#"pre"a b"post ''"#).unwrap(),
            ["prea b", "post", "''"]
        );
        assert_eq!(words(r#""" x"#).unwrap(), ["", "x"]);
        assert_eq!(words("").unwrap(), [""; 0]);
    }

    #[test]
    fn backslashes_escape_in_quotes_only() {
        assert_eq!(
            words(r#"a\b "a\"b\\c\'d""#).unwrap(),
            [r"a\b", r#"a"b\c'd"#]
        );
        assert!(matches!(
            words(r#"a "b\""#),
            Err(ParseError::Unclosed { .. })
        ));
    }
}
