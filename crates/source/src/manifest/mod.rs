//! Manifest files: Services, `EndpointSlice`s, `Endpoints` and this node from YAML and JSON.
//!
//! [`Manifests`] reads files and folders and yields events for what changed since the time before.
//! [`Watch`] says when it is worth to read them again.
//!
//! What is kept between loads is a content hash for each object, not the object. One bad document
//! spoils nothing but itself, and while an object's document is bad, its last good version holds.

mod document;
mod file;
mod fingerprint;
mod identity;
mod json;
mod locate;
mod loss;
mod mirror;
mod object;
mod origin;
mod path;
mod problem;
mod refused;
mod resolve;
mod scan;
mod split;
mod state;
mod watch;
mod yaml;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use viprule_service::model::{Event, Refused};
use viprule_service::tracker::Conflict;

use crate::convert::Interner;
use crate::files::{self, Bounded, Kinds, MANIFEST_LIMIT, describe};
use object::{Key, Kind, Place, Reader};
use origin::Origin;
use scan::{Identity, Scan};
use state::{Before, File};

pub use loss::{Loss, Share};
pub use problem::{Problem, Severity};
pub use scan::STDIN;
pub use watch::{Watch, WatchOptions};

/// What a [`Manifests::load`] found.
#[derive(Debug, Default)]
pub struct Load {
    /// What changed since the load before: the node first, then Services, then slices, those that
    /// `Endpoints` are mirrored to last, then what is refused.
    pub events: Vec<Event>,
    /// Problems that the load before did not have, in the files' order.
    pub problems: Vec<Problem>,
    /// Objects of kinds that aren't read, such as Pods and other nodes, in all files.
    pub other_kinds: usize,
    /// What is in no file any more and was not believed to be gone.
    pub withheld: Option<Loss>,
}

/// Manifest files and what they held when they were last read.
#[derive(Debug)]
pub struct Manifests {
    paths: Vec<PathBuf>,
    /// What the paths may be beside folders.
    kinds: Kinds,
    node: Option<String>,
    names: Interner,
    /// In the order that decides between two definitions of one object.
    files: Vec<File>,
    /// What the events so far add up to.
    published: BTreeMap<Key, Place>,
    problems: Vec<Problem>,
    /// What was told to be refused.
    refused: BTreeSet<Refused>,
    scanned: Scan,
    /// Not all that is gone was told, so there is news though no file changes.
    withholds: bool,
}

impl Manifests {
    /// Manifests at these paths: files, folders, or `-` for standard input, which is read once.
    ///
    /// Folders are read with the folders in them, `*.yaml`, `*.yml` and `*.json`, by name; names
    /// that begin with a dot are left out. Earlier paths win over later ones. Only regular files of
    /// up to 256 MiB are read. `node` is this node's name; other nodes' objects are ignored.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>, node: Option<String>) -> Self {
        Self {
            paths: paths.into_iter().collect(),
            kinds: Kinds::Regular,
            node,
            names: Interner::default(),
            files: Vec::new(),
            published: BTreeMap::new(),
            problems: Vec::new(),
            refused: BTreeSet::new(),
            scanned: Scan::default(),
            withholds: false,
        }
    }

    /// The given paths may be pipes as well, such as `<(…)` of a shell. They are read once, and
    /// waited for; who follows files waits for nobody.
    #[must_use]
    pub fn with_pipes(mut self) -> Self {
        self.kinds = Kinds::Pipes;
        self
    }

    /// All problems as of the last load, in the files' order.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many Services were told and are not gone.
    pub fn services(&self) -> usize {
        let kinds = self.published.keys().map(|key| key.kind);
        kinds.filter(|kind| *kind == Kind::Service).count()
    }

    /// Says where the Service stands that loses a conflict.
    pub fn conflict(&self, conflict: &Conflict) -> Problem {
        resolve::conflict(&self.files, conflict)
    }

    /// Reads the files that changed and yields what changed in them; blocks on I/O.
    ///
    /// The first call yields everything. A file or path that can't be read is a problem; what it
    /// held stays until it can be read again or is gone from its folder. So does what a file held
    /// that is empty now, as files are for a moment that are written anew.
    pub fn load(&mut self) -> Load {
        self.load_if(|_| true)
    }

    /// As [`load`](Self::load), but what is in no file any more is told to be gone only if that is
    /// believed. Otherwise it is asked about at each load until it is, or until it is back.
    pub fn load_if(&mut self, believed: impl FnOnce(&Loss) -> bool) -> Load {
        let scan = scan::scan(&self.paths, self.kinds);
        let changed = self.adopt(&scan);
        if changed.is_empty() && scan == self.scanned && !self.withholds {
            return Load {
                other_kinds: self.other_kinds(),
                ..Load::default()
            };
        }
        for index in changed {
            self.read(index, false);
        }
        let mut read_again = BTreeSet::new();
        let mut resolution = loop {
            let resolution = resolve::resolve(&self.files, &self.published);
            // Once each: a file may change while it is read.
            let dropped: Vec<_> = resolution
                .dropped
                .difference(&read_again)
                .copied()
                .collect();
            if dropped.is_empty() {
                break resolution;
            }
            for index in dropped {
                self.read(index, true);
                read_again.insert(index);
            }
        };
        let mut problems: Vec<_> = scan
            .unreadable
            .iter()
            .map(|(path, why)| unreadable(path, why.clone()))
            .collect();
        for (file, between) in self.files.iter().zip(&resolution.problems) {
            let mut of_file: Vec<_> = file.problems.iter().chain(between).cloned().collect();
            of_file.sort_by_key(|problem| (problem.document, problem.line));
            problems.append(&mut of_file);
        }
        let loss = Loss::of(&resolution, &self.files, &self.published);
        let withheld = loss.filter(|loss| !believed(loss));
        if withheld.is_some() {
            resolution.gone.retain(|key| key.kind == Kind::Node);
        }
        self.withholds = withheld.is_some();
        let gone = resolution.gone.into_iter().chain(resolution.replaced);
        let mut events = self.publish(&resolution.counts, gone);
        events.extend(self.tell_refused(!scan.unreadable.is_empty(), &resolution.unmirrored));
        let known: BTreeSet<Problem> = std::mem::replace(&mut self.problems, problems)
            .into_iter()
            .collect();
        self.names.forget_unused();
        self.scanned = scan;
        Load {
            events,
            problems: self
                .problems
                .iter()
                .filter(|one| !known.contains(one))
                .cloned()
                .collect(),
            other_kinds: self.other_kinds(),
            withheld,
        }
    }

    fn other_kinds(&self) -> usize {
        self.files.iter().map(|file| file.other_kinds).sum()
    }

    /// Takes over the files that a scan found, in its order; returns those to be read.
    fn adopt(&mut self, scan: &Scan) -> Vec<usize> {
        let mut known: BTreeMap<PathBuf, File> = BTreeMap::new();
        let mut before = None;
        let mut hidden = Vec::new();
        for file in self.files.drain(..) {
            let path = file.path.clone();
            if scan
                .unreadable
                .iter()
                .any(|(unreadable, _)| path.starts_with(unreadable))
            {
                hidden.push((before.replace(path), file));
            } else {
                before = Some(path.clone());
                known.insert(path, file);
            }
        }
        let mut changed = Vec::new();
        for (path, identity) in &scan.files {
            let mut file = known
                .remove(path)
                .unwrap_or_else(|| File::new(path.clone()));
            if file.identity != Some(*identity) {
                file.identity = Some(*identity);
                changed.push(path);
            }
            self.files.push(file);
        }
        // What can't be seen now keeps its place.
        for (before, file) in hidden {
            let after = before.and_then(|path| self.files.iter().position(|f| f.path == path));
            self.files.insert(after.map_or(0, |index| index + 1), file);
        }
        let changed: BTreeSet<_> = changed.into_iter().collect();
        let files = self.files.iter().enumerate();
        files
            .filter(|(_, file)| changed.contains(&file.path))
            .map(|(index, _)| index)
            .collect()
    }

    /// Reads a file; `all` where the events of objects that didn't change are wanted as well.
    fn read(&mut self, index: usize, all: bool) {
        let Some(file) = self.files.get_mut(index) else {
            return;
        };
        let mut reader = Reader {
            names: &mut self.names,
            node: self.node.as_deref(),
        };
        let mut before = Before {
            published: &self.published,
            texts: HashMap::new(),
            all,
        };
        if !all {
            let texts = file.objects.iter().filter_map(|object| {
                Some((
                    object.spot.text?,
                    (object.key.clone(), object.place.clone()),
                ))
            });
            before.texts = texts.collect();
        }
        let name = file.path.display().to_string();
        let content = if file.identity == Some(Identity::ONCE) {
            if all {
                return;
            }
            read_once(&file.path)
                .and_then(|bytes| file::read(Origin::Bytes(&bytes), &name, &mut reader, &before))
        } else {
            file::read(Origin::File(&file.path), &name, &mut reader, &before)
        };
        match content {
            Ok(content) if content.is_empty && !file.objects.is_empty() => {
                let why = "is empty; delete it if nothing is to be in it";
                file.fail(unreadable(&file.path, why.to_owned()));
            }
            Ok(content) => file.update(content),
            Err(error) => file.fail(unreadable(&file.path, describe(&error))),
        }
    }

    /// The events that make the published state what counts now.
    fn publish(&mut self, counts: &[Vec<bool>], gone: impl IntoIterator<Item = Key>) -> Vec<Event> {
        let mut deleted: BTreeMap<Kind, Vec<Event>> = BTreeMap::new();
        let mut applied: BTreeMap<Kind, Vec<Event>> = BTreeMap::new();
        for key in gone {
            if let Some(place) = self.published.remove(&key) {
                deleted
                    .entry(key.kind)
                    .or_default()
                    .extend(object::deleted(&key, &place));
            }
        }
        for (file, counts) in self.files.iter_mut().zip(counts) {
            let events = std::mem::take(&mut file.events);
            for ((object, of_object), counts) in file.objects.iter().zip(events).zip(counts) {
                if of_object.is_empty() || !*counts {
                    continue;
                }
                let before = self
                    .published
                    .insert(object.key.clone(), object.place.clone());
                if before.as_ref() == Some(&object.place) {
                    continue;
                }
                let kind = object.key.kind;
                if let Some(before) = &before {
                    let replaced = object::replaced(&object.key, before, &object.place);
                    deleted.entry(kind).or_default().extend(replaced);
                }
                applied.entry(kind).or_default().extend(of_object);
            }
        }
        let mut events = Vec::new();
        for kind in Kind::ALL {
            events.extend(deleted.remove(&kind).unwrap_or_default());
            events.extend(applied.remove(&kind).unwrap_or_default());
        }
        events
    }
}

/// All that standard input or a pipe has.
fn read_once(path: &Path) -> io::Result<Vec<u8>> {
    if path.as_os_str() != STDIN {
        return files::read(path, Kinds::Pipes, MANIFEST_LIMIT);
    }
    let mut bytes = Vec::new();
    Bounded::new(io::stdin().lock(), MANIFEST_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, why: String) -> Problem {
    Problem {
        severity: Severity::Error,
        file: path.display().to_string(),
        document: None,
        line: None,
        object: None,
        field: None,
        message: why,
    }
}
