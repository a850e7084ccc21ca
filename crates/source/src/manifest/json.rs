//! JSON documents after each other.

use std::io::{self, BufRead, Read};

use super::split::BYTE_ORDER_MARK;

/// Where JSON begins in a document, as kubectl tells it: by a brace, whatever the file is called. A
/// quote or a brace has to follow, which YAML's own flow mappings rarely have.
pub(super) fn start(document: &[u8]) -> Option<usize> {
    let text = match document.strip_prefix(b"---") {
        Some(after) if after.first().is_none_or(u8::is_ascii_whitespace) => after,
        _ => document,
    };
    let mut text = text.trim_ascii_start();
    text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let inner = text.strip_prefix(b"{")?.trim_ascii_start();
    matches!(inner.first(), Some(b'"' | b'}')).then(|| document.len() - text.len())
}

/// Where a document begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begin {
    /// Bytes before it in the stream.
    pub(super) offset: u64,
    /// Lines before it in the stream.
    pub(super) lines: u64,
}

/// A stream of documents that knows how far it was read, so that each can be read again by itself.
#[derive(Debug)]
pub(super) struct Stream<R> {
    input: R,
    at: Begin,
}

impl<R: BufRead> Stream<R> {
    pub(super) const fn new(input: R) -> Self {
        let at = Begin {
            offset: 0,
            lines: 0,
        };
        Self { input, at }
    }

    /// Goes to the next document; none is left at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Begin>> {
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let is_blank = |byte: &u8| byte.is_ascii_whitespace() || BYTE_ORDER_MARK.contains(byte);
            let blank = buffer.iter().take_while(|byte| is_blank(byte)).count();
            let all = blank == buffer.len();
            self.at.pass(&buffer[..blank]);
            self.input.consume(blank);
            if !all {
                return Ok(Some(self.at));
            }
        }
    }

    /// How far it was read.
    pub(super) const fn position(&self) -> u64 {
        self.at.offset
    }
}

impl Begin {
    fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.lines += bytes.split(|byte| *byte == b'\n').count() as u64 - 1;
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(to)?;
        self.at.pass(&to[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_begins_with_a_brace_and_a_quote() {
        for (document, at) in [
            ("{\"a\": 1}", Some(0)),
            (" \t\r\n\n{ \n\"a\": 1}", Some(5)),
            ("{}", Some(0)),
            ("---\n{\"a\": 1}", Some(4)),
            ("--- {\"a\": 1}", Some(4)),
            ("---\n\u{feff}{\"a\": 1}", Some(7)),
            ("{a: 1}", None),
            ("---{\"a\": 1}", None),
            ("a: {\"a\": 1}", None),
            ("# {\"a\": 1}", None),
            ("[{\"a\": 1}]", None),
            ("", None),
        ] {
            assert_eq!(start(document.as_bytes()), at, "{document:?}");
        }
    }

    #[test]
    fn documents_begin_where_they_begin() {
        let mut stream = Stream::new("{}{}\n\n \u{feff}{\n}\n".as_bytes());
        let mut begins = Vec::new();
        while let Some(begin) = stream.next().unwrap() {
            begins.push((begin.offset, begin.lines));
            let mut from = serde_json::Deserializer::from_reader(&mut stream);
            <serde::de::IgnoredAny as serde::Deserialize>::deserialize(&mut from).unwrap();
        }
        assert_eq!(begins, [(0, 0), (2, 0), (10, 2)]);
        assert_eq!(stream.position(), 14);
    }
}
