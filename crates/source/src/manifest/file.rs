//! One file: its documents, and the lines of what is wrong in them.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::document::{Contents, Document, Found};
use super::locate::{self, Text};
use super::object::{Fault, Key, Reader};
use super::path::{self, Step};
use super::problem::{Problem, Severity};
use super::split::{Head, Splitter};
use super::state::Before;
use super::yaml;

/// YAML documents up to about this size are read from memory, which is faster, bytes.
const DOCUMENT_LIMIT: usize = 1 << 20;
/// Documents up to this size are searched for the line of every problem, bytes.
const CHEAP_DOCUMENT: usize = 64 << 10;
/// Problems whose line is searched for in a longer document.
const LOCATED_PROBLEMS: usize = 20;

/// Where bytes come from; they may be read more than once.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'o> {
    /// A file.
    File(&'o Path),
    /// What standard input had.
    Bytes(&'o [u8]),
}

impl<'o> Origin<'o> {
    fn open(self, offset: u64) -> io::Result<Box<dyn BufRead + 'o>> {
        match self {
            Self::File(path) => {
                let mut file = File::open(path)?;
                if offset > 0 {
                    file.seek(SeekFrom::Start(offset))?;
                }
                Ok(Box::new(BufReader::with_capacity(64 << 10, file)))
            }
            Self::Bytes(bytes) => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                Ok(Box::new(bytes.get(offset..).unwrap_or_default()))
            }
        }
    }

    fn is_json(self, input: &mut dyn BufRead) -> io::Result<bool> {
        let ending = match self {
            Self::File(path) => path.extension().and_then(|ending| ending.to_str()),
            Self::Bytes(_) => None,
        };
        match ending {
            Some("json") => Ok(true),
            Some("yaml" | "yml") => Ok(false),
            _ => {
                let mut text = input.fill_buf()?.trim_ascii_start();
                let brace = text.split_off_first() == Some(&b'{');
                Ok(brace && matches!(text.trim_ascii_start().first(), Some(b'"' | b'}')))
            }
        }
    }
}

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
    let mut input = origin.open(0)?;
    let is_json = origin.is_json(&mut *input)?;
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
    };
    if is_json {
        file.read_json(input)?;
    } else {
        file.read_yaml(input)?;
    }
    Ok(file.content)
}

struct FileReader<'f, 'r> {
    origin: Origin<'f>,
    name: &'f str,
    reader: &'f mut Reader<'r>,
    before: &'f Before<'f>,
    content: Content,
}

impl FileReader<'_, '_> {
    fn read_yaml(&mut self, input: Box<dyn BufRead + '_>) -> io::Result<()> {
        let mut splitter = Splitter::new(input, DOCUMENT_LIMIT);
        let mut bytes = Vec::new();
        let mut number = 0;
        while let Some(head) = splitter.next(&mut bytes)? {
            number += 1;
            if head.complete {
                self.read_document(number, head, &bytes);
            } else {
                self.read_long_document(number, head, &bytes, &mut splitter)?;
            }
        }
        Ok(())
    }

    fn read_document(&mut self, number: usize, head: Head, bytes: &[u8]) {
        let hash = hash(bytes);
        let mut spot = Spot {
            document: number,
            line: head.content_line,
            text: Some(hash),
        };
        if let Some((key, place)) = self.before.same_text(hash) {
            self.content.objects.push(((key, place, None), spot));
            return;
        }
        let text = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = &bytes[..error.valid_up_to()];
                let line = head.first_line + good.split(|byte| *byte == b'\n').count() as u64 - 1;
                return self.spoiled(number, Some(line), "is not UTF-8".to_owned());
            }
        };
        let mut document = Document::new(self.reader, self.before);
        let options = yaml::options();
        let result = serde_saphyr::with_deserializer_from_str_with_options(text, options, |from| {
            document.read(from)
        });
        let contents = document.contents;
        if let Err(error) = result {
            return self.not_yaml(number, head, &error);
        }
        let limit = if text.len() > CHEAP_DOCUMENT {
            LOCATED_PROBLEMS
        } else {
            usize::MAX
        };
        if contents.is_list || !contents.faults.is_empty() {
            spot.text = None;
        }
        self.add(spot, contents, limit, &|path| {
            locate::line(Text::Document(text), path).map(|line| head.first_line + line - 1)
        });
    }

    fn read_long_document<R: BufRead>(
        &mut self,
        number: usize,
        head: Head,
        bytes: &[u8],
        rest: &mut Splitter<R>,
    ) -> io::Result<()> {
        let mut document = Document::new(self.reader, self.before);
        let result = serde_saphyr::with_deserializer_from_reader_with_options(
            bytes.chain(&mut *rest),
            yaml::options(),
            |from| document.read(from),
        );
        let contents = document.contents;
        io::copy(rest, &mut io::sink())?;
        if let Err(error) = result {
            self.not_yaml(number, head, &error);
            return Ok(());
        }
        let origin = self.origin;
        let length = rest.position() - head.offset;
        let spot = Spot {
            document: number,
            line: head.content_line,
            text: None,
        };
        self.add(spot, contents, LOCATED_PROBLEMS, &|path| {
            let text = BufReader::new(origin.open(head.offset).ok()?.take(length));
            locate::line(Text::Stream(Box::new(text)), path).map(|line| head.first_line + line - 1)
        });
        Ok(())
    }

    fn read_json(&mut self, input: Box<dyn BufRead + '_>) -> io::Result<()> {
        let origin = self.origin;
        let mut from = serde_json::Deserializer::from_reader(input);
        let mut number = 0;
        // Any number of documents after each other, as kubectl reads them.
        while from.end().is_err() {
            number += 1;
            let mut document = Document::new(self.reader, self.before);
            let result = document.read(&mut from);
            let contents = document.contents;
            if let Err(error) = result {
                if error.is_io() {
                    return Err(error.into());
                }
                let text = error.to_string();
                let end = text.rfind(" at line ").unwrap_or(text.len());
                let line = u64::try_from(error.line()).ok().filter(|line| *line > 0);
                self.spoiled(number, line, format!("is not JSON: {}", &text[..end]));
                break;
            }
            let spot = Spot {
                document: number,
                line: u64::from(number == 1),
                text: None,
            };
            self.add(spot, contents, LOCATED_PROBLEMS, &|path| {
                locate::line(Text::Json(origin.open(0).ok()?, number - 1), path)
            });
        }
        Ok(())
    }

    fn not_yaml(&mut self, number: usize, head: Head, error: &serde_saphyr::Error) {
        let line = error.location().map_or(head.content_line, |location| {
            head.first_line + location.line().saturating_sub(1)
        });
        self.spoiled(number, Some(line), yaml::message(error));
    }

    /// A document that nothing can be read from.
    fn spoiled(&mut self, number: usize, line: Option<u64>, message: String) {
        self.content.unattributed = true;
        self.content.problems.push(Problem {
            severity: Severity::Error,
            file: self.name.to_owned(),
            document: Some(number),
            line,
            object: None,
            field: None,
            message,
        });
    }

    /// Adds a document's contents; the lines of up to `limit` problems are searched for.
    fn add(
        &mut self,
        spot: Spot,
        contents: Contents,
        limit: usize,
        locate: &dyn Fn(&[Step]) -> Option<u64>,
    ) {
        let line = if contents.is_list { 0 } else { spot.line };
        let spot = Spot { line, ..spot };
        for (index, fault) in contents.faults.into_iter().enumerate() {
            let found = if index < limit {
                nearest(&fault, locate)
            } else {
                None
            };
            let line = found.or((line > 0).then_some(line));
            self.content
                .problems
                .push(problem(fault, self.name, spot.document, line));
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
fn nearest(fault: &Fault, locate: &dyn Fn(&[Step]) -> Option<u64>) -> Option<u64> {
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
