//! Text that comes from outside, made safe to show.
//!
//! Comments of rules, labels, file names and an API server's words may hold what moves a terminal's
//! cursor, begins another line or turns the order of what follows around. It is written here as Rust
//! writes it, such as `\n` and `\u{1b}`, and in JSON as JSON does.

use std::borrow::Cow;
use std::fmt::Write as _;

/// One line: newlines are escaped, too.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |c| !is_control(c),
        |c, out| out.extend(c.escape_default()),
    )
}

/// Several lines: what holds them has escaped each by itself.
pub fn lines(text: &str) -> Cow<'_, str> {
    let plain = |c| c == '\n' || !is_control(c);
    escaped(text, plain, |c, out| out.extend(c.escape_default()))
}

/// A JSON document, which stays the same to whoever reads it. Whitespace between values is kept: in
/// texts the writer has escaped it.
pub fn json(document: &str) -> Cow<'_, str> {
    let plain = |c| c == '\n' || !is_control(c);
    escaped(document, plain, |c, out| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn escaped(
    text: &str,
    plain: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if text.chars().all(&plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if plain(c) {
            out.push(c);
        } else {
            escape(c, &mut out);
        }
    }
    Cow::Owned(out)
}

/// C0, DEL and C1, and what Unicode has for lines, directions and marks that are not seen.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A URL without a user's name and password, whether it can be used or not.
pub fn url(text: &str) -> Cow<'_, str> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    // A password may hold what ends an authority: rather too much goes than too little.
    match rest.rsplit_once('@') {
        None => Cow::Borrowed(text),
        Some((_, rest)) if scheme.is_empty() => Cow::Borrowed(rest),
        Some((_, rest)) => Cow::Owned(format!("{scheme}://{rest}")),
    }
}

/// So many characters of a text at most; where that is not all of it, an ellipsis follows.
pub(crate) fn shortened(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "a\u{1b}[31m\nb\tc\u{7f}\u{9b}\u{202e}\u{feff}\u{e0041}";

    #[test]
    fn what_is_plain_stays_as_it_is() {
        for text in ["", "Service shop/web: \"a\\b\" 'c'", "größer … 日本 é 😀"] {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text));
            assert!(matches!(json(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_moves_a_cursor_or_begins_a_line_is_written_out() {
        let rest = "\\tc\\u{7f}\\u{9b}\\u{202e}\\u{feff}\\u{e0041}";
        assert_eq!(line(EVIL), format!("a\\u{{1b}}[31m\\nb{rest}"));
        assert_eq!(lines(EVIL), format!("a\\u{{1b}}[31m\nb{rest}"));
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let value = serde_json::json!({ "text": EVIL });
        let document = serde_json::to_string_pretty(&value).unwrap();
        let shown = json(&document);
        assert!(shown.contains("\\u202e\\ufeff\\udb40\\udc41"), "{shown}");
        assert!(shown.chars().all(|c| c == '\n' || !is_control(c)));
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn a_url_is_shown_without_a_password() {
        for (text, shown) in [
            ("https://user:pass@host:6443/x", "https://host:6443/x"),
            ("https://user:p/a@s?s@host", "https://host"),
            ("user:pass@host", "host"),
            ("https://host", "https://host"),
            ("a b", "a b"),
        ] {
            assert_eq!(url(text), shown);
        }
    }
}
