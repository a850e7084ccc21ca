//! The documents of a YAML stream, one at a time.
//!
//! The split is by lines, so that a syntax error spoils its own document only: `---` and `...` at
//! the beginning of a line are markers wherever they stand (YAML 1.2, 9.1.2).

use std::io::{self, BufRead, Read};

/// The byte order mark, which some editors put first.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where a document begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes before it in the stream.
    pub(super) offset: u64,
    /// Line of its first byte, from 1.
    pub(super) first_line: u64,
    /// Line of its first content, from 1.
    pub(super) content_line: u64,
    /// False where the document is longer than the buffer may get: the rest is to be read from
    /// the splitter.
    pub(super) complete: bool,
}

/// Splits a stream into documents.
#[derive(Debug)]
pub(super) struct Splitter<R> {
    input: R,
    limit: usize,
    /// Bytes and lines read so far, without the pending line.
    offset: u64,
    lines: u64,
    /// A marker that begins the next document.
    pending: Vec<u8>,
    /// What [`Read`] has not handed out of the current line.
    rest: Vec<u8>,
    rest_at: usize,
    rest_done: bool,
}

impl<R: BufRead> Splitter<R> {
    /// Documents up to about `limit` bytes are handed out whole.
    pub(super) fn new(input: R, limit: usize) -> Self {
        Self {
            input,
            limit,
            offset: 0,
            lines: 0,
            pending: Vec::new(),
            rest: Vec::new(),
            rest_at: 0,
            rest_done: true,
        }
    }

    /// Reads the next document that has content. What is left of the one before is skipped.
    pub(super) fn next(&mut self, document: &mut Vec<u8>) -> io::Result<Option<Head>> {
        while !self.rest_done {
            self.read_rest_line()?;
        }
        document.clear();
        let mut marked = false;
        let mut content_line = None;
        let mut head = self.here();
        loop {
            let start = document.len();
            if self.read_line(document)? == 0 {
                break;
            }
            let line = &document[start..];
            if is_end(line) || (is_start(line) && (marked || content_line.is_some())) {
                if content_line.is_some() {
                    if is_start(line) {
                        self.push_back(document.split_off(start));
                    }
                    document.truncate(start);
                    break;
                }
                // What came before was empty.
                let keep = if is_start(line) {
                    document.split_off(start)
                } else {
                    Vec::new()
                };
                marked = !keep.is_empty();
                head = self.here();
                head.offset -= keep.len() as u64;
                head.first_line -= u64::from(marked);
                if has_content(&keep, marked) {
                    content_line = Some(self.lines);
                }
                *document = keep;
                continue;
            }
            marked |= is_start(line);
            if content_line.is_none() && has_content(line, marked) {
                content_line = Some(self.lines);
            }
            if document.len() > self.limit && content_line.is_some() {
                self.rest_done = false;
                head.complete = false;
                break;
            }
        }
        Ok(content_line.map(|content_line| Head {
            content_line,
            ..head
        }))
    }

    /// Bytes read so far: after a document and its rest, where it ends.
    pub(super) fn position(&self) -> u64 {
        self.offset
    }

    fn here(&self) -> Head {
        Head {
            offset: self.offset,
            first_line: self.lines + 1,
            content_line: 0,
            complete: true,
        }
    }

    /// Appends a line with its end; 0 bytes at the end of the stream.
    fn read_line(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        let mut read = self.pending.len();
        if read > 0 {
            to.append(&mut self.pending);
        } else {
            read = self.input.read_until(b'\n', to)?;
        }
        if self.offset == 0 && to.starts_with(BYTE_ORDER_MARK) {
            to.drain(..BYTE_ORDER_MARK.len());
        }
        self.offset += read as u64;
        self.lines += u64::from(read > 0);
        Ok(read)
    }

    fn push_back(&mut self, line: Vec<u8>) {
        self.offset -= line.len() as u64;
        self.lines -= 1;
        self.pending = line;
    }

    fn read_rest_line(&mut self) -> io::Result<()> {
        let mut line = std::mem::take(&mut self.rest);
        line.clear();
        self.rest_at = 0;
        if self.read_line(&mut line)? == 0 || is_end(&line) {
            self.rest_done = true;
        } else if is_start(&line) {
            self.rest_done = true;
            self.push_back(line);
        } else {
            self.rest = line;
        }
        Ok(())
    }
}

/// The rest of a document that [`Splitter::next`] did not hand out whole.
impl<R: BufRead> Read for Splitter<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.rest_at == self.rest.len() && !self.rest_done {
            self.read_rest_line()?;
        }
        let mut left = &self.rest[self.rest_at..];
        let read = left.read(to)?;
        self.rest_at += read;
        Ok(read)
    }
}

fn is_start(line: &[u8]) -> bool {
    is_marker(line, b"---")
}

fn is_end(line: &[u8]) -> bool {
    is_marker(line, b"...")
}

fn is_marker(line: &[u8], marker: &[u8]) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|after| matches!(after.first(), None | Some(b' ' | b'\t' | b'\r' | b'\n')))
}

/// Whether a line is more than a marker, a comment, a directive or blank.
fn has_content(line: &[u8], marked: bool) -> bool {
    let text = if is_start(line) { &line[3..] } else { line };
    match text.trim_ascii_start().first() {
        None | Some(b'#') => false,
        Some(b'%') => marked,
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, limit: usize) -> Vec<(u64, u64, String)> {
        let mut splitter = Splitter::new(text.as_bytes(), limit);
        let mut documents = Vec::new();
        let mut document = Vec::new();
        while let Some(head) = splitter.next(&mut document).unwrap() {
            let mut whole = document.clone();
            if !head.complete {
                splitter.read_to_end(&mut whole).unwrap();
            }
            let whole = String::from_utf8(whole).unwrap();
            let at = usize::try_from(head.offset).unwrap();
            let bare = text.trim_start_matches('\u{feff}');
            let at = at.saturating_sub(text.len() - bare.len());
            assert_eq!(
                bare[at..][..whole.len()],
                whole,
                "the offset is the document's"
            );
            documents.push((head.first_line, head.content_line, whole));
        }
        documents
    }

    fn lines(text: &str) -> Vec<(u64, u64)> {
        let whole = split(text, usize::MAX);
        for limit in [0, 3, 10] {
            assert_eq!(
                split(text, limit),
                whole,
                "the same documents in parts of {limit}"
            );
        }
        whole
            .into_iter()
            .map(|(first, content, _)| (first, content))
            .collect()
    }

    #[test]
    fn documents_begin_where_they_begin() {
        assert_eq!(
            lines("a: 1\n---\nb: 1\n--- # note\n\nc: 1"),
            [(1, 1), (2, 3), (4, 6)]
        );
        assert_eq!(lines("--- {a: 1}\n--- {b: 1}\n"), [(1, 1), (2, 2)]);
        assert_eq!(lines("a: 1\r\n---\r\nb: 1\r\n"), [(1, 1), (2, 3)]);
    }

    #[test]
    fn empty_documents_are_left_out() {
        assert_eq!(lines(""), []);
        assert_eq!(lines("---\n# nothing\n---\n\n---\na: 1\n---\n"), [(5, 6)]);
        assert_eq!(
            lines("# head\n---\na: 1\n...\n# between\n...\n---\nb: 1\n"),
            [(1, 3), (7, 8)]
        );
        assert_eq!(lines("---\n--- {a: 1}\n"), [(2, 2)]);
    }

    #[test]
    fn directives_stay_with_their_document() {
        assert_eq!(
            lines("%YAML 1.2\n---\na: 1\n...\n%YAML 1.2\n---\nb: 1\n"),
            [(1, 3), (5, 7)]
        );
    }

    #[test]
    fn only_markers_split() {
        assert_eq!(
            lines("a: |\n  ---\n  x\nb: '----'\n----: 1\n---x: 1\n"),
            [(1, 1)]
        );
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        let documents = split("\u{feff}a: 1\n---\nb: 1\n", usize::MAX);
        assert_eq!(
            documents,
            [
                (1, 1, "a: 1\n".to_owned()),
                (2, 3, "---\nb: 1\n".to_owned())
            ]
        );
    }
}
