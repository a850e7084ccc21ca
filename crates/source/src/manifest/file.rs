//! One file: its documents, and the lines of what is wrong in them.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, BufRead, BufReader, Read};

use super::document::{Contents, Document, Found};
use super::json;
use super::locate::{self, Text};
use super::object::{Fault, Key, Reader};
use super::origin::Origin;
use super::path::{self, Step};
use super::problem::{PROBLEM_LIMIT, Problem, Severity};
use super::split::{Head, Splitter};
use super::state::Before;
use super::yaml;
use crate::files;

/// Documents up to about this size are read from memory, which is faster, bytes.
const DOCUMENT_LIMIT: usize = 1 << 20;
/// How often a document is searched for the line of a problem, however long it is.
const SEARCHES: usize = 20;
/// What all further searches in a file may read together, bytes: each reads its document anew.
const SEARCHED: u64 = 1 << 20;

/// Where an object was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// The document, from 1.
    pub(super) document: usize,
    /// The document's line, from 1; 0 where it isn't known.
    pub(super) line: u64,
    /// Hash of the document's text where it holds this object only and nothing is wrong with it.
    pub(super) text: Option<u64>,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) objects: Vec<(Found, Spot)>,
    pub(super) broken: BTreeSet<Key>,
    pub(super) unattributed: bool,
    pub(super) other_kinds: usize,
    pub(super) problems: Vec<Problem>,
    /// Not a byte is in it.
    pub(super) is_empty: bool,
}

/// Reads a file. The error is that of opening or reading it.
pub(super) fn read(
    origin: Origin<'_>,
    name: &str,
    reader: &mut Reader<'_>,
    before: &Before<'_>,
) -> io::Result<Content> {
    let mut input = origin.open()?;
    if files::is_utf16(input.fill_buf()?) {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        let text = files::text(bytes)?;
        return read(Origin::Bytes(text.as_bytes()), name, reader, before);
    }
    let content = Content {
        is_empty: input.fill_buf()?.is_empty(),
        ..Content::default()
    };
    let mut file = FileReader {
        origin,
        name,
        reader,
        before,
        content,
        number: 0,
        untold: 0,
        searchable: SEARCHED,
    };
    file.read(input)?;
    Ok(file.content)
}

struct FileReader<'f, 'r> {
    origin: Origin<'f>,
    name: &'f str,
    reader: &'f mut Reader<'r>,
    before: &'f Before<'f>,
    content: Content,
    /// Documents so far.
    number: usize,
    /// Problems beyond those that are told.
    untold: usize,
    /// What is left of [`SEARCHED`].
    searchable: u64,
}

/// What is wrong with a document that looks like JSON and may be YAML.
struct NotJson {
    line: u64,
    message: String,
}

impl FileReader<'_, '_> {
    fn read(&mut self, input: Box<dyn BufRead + '_>) -> io::Result<()> {
        let mut splitter = Splitter::new(input, DOCUMENT_LIMIT);
        let mut bytes = Vec::new();
        while let Some(head) = splitter.next(&mut bytes)? {
            if head.complete {
                self.read_document(head, &bytes)?;
            } else {
                self.read_long_document(head, &bytes, &mut splitter)?;
            }
        }
        if self.untold > 0 {
            let message = format!(
                "has {} more problems; the first {PROBLEM_LIMIT} are told",
                self.untold
            );
            self.content.problems.push(Problem {
                severity: Severity::Error,
                file: self.name.to_owned(),
                document: None,
                line: None,
                object: None,
                field: None,
                message,
            });
        }
        Ok(())
    }

    fn read_document(&mut self, head: Head, bytes: &[u8]) -> io::Result<()> {
        let hash = hash(bytes);
        let spot = Spot {
            document: self.number + 1,
            line: head.content_line,
            text: Some(hash),
        };
        if let Some((key, place)) = self.before.same_text(hash) {
            self.number += 1;
            self.content.objects.push(((key, place, Vec::new()), spot));
            return Ok(());
        }
        let mut not_json = None;
        if let Some(start) = json::start(bytes) {
            not_json = self.read_json(head, start, bytes, None)?;
            if not_json.is_none() {
                return Ok(());
            }
        }
        self.number += 1;
        let text = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = &bytes[..error.valid_up_to()];
                let line = head.first_line + good.split(|byte| *byte == b'\n').count() as u64 - 1;
                self.spoiled(Some(line), "is not UTF-8".to_owned());
                return Ok(());
            }
        };
        let mut document = Document::new(self.reader, self.before);
        let options = yaml::options();
        let result = serde_saphyr::with_deserializer_from_str_with_options(text, options, |from| {
            document.read(from)
        });
        let contents = document.contents;
        if let Err(error) = result {
            self.not_yaml(head, &error, not_json);
            return Ok(());
        }
        self.add(spot, contents, text.len() as u64, &|path| {
            locate::line(Text::Document(text), path).map(|line| head.first_line + line - 1)
        });
        Ok(())
    }

    fn read_long_document<R: BufRead>(
        &mut self,
        head: Head,
        bytes: &[u8],
        rest: &mut Splitter<R>,
    ) -> io::Result<()> {
        let mut not_json = None;
        let mut read = None;
        if let Some(start) = json::start(bytes) {
            not_json = self.read_json(head, start, bytes, Some(&mut *rest))?;
            if not_json.is_none() {
                return Ok(());
            }
        } else {
            let mut document = Document::new(self.reader, self.before);
            let input = bytes.chain(&mut *rest);
            let options = yaml::options();
            let result =
                serde_saphyr::with_deserializer_from_reader_with_options(input, options, |from| {
                    document.read(from)
                });
            read = Some((result, document.contents));
        }
        io::copy(rest, &mut io::sink())?;
        let origin = self.origin;
        let length = rest.position() - head.offset;
        self.number += 1;
        let (result, contents) = if let Some(read) = read {
            read
        } else {
            let mut document = Document::new(self.reader, self.before);
            let result = serde_saphyr::with_deserializer_from_reader_with_options(
                origin.part(head.offset, length)?,
                yaml::options(),
                |from| document.read(from),
            );
            (result, document.contents)
        };
        if let Err(error) = result {
            self.not_yaml(head, &error, not_json);
            return Ok(());
        }
        let spot = Spot {
            document: self.number,
            line: head.content_line,
            text: None,
        };
        self.add(spot, contents, length, &|path| {
            let text = origin.part(head.offset, length).ok()?;
            locate::line(Text::Stream(text), path).map(|line| head.first_line + line - 1)
        });
        Ok(())
    }

    /// Reads JSON documents after each other, as kubectl does. They begin at `start` of what is in
    /// memory, and go on in the rest, where there is one. Does nothing where the first one is not
    /// JSON.
    fn read_json(
        &mut self,
        head: Head,
        start: usize,
        bytes: &[u8],
        rest: Option<&mut dyn Read>,
    ) -> io::Result<Option<NotJson>> {
        let is_whole = rest.is_none();
        let input: Box<dyn BufRead + '_> = match rest {
            None => Box::new(&bytes[start..]),
            Some(rest) => Box::new(BufReader::new(bytes[start..].chain(rest))),
        };
        let (origin, start_at) = if is_whole {
            (Origin::Bytes(bytes), start as u64)
        } else {
            (self.origin, head.offset + start as u64)
        };
        let newlines = bytes[..start].iter().filter(|byte| **byte == b'\n');
        let first_line = head.first_line + newlines.count() as u64;
        let mut stream = json::Stream::new(input);
        let mut spots = 0;
        let mut is_plain = true;
        while let Some(begin) = stream.next()? {
            let line = first_line + begin.lines;
            let mut document = Document::new(self.reader, self.before);
            let result = document.read(&mut serde_json::Deserializer::from_reader(&mut stream));
            let contents = document.contents;
            if let Err(error) = result {
                if error.is_io() {
                    return Err(error.into());
                }
                let text = error.to_string();
                let end = text.rfind(" at line ").unwrap_or(text.len());
                let message = format!("is not JSON: {}", &text[..end]);
                let line = line + (error.line() as u64).saturating_sub(1);
                // Whatever is nested too deep for JSON is so for YAML.
                if spots == 0 && !text.starts_with("recursion limit") {
                    return Ok(Some(NotJson { line, message }));
                }
                self.number += 1;
                self.spoiled(Some(line), message);
                break;
            }
            spots += 1;
            self.number += 1;
            is_plain = spots == 1 && contents.is_plain();
            let spot = Spot {
                document: self.number,
                line,
                text: None,
            };
            let length = stream.position() - begin.offset;
            self.add(spot, contents, length, &|path| {
                let text = origin.part(start_at + begin.offset, length).ok()?;
                locate::line(Text::Json(text), path).map(|found| line + found - 1)
            });
        }
        if let (true, true, Some((_, spot))) = (is_whole, is_plain, self.content.objects.last_mut())
            && spots == 1
            && spot.document == self.number
        {
            spot.text = Some(hash(bytes));
        }
        Ok(None)
    }

    /// What looked like JSON is told to be none.
    fn not_yaml(&mut self, head: Head, error: &serde_saphyr::Error, not_json: Option<NotJson>) {
        if let Some(error) = not_json {
            return self.spoiled(Some(error.line), error.message);
        }
        let line = error.location().map_or(head.content_line, |location| {
            head.first_line + location.line().saturating_sub(1)
        });
        self.spoiled(Some(line), yaml::message(error));
    }

    /// The document that nothing can be read from.
    fn spoiled(&mut self, line: Option<u64>, message: String) {
        self.content.unattributed = true;
        self.tell(Problem {
            severity: Severity::Error,
            file: self.name.to_owned(),
            document: Some(self.number),
            line,
            object: None,
            field: None,
            message,
        });
    }

    fn tell(&mut self, problem: Problem) {
        if self.content.problems.len() < PROBLEM_LIMIT {
            self.content.problems.push(problem);
        } else {
            self.untold += 1;
        }
    }

    /// Adds the contents of a document of this many bytes, in which `locate` searches for lines.
    fn add(
        &mut self,
        spot: Spot,
        contents: Contents,
        length: u64,
        locate: &dyn Fn(&[Step]) -> Option<u64>,
    ) {
        let line = if contents.is_list { 0 } else { spot.line };
        let text = spot.text.filter(|_| contents.is_plain());
        let spot = Spot { line, text, ..spot };
        self.untold += contents.untold;
        let mut searches = SEARCHES;
        for fault in contents.faults {
            let found = if self.content.problems.len() < PROBLEM_LIMIT {
                nearest(&fault, |path| {
                    if let Some(left) = searches.checked_sub(1) {
                        searches = left;
                    } else {
                        self.searchable = self.searchable.checked_sub(length)?;
                    }
                    locate(path)
                })
            } else {
                None
            };
            let line = found.or((line > 0).then_some(line));
            self.tell(problem(fault, self.name, spot.document, line));
        }
        let content = &mut self.content;
        content.broken.extend(contents.broken);
        content.unattributed |= contents.unattributed;
        content.other_kinds += contents.other_kinds;
        content
            .objects
            .extend(contents.objects.into_iter().map(|found| (found, spot)));
    }
}

fn hash(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text);
    hasher.finish()
}

/// The line of the field, or of what should hold it.
fn nearest(fault: &Fault, mut locate: impl FnMut(&[Step]) -> Option<u64>) -> Option<u64> {
    let mut steps = path::parse(&path::join(
        &fault.at,
        fault.field.as_deref().unwrap_or_default(),
    ));
    while !steps.is_empty() {
        if let Some(line) = locate(&steps) {
            return Some(line);
        }
        steps.pop();
    }
    None
}

fn problem(fault: Fault, file: &str, document: usize, line: Option<u64>) -> Problem {
    Problem {
        severity: if fault.warning {
            Severity::Warning
        } else {
            Severity::Error
        },
        file: file.to_owned(),
        document: Some(document),
        line,
        object: fault.object,
        field: fault.field,
        message: fault.message,
    }
}
