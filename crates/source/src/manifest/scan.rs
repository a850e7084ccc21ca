//! Which files there are.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::files::{self, Kinds, describe};

/// The path that means standard input.
pub const STDIN: &str = "-";
/// Endings of files that folders are searched for.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// Folders within folders that are followed; symbolic links can make endless paths.
const DEPTH_LIMIT: usize = 32;

/// What changes whenever a file's content may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    // Changes as well where a tool sets the modification time back.
    changed: (i64, i64),
}

impl Identity {
    /// Standard input and pipes, which are read once.
    pub(super) const ONCE: Self = Self {
        device: 0,
        inode: 0,
        size: 0,
        modified: (0, 0),
        changed: (0, 0),
    };

    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What was found under the given paths.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Every manifest once, in the order of the given paths, and by name within a folder.
    pub(super) files: Vec<(PathBuf, Identity)>,
    /// Folders among them that were listed.
    pub(super) folders: Vec<PathBuf>,
    /// Paths that could not be looked at, with the reason.
    pub(super) unreadable: Vec<(PathBuf, String)>,
}

/// Looks at every path; a folder means every `*.yaml`, `*.yml` and `*.json` in it and in the
/// folders below.
///
/// Names that begin with a dot are skipped in folders: projected volumes keep their data in such
/// folders and link to it. Symbolic links are followed. `named`: what the given paths may be.
pub(super) fn scan(paths: &[PathBuf], named: Kinds) -> Scan {
    let mut walk = Walk {
        scan: Scan::default(),
        seen: BTreeSet::new(),
    };
    for path in paths {
        if path.as_os_str() == STDIN {
            walk.scan.files.push((path.clone(), Identity::ONCE));
        } else {
            walk.visit(path, 0, Some(named));
        }
    }
    walk.scan
}

struct Walk {
    scan: Scan,
    seen: BTreeSet<(u64, u64)>,
}

impl Walk {
    /// Visits a path that was given, and then may be of these kinds, or one that a folder has.
    fn visit(&mut self, path: &Path, depth: usize, given: Option<Kinds>) {
        let named = given.is_some();
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            // Gone between the listing and now, or a link to what is not in its folder any more.
            Err(error) if !named && error.kind() == io::ErrorKind::NotFound && is_gone(path) => {
                return;
            }
            Err(error) => return self.unreadable(path, describe(&error)),
        };
        // Once, however many of the given paths lead here.
        let first = self.seen.insert((metadata.dev(), metadata.ino()));
        if metadata.is_dir() {
            if first && depth < DEPTH_LIMIT {
                self.list(path, depth);
            }
        } else if !first || !(named || is_manifest(path)) {
            // Found before, or no manifest.
        } else if let Err(error) =
            files::check(metadata.file_type(), given.unwrap_or(Kinds::Regular))
        {
            self.unreadable(path, describe(&error));
        } else {
            let identity = if metadata.is_file() {
                Identity::of(&metadata)
            } else {
                Identity::ONCE
            };
            self.scan.files.push((path.to_owned(), identity));
        }
    }

    fn list(&mut self, folder: &Path, depth: usize) {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(folder, describe(&error)),
        };
        self.scan.folders.push(folder.to_owned());
        let mut names: Vec<_> = entries.into_iter().map(|entry| entry.file_name()).collect();
        names.sort_unstable();
        for name in names {
            if !name.as_encoded_bytes().starts_with(b".") {
                self.visit(&folder.join(name), depth + 1, None);
            }
        }
    }

    fn unreadable(&mut self, path: &Path, why: String) {
        self.scan.unreadable.push((path.to_owned(), why));
    }
}

/// False where a symbolic link leads through a folder that is not there: whoever swaps folders is
/// about to put one in its place.
fn is_gone(path: &Path) -> bool {
    let mut path = path.to_owned();
    for _ in 0..DEPTH_LIMIT {
        let Ok(target) = fs::read_link(&path) else {
            return path.parent().is_none_or(Path::is_dir);
        };
        path = path
            .parent()
            .map_or(target.clone(), |folder| folder.join(target));
    }
    false
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|e| ENDINGS.contains(&e))
}
