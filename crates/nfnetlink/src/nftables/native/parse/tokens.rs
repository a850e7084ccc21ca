//! Words of a text with their lines.

use std::time::Duration;

use super::ParseError;

/// A word, or a mark that stands alone: `{`, `}`, `,` and `;`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) text: &'t str,
    pub(super) quoted: bool,
    pub(super) line: usize,
}

/// The words of a text that are still to be read.
#[derive(Clone)]
pub(super) struct Tokens<'t> {
    rest: &'t str,
    line: usize,
    /// The line of the last word that was taken.
    last: usize,
}

impl<'t> Tokens<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self {
            rest: text,
            line: 1,
            last: 1,
        }
    }

    /// The next word, which stays.
    pub(super) fn peek(&self) -> Option<Token<'t>> {
        let (rest, line) = skip(self.rest, self.line);
        Some(word(rest, line)?.0)
    }

    /// True where the next word is this one, without quotes.
    pub(super) fn at(&self, text: &str) -> bool {
        self.peek()
            .is_some_and(|token| !token.quoted && token.text == text)
    }

    /// True where the text or its line ends here.
    pub(super) fn at_line_end(&self) -> bool {
        self.peek().is_none_or(|token| token.line != self.last)
    }

    /// The next word. Text in quotes that do not end has none.
    pub(super) fn next(&mut self) -> Result<Token<'t>, ParseError> {
        let (rest, line) = skip(self.rest, self.line);
        let Some((token, rest)) = word(rest, line) else {
            let why = if rest.is_empty() {
                "the text ends here"
            } else {
                "these quotes do not end in their line"
            };
            return Err(ParseError {
                line,
                token: rest.lines().next().unwrap_or_default().to_owned(),
                why,
            });
        };
        self.rest = rest;
        self.line = line;
        self.last = line;
        Ok(token)
    }

    /// Takes the next word if it is this one.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.at(text);
        if found {
            // It is there, so it can be taken.
            let _ = self.next();
        }
        found
    }

    /// Takes this word.
    pub(super) fn expect(&mut self, text: &str, why: &'static str) -> Result<(), ParseError> {
        if self.take(text) {
            Ok(())
        } else {
            self.fail(why)
        }
    }

    /// The error that something else is expected in place of the next word.
    pub(super) fn fail<T>(&self, why: &'static str) -> Result<T, ParseError> {
        let token = self.peek();
        Err(ParseError {
            line: token.map_or(self.line, |token| token.line),
            token: token.map_or(String::new(), |token| token.text.to_owned()),
            why,
        })
    }

    /// What `read` makes of the next word.
    pub(super) fn read<T>(
        &mut self,
        why: &'static str,
        read: impl FnOnce(&'t str) -> Option<T>,
    ) -> Result<T, ParseError> {
        let token = self
            .peek()
            .filter(|token| !token.quoted && !is_mark(token.text));
        match token.and_then(|token| read(token.text)) {
            Some(value) => {
                self.next()?;
                Ok(value)
            }
            None => self.fail(why),
        }
    }

    /// A word that names something: letters, digits and a few more, as nft takes it.
    pub(super) fn name(&mut self) -> Result<Box<str>, ParseError> {
        self.read("expected a name", |text| name(text).map(Into::into))
    }

    /// The name behind `@`.
    pub(super) fn set_name(&mut self) -> Result<Box<str>, ParseError> {
        self.read("expected a set, as @NAME", |text| {
            name(text.strip_prefix('@')?).map(Into::into)
        })
    }

    /// Text in quotes.
    pub(super) fn quoted(&mut self) -> Result<Box<str>, ParseError> {
        match self.peek() {
            Some(token) if token.quoted => Ok(self.next()?.text.into()),
            _ => self.fail("expected text in quotes"),
        }
    }

    pub(super) fn number<T: std::str::FromStr>(&mut self) -> Result<T, ParseError> {
        self.read("expected a number in range", |text| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok())?
        })
    }

    /// A time, such as `1d2h3m4s5ms`.
    pub(super) fn time(&mut self) -> Result<Duration, ParseError> {
        self.read("expected a time, such as 1h30m", time)
    }
}

fn is_mark(text: &str) -> bool {
    matches!(text, "{" | "}" | "," | ";")
}

fn name(text: &str) -> Option<&str> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    let begins = text.bytes().next()?.is_ascii_alphabetic() || text.starts_with('_');
    (begins && text.bytes().all(plain) && text.len() <= 255).then_some(text)
}

fn time(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = rest.split_at_checked(digits)?;
        let letters = unit.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = unit.split_at_checked(letters)?;
        let millis: u64 = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        total = total.checked_add(number.checked_mul(millis)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// What is behind spaces, ends of lines and comments, and its line.
fn skip(mut rest: &str, mut line: usize) -> (&str, usize) {
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let skipped = rest.len() - trimmed.len();
        let newlines = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count();
        line += rest.get(..skipped).map_or(0, newlines);
        if !trimmed.starts_with('#') {
            return (trimmed, line);
        }
        let end = trimmed.find('\n').unwrap_or(trimmed.len());
        rest = trimmed.get(end..).unwrap_or_default();
    }
}

/// The word at the beginning, and what is behind it.
fn word(rest: &str, line: usize) -> Option<(Token<'_>, &str)> {
    let first = rest.chars().next()?;
    if first == '"' {
        let (text, rest) = rest.get(1..)?.split_once('"')?;
        let token = Token {
            text,
            quoted: true,
            line,
        };
        return (!text.contains(['\n', '\0'])).then_some((token, rest));
    }
    let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '{' | '}' | ',' | ';' | '"');
    let end = match rest.find(ends) {
        // A mark.
        Some(0) => first.len_utf8(),
        Some(end) => end,
        None => rest.len(),
    };
    let (text, rest) = rest.split_at_checked(end)?;
    let token = Token {
        text,
        quoted: false,
        line,
    };
    Some((token, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(&str, bool, usize)> {
        let mut tokens = Tokens::new(text);
        let mut found = Vec::new();
        while let Ok(token) = tokens.next() {
            found.push((token.text, token.quoted, token.line));
        }
        found
    }

    #[test]
    fn words_marks_quotes_comments_and_lines() {
        let text = "a-b{c, \"d e\"} # x \"\n\n@f ; :80-90";
        let expected = [
            ("a-b", false, 1),
            ("{", false, 1),
            ("c", false, 1),
            (",", false, 1),
            ("d e", true, 1),
            ("}", false, 1),
            ("@f", false, 3),
            (";", false, 3),
            (":80-90", false, 3),
        ];
        assert_eq!(words(text), expected);
    }

    #[test]
    fn quotes_that_do_not_end_are_told() {
        let mut tokens = Tokens::new("a\n\"b\nc\"");
        tokens.next().unwrap();
        let error = tokens.next().unwrap_err();
        assert_eq!((error.line, error.token.as_str()), (2, "\"b"));
    }

    #[test]
    fn times() {
        let millis = |text| time(text).map(|time| time.as_millis());
        assert_eq!(millis("8d1h1m1s5ms"), Some(694_861_005));
        assert_eq!(millis("0s"), Some(0));
        for wrong in ["", "1", "s", "1x", "1s2", "99999999999999999999d", "-1s"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }
}
