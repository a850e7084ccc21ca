//! What is remembered of files between loads.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use viprule_service::model::Event;

use super::file::{Content, Spot};
use super::object::{Key, Place};
use super::problem::Problem;
use super::scan::Identity;

/// What is remembered of a file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    /// None where it must be read at the next load, whatever it looks like.
    pub(super) identity: Option<Identity>,
    pub(super) objects: Vec<Object>,
    /// Events of this load, beside `objects`; empty between loads.
    pub(super) events: Vec<Vec<Event>>,
    pub(super) broken: BTreeSet<Key>,
    /// Something bad is there that could be any object.
    pub(super) unattributed: bool,
    pub(super) other_kinds: usize,
    pub(super) problems: Vec<Problem>,
}

/// What is remembered of an object.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) key: Key,
    pub(super) place: Place,
    pub(super) spot: Spot,
    /// Its document is bad now: this is the last good version.
    pub(super) stale: bool,
}

/// What is known before a file is read.
#[derive(Debug)]
pub(super) struct Before<'b> {
    pub(super) published: &'b BTreeMap<Key, Place>,
    /// The file's objects by the hash of their document's text.
    pub(super) texts: HashMap<u64, (Key, Place)>,
    /// Whether events are wanted of objects that didn't change as well.
    pub(super) all: bool,
}

impl Before<'_> {
    /// Whether an object's event is wanted, or only that it is there.
    pub(super) fn wants(&self, key: &Key, place: &Place) -> bool {
        self.all || self.published.get(key) != Some(place)
    }

    /// The object of a document that needs no reading, as it is the same as before.
    pub(super) fn same_text(&self, hash: u64) -> Option<(Key, Place)> {
        self.texts.get(&hash).cloned()
    }
}

impl File {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            identity: None,
            objects: Vec::new(),
            events: Vec::new(),
            broken: BTreeSet::new(),
            unattributed: false,
            other_kinds: 0,
            problems: Vec::new(),
        }
    }

    /// Takes new content; what it spoils of the old one stays.
    pub(super) fn update(&mut self, content: Content) {
        let before = std::mem::take(&mut self.objects);
        self.events.clear();
        // As many objects as a cluster has stay here: no more room than they need.
        self.objects.reserve_exact(content.objects.len());
        for ((key, place, events), spot) in content.objects {
            self.objects.push(Object {
                key,
                place,
                spot,
                stale: false,
            });
            self.events.push(events);
        }
        if content.unattributed || !content.broken.is_empty() {
            let found: BTreeSet<_> = self
                .objects
                .iter()
                .map(|object| object.key.parts())
                .collect();
            let kept = before.into_iter().filter(|object| {
                (content.unattributed || content.broken.contains(&object.key))
                    && !found.contains(&object.key.parts())
            });
            let kept: Vec<_> = kept
                .map(|object| Object {
                    stale: true,
                    ..object
                })
                .collect();
            self.objects.extend(kept);
        }
        self.broken = content.broken;
        self.unattributed = content.unattributed;
        self.other_kinds = content.other_kinds;
        self.problems = content.problems;
    }

    /// Keeps everything of a file that can't be read, and tries again next time.
    pub(super) fn fail(&mut self, problem: Problem) {
        self.identity = None;
        self.unattributed = true;
        self.events.clear();
        for object in &mut self.objects {
            object.stale = true;
        }
        self.problems = vec![problem];
    }
}
