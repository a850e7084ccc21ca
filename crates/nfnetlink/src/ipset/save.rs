//! Sets as `ipset save` prints them.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::command::HASH_SIZE_AT_FIRST;
use super::{Entry, EntryError, Kind, Spec};
use crate::Family;

/// A set with its elements, of a type that this crate knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The set's name.
    pub name: String,
    /// What it is made with.
    pub spec: Spec,
    /// Its elements.
    pub entries: BTreeSet<Entry>,
}

/// What is wrong with a line of `ipset save`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, `{text}`: {why}")]
#[non_exhaustive]
pub struct SaveError {
    /// The line's number, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// Why it can't be read.
    pub why: SaveFault,
}

/// Why a line of `ipset save` can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaveFault {
    /// It begins with something else.
    #[error("expected `create` or `add`")]
    Command,
    /// A word is missing.
    #[error("expected {0} behind it")]
    Missing(&'static str),
    /// A value can't be read.
    #[error("expected {expected} in place of `{found}`")]
    Value {
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// An element of a set that was not created before.
    #[error("there is no such set above")]
    NoSet,
    /// A set that was created before.
    #[error("there is such a set above")]
    Twice,
    /// An element can't be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
}

/// Reads what `ipset save` prints. Empty lines and comments are skipped.
///
/// Sets of types that this crate does not know are left out, and so are exceptions (`nomatch`).
/// What is no part of a [`Spec`] or an [`Entry`] is read over: bucket sizes, timeouts, counters.
pub fn parse_save(text: &str) -> Result<Vec<Saved>, SaveError> {
    let mut reader = Reader::default();
    for (line, text) in (1..).zip(text.lines()) {
        reader.line(text).map_err(|why| SaveError {
            line,
            text: text.to_owned(),
            why,
        })?;
    }
    Ok(reader.sets)
}

#[derive(Default)]
struct Reader {
    sets: Vec<Saved>,
    /// Places in `sets`; `None` for sets that are left out.
    known: HashMap<String, Option<usize>>,
}

impl Reader {
    fn line(&mut self, text: &str) -> Result<(), SaveFault> {
        let mut words = text.split_ascii_whitespace();
        let Some(command) = words.next().filter(|word| !word.starts_with('#')) else {
            return Ok(());
        };
        let name = words.next().ok_or(SaveFault::Missing("a set's name"));
        match command {
            "create" | "-N" => self.create(name?, words),
            "add" | "-A" => self.add(name?, words),
            _ => Err(SaveFault::Command),
        }
    }

    fn create<'t>(
        &mut self,
        name: &str,
        mut words: impl Iterator<Item = &'t str>,
    ) -> Result<(), SaveFault> {
        let kind = words.next().ok_or(SaveFault::Missing("a type"))?;
        let at = match Kind::parse(kind) {
            None => None,
            Some(kind) => {
                self.sets.push(Saved {
                    name: name.to_owned(),
                    spec: parse_spec(kind, words)?,
                    entries: BTreeSet::new(),
                });
                Some(self.sets.len() - 1)
            }
        };
        match self.known.insert(name.to_owned(), at) {
            None => Ok(()),
            Some(_) => Err(SaveFault::Twice),
        }
    }

    fn add<'t>(
        &mut self,
        name: &str,
        mut words: impl Iterator<Item = &'t str>,
    ) -> Result<(), SaveFault> {
        let at = self.known.get(name).ok_or(SaveFault::NoSet)?;
        let element = words.next().ok_or(SaveFault::Missing("an element"))?;
        let Some(set) = at.and_then(|at| self.sets.get_mut(at)) else {
            return Ok(());
        };
        let entry = Entry::parse(set.spec.kind(), set.spec.family(), element)?;
        if !words.any(|word| word == "nomatch") {
            set.entries.insert(entry);
        }
        Ok(())
    }
}

fn parse_spec<'t>(kind: Kind, mut words: impl Iterator<Item = &'t str>) -> Result<Spec, SaveFault> {
    let (mut family, mut max_elements) = (Family::Ipv4, Spec::DEFAULT_MAX_ELEMENTS);
    let mut range = None;
    while let Some(word) = words.next() {
        match word {
            "family" => family = value(words.next(), "inet or inet6", parse_family)?,
            "maxelem" => {
                max_elements = value(words.next(), "a number", |word| word.parse().ok())?;
            }
            "range" => range = Some(value(words.next(), "a range of ports", parse_range)?),
            _ => {}
        }
    }
    match (kind, range) {
        (Kind::BitmapPort, Some((first, last))) => Ok(Spec::Ports { first, last }),
        (Kind::BitmapPort, None) => Err(SaveFault::Missing("range")),
        _ => Ok(Spec::Hash {
            kind,
            family,
            max_elements,
        }),
    }
}

fn value<T>(
    word: Option<&str>,
    expected: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, SaveFault> {
    let word = word.ok_or(SaveFault::Missing(expected))?;
    read(word).ok_or_else(|| SaveFault::Value {
        expected,
        found: word.to_owned(),
    })
}

fn parse_family(word: &str) -> Option<Family> {
    match word {
        "inet" => Some(Family::Ipv4),
        "inet6" => Some(Family::Ipv6),
        _ => None,
    }
}

fn parse_range(word: &str) -> Option<(u16, u16)> {
    let (first, last) = word.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

/// As `ipset save` prints it behind `create NAME `, for a set as this crate makes it.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash {
                kind,
                family,
                max_elements,
            } => {
                let family = match family {
                    Family::Ipv4 => "inet",
                    Family::Ipv6 => "inet6",
                };
                write!(
                    f,
                    "{kind} family {family} hashsize {HASH_SIZE_AT_FIRST} maxelem {max_elements}"
                )
            }
            Self::Ports { first, last } => write!(f, "{} range {first}-{last}", self.kind()),
        }
    }
}

/// The lines of `ipset save`, elements in order.
impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "create {} {}", self.name, self.spec)?;
        for entry in &self.entries {
            writeln!(f, "add {} {entry}", self.name)?;
        }
        Ok(())
    }
}
