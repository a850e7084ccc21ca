//! The documents of a YAML stream, one at a time; JSON documents after each other count as one.
//!
//! The split is by lines, so that a syntax error spoils its own document only: `---` and `...` at
//! the beginning of a line are markers wherever they stand (YAML 1.2, 9.1.2).

use std::io::{self, BufRead, Read};

/// The byte order mark, which some editors put first.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Most of a line that is held at once, bytes; whole clusters come as JSON in one line.
const LONGEST_PIECE: usize = 64 << 10;
/// Enough to tell a marker, bytes.
const SHORTEST_PIECE: usize = 8;

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
    /// Whether a line begins with what comes next.
    line_start: bool,
    /// A marker that begins the next document.
    pending: Vec<u8>,
    /// What [`Read`] has not handed out of the current piece.
    rest: Vec<u8>,
    rest_at: usize,
    rest_done: bool,
}

/// What was read of a line: all of it unless it is long.
#[derive(Debug, Clone, Copy)]
struct Piece {
    length: usize,
    line_start: bool,
}

impl<R: BufRead> Splitter<R> {
    /// Documents up to about `limit` bytes are handed out whole.
    pub(super) fn new(input: R, limit: usize) -> Self {
        Self {
            input,
            limit,
            offset: 0,
            lines: 0,
            line_start: true,
            pending: Vec::new(),
            rest: Vec::new(),
            rest_at: 0,
            rest_done: true,
        }
    }

    /// Reads the next document that has content. What is left of the one before is skipped.
    pub(super) fn next(&mut self, document: &mut Vec<u8>) -> io::Result<Option<Head>> {
        while !self.rest_done {
            self.read_rest()?;
        }
        document.clear();
        let mut marked = false;
        // A comment or a directive.
        let mut is_skipped = false;
        let mut content_line = None;
        let mut head = self.here();
        loop {
            let mut start = document.len();
            let piece = self.read_piece(document)?;
            if piece.length == 0 {
                break;
            }
            if start == 0 {
                head.offset = self.offset - document.len() as u64;
            }
            let line = &document[start..];
            is_skipped &= !piece.line_start;
            let is_start = piece.line_start && is_start(line);
            let is_end = piece.line_start && is_end(line);
            if is_end || (is_start && (marked || content_line.is_some())) {
                if content_line.is_some() {
                    if is_start {
                        self.push_back(document.split_off(start));
                    }
                    document.truncate(start);
                    break;
                }
                // What came before was empty.
                let keep = if is_start {
                    document.split_off(start)
                } else {
                    Vec::new()
                };
                marked = !keep.is_empty();
                head = self.here();
                head.offset -= keep.len() as u64;
                head.first_line -= u64::from(marked);
                *document = keep;
                start = 0;
            }
            marked |= is_start;
            let first = first_byte(&document[start..], is_start);
            is_skipped |= first == Some(b'#') || (first == Some(b'%') && !marked);
            if content_line.is_none() && first.is_some() && !is_skipped {
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

    /// Appends a line with its end, or as much of a long one as is held at once; no bytes at the
    /// end of the stream.
    fn read_piece(&mut self, to: &mut Vec<u8>) -> io::Result<Piece> {
        let line_start = self.line_start;
        let start = to.len();
        if self.pending.is_empty() {
            let limit = self.limit.clamp(SHORTEST_PIECE, LONGEST_PIECE) as u64;
            self.offset += (&mut self.input).take(limit).read_until(b'\n', to)? as u64;
        } else {
            self.offset += self.pending.len() as u64;
            to.append(&mut self.pending);
        }
        let length = to.len() - start;
        if length > 0 {
            self.lines += u64::from(line_start);
            self.line_start = to.ends_with(b"\n");
        }
        if line_start && to[start..].starts_with(BYTE_ORDER_MARK) {
            to.drain(start..start + BYTE_ORDER_MARK.len());
        }
        Ok(Piece { length, line_start })
    }

    fn push_back(&mut self, line: Vec<u8>) {
        self.offset -= line.len() as u64;
        self.lines -= 1;
        self.line_start = true;
        self.pending = line;
    }

    fn read_rest(&mut self) -> io::Result<()> {
        let mut line = std::mem::take(&mut self.rest);
        line.clear();
        self.rest_at = 0;
        let piece = self.read_piece(&mut line)?;
        if piece.length == 0 || piece.line_start && is_end(&line) {
            self.rest_done = true;
        } else if piece.line_start && is_start(&line) {
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
            self.read_rest()?;
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

/// The first byte of a line behind its marker that is not blank.
fn first_byte(line: &[u8], is_start: bool) -> Option<u8> {
    let text = if is_start { &line[3..] } else { line };
    text.trim_ascii_start().first().copied()
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

    #[test]
    fn files_after_each_other_may_each_have_a_byte_order_mark() {
        let text = "\u{feff}a: 1\n\u{feff}---\nb: 1\n---\n\u{feff}c: 1\n";
        let mut splitter = Splitter::new(text.as_bytes(), usize::MAX);
        let mut documents = Vec::new();
        let mut document = Vec::new();
        while splitter.next(&mut document).unwrap().is_some() {
            documents.push(String::from_utf8(document.clone()).unwrap());
        }
        assert_eq!(documents, ["a: 1\n", "---\nb: 1\n", "---\nc: 1\n"]);
    }

    #[test]
    fn long_lines_come_in_pieces() {
        let json = format!("{{\"a\": \"{}\"}}", "--- # ".repeat(50_000));
        let text = format!("# {}\n{json}\n---\n{json}", "x ".repeat(50_000));
        assert_eq!(lines(&text), [(1, 2), (3, 4)]);
        let mut splitter = Splitter::new(text.as_bytes(), 0);
        let mut document = Vec::new();
        splitter.next(&mut document).unwrap();
        splitter.read_to_end(&mut Vec::new()).unwrap();
        splitter.next(&mut document).unwrap();
        assert!(document.len() <= LONGEST_PIECE + "---\n".len());
    }
}
