//! Manifest files, from their bytes to what is planned.

use std::fs;
use std::path::Path;

use viprule_service::model::Event;
use viprule_service::tracker::Tracker;
use viprule_source::manifest::{Load, Manifests, Severity};

use crate::plans::{self, NODE};

/// A file that may hold anything that YAML can say.
pub(crate) fn yaml(bytes: &[u8]) {
    of_file("a.yaml", bytes);
}

/// The same for JSON.
pub(crate) fn json(bytes: &[u8]) {
    of_file("a.json", bytes);
}

/// A file that holds the first half of an input's documents, and then the other half: what is
/// planned is what a fresh start would plan.
pub(crate) fn change(bytes: &[u8]) {
    let middle = bytes.len() / 2;
    let end = bytes[middle..]
        .windows(5)
        .position(|part| part == b"\n---\n");
    let (first, second) = bytes.split_at(middle + end.map_or(0, |end| end + 5));
    let folder = tempfile::tempdir().expect("a folder");
    let mut manifests = manifests(folder.path());
    write(folder.path(), "a.yaml", first);
    let mut tracker = plans::tracker();
    apply(&mut tracker, manifests.load());
    write(folder.path(), "a.yaml", second);
    let load = manifests.load();
    let is_whole = manifests
        .problems()
        .iter()
        .all(|problem| problem.severity == Severity::Warning);
    apply(&mut tracker, load);
    plans::check(&tracker);
    // What is bad keeps what was there, which a fresh start does not know.
    if is_whole {
        let fresh = plans::follow(self::manifests(folder.path()).load().events);
        assert_eq!(tracker.services(), fresh.services());
        for id in fresh.services() {
            assert_eq!(tracker.service(&id), fresh.service(&id));
            assert_eq!(tracker.plan(&id), fresh.plan(&id));
        }
    }
}

/// What a manifest's text tells.
pub(crate) fn events(text: &str) -> Vec<Event> {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "a.yaml", text.as_bytes());
    let load = manifests(folder.path()).load();
    assert!(load.problems.is_empty(), "{:?}", load.problems);
    load.events
}

fn of_file(name: &str, bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), name, bytes);
    let mut manifests = manifests(folder.path());
    let load = manifests.load();
    for problem in manifests.problems() {
        let _ = problem.to_string();
    }
    let tracker = plans::follow(load.events);
    for conflict in tracker.conflicts() {
        let _ = manifests.conflict(&conflict).to_string();
    }
    let again = manifests.load();
    assert!(again.events.is_empty(), "{:?}", again.events);
    assert!(again.problems.is_empty(), "{:?}", again.problems);
}

fn apply(tracker: &mut Tracker, load: Load) {
    for event in load.events {
        tracker.apply(event);
    }
}

fn manifests(folder: &Path) -> Manifests {
    Manifests::new([folder.to_owned()], Some(NODE.to_owned()))
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).expect("a file can be written");
}
