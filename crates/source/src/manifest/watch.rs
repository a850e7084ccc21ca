//! Notices that manifests may have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::Stream;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

use super::scan::{self, STDIN, Scan};
use crate::files::Kinds;

/// Debouncing ends after this many quiet times even if it never gets quiet.
const PATIENCE: u32 = 10;
/// Looks at folders that keep changing while they are looked at.
const ROUNDS: usize = 4;

/// How [`Watch`] waits.
#[derive(Debug, Clone, Copy)]
pub struct WatchOptions {
    /// How long it has to be quiet after a change before it is told. 20 ms by default.
    pub debounce: Duration,
    /// How often files are looked at in case the kernel didn't tell. 10 s by default.
    pub poll: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(20),
            poll: Duration::from_secs(10),
        }
    }
}

/// Says when files under the given paths changed, came or went.
///
/// It watches folders, not files, so that replaced files, swapped links of projected volumes and
/// folders that are gone for a while are all noticed. Where the kernel has no watch to give,
/// polling remains. Create it before the first load, so that nothing falls in between.
#[derive(Debug)]
pub struct Watch {
    changes: watch::Receiver<u64>,
    stop: Sender<Message>,
}

enum Message {
    Touched,
    Stop,
}

impl Watch {
    /// Watches from now on. The error is that of starting a thread.
    pub fn new(
        paths: impl IntoIterator<Item = PathBuf>,
        options: WatchOptions,
    ) -> io::Result<Self> {
        let paths: Vec<_> = paths
            .into_iter()
            .filter(|path| path.as_os_str() != STDIN)
            .collect();
        let (stop, messages) = mpsc::channel();
        let (told, changes) = watch::channel(0);
        let mut folders = Folders::new(stop.clone());
        let scan = folders.follow(&paths, &Scan::default());
        thread::Builder::new()
            .name("manifest-watch".to_owned())
            .spawn(move || {
                run(&paths, options, &mut folders, scan, &messages, &told);
            })?;
        Ok(Self { changes, stop })
    }

    /// Waits until something changed since the last time, however often. Cancel safe.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The thread only ends with this handle; never spin if it should have died.
            std::future::pending::<()>().await;
        }
    }

    /// The same as a stream that doesn't end.
    pub fn into_stream(self) -> impl Stream<Item = ()> {
        futures_util::stream::unfold(self, |mut watch| async move {
            watch.changed().await;
            Some(((), watch))
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.stop.send(Message::Stop);
    }
}

fn run(
    paths: &[PathBuf],
    options: WatchOptions,
    folders: &mut Folders,
    mut before: Scan,
    messages: &Receiver<Message>,
    told: &watch::Sender<u64>,
) {
    let mut poll = Instant::now() + options.poll;
    loop {
        match messages.recv_timeout(poll.saturating_duration_since(Instant::now())) {
            Ok(Message::Touched) => {
                if settle(messages, options.debounce) == Settled::Stop {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
        poll = Instant::now() + options.poll;
        let now = folders.follow(paths, &before);
        if now != before {
            before = now;
            told.send_modify(|count| *count += 1);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Settled {
    Quiet,
    Stop,
}

/// Waits until nothing happens any more.
fn settle(messages: &Receiver<Message>, debounce: Duration) -> Settled {
    let end = Instant::now() + debounce * PATIENCE;
    while Instant::now() < end {
        match messages.recv_timeout(debounce) {
            Ok(Message::Touched) => {}
            Err(RecvTimeoutError::Timeout) => break,
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return Settled::Stop,
        }
    }
    Settled::Quiet
}

/// The folders that the kernel watches for us.
struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

/// Folders with device and inode, to see that one was replaced.
type Wanted = BTreeMap<PathBuf, (u64, u64)>;

impl Folders {
    fn new(touched: Sender<Message>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if !event.is_ok_and(|event| is_reading(event.kind)) {
                let _ = touched.send(Message::Touched);
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "no file notifications, polling only"))
            .ok();
        Self {
            watcher,
            watched: BTreeSet::new(),
        }
    }

    /// Scans while all that a change could happen in is watched already.
    fn follow(&mut self, paths: &[PathBuf], before: &Scan) -> Scan {
        let mut wanted = wanted(paths, before);
        // Folders may come and go meanwhile; their last change is told and brings us here again.
        for _ in 0..ROUNDS {
            self.watch(&wanted);
            let scan = scan::scan(paths, Kinds::Regular);
            let needed = self::wanted(paths, &scan);
            if needed == wanted {
                return scan;
            }
            wanted = needed;
        }
        scan::scan(paths, Kinds::Regular)
    }

    fn watch(&mut self, wanted: &Wanted) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for gone in self
            .watched
            .iter()
            .filter(|path| !wanted.contains_key(*path))
        {
            // Fails where the kernel has dropped it with its folder.
            let _ = watcher.unwatch(gone);
        }
        self.watched.clear();
        for path in wanted.keys() {
            // Again every time: the kernel drops watches of folders that were removed, and a new
            // folder can have an old one's inode.
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(path.clone())),
                Err(error) => tracing::debug!(%error, path = %path.display(), "not watched"),
            }
        }
    }
}

/// Every folder where a change can change what is read.
fn wanted(paths: &[PathBuf], scan: &Scan) -> Wanted {
    let mut wanted: BTreeSet<_> = scan.folders.iter().cloned().collect();
    for path in paths {
        let mut ancestors = path.ancestors().skip(1).map(or_here);
        wanted.extend(ancestors.find(|folder| folder.is_dir()).map(Path::to_owned));
    }
    let links = paths.iter().chain(scan.files.iter().map(|(path, _)| path));
    for link in links.filter(|path| path.is_symlink()) {
        let target = fs::canonicalize(link).ok();
        wanted.extend(target.as_deref().and_then(Path::parent).map(Path::to_owned));
    }
    let identified = wanted.into_iter().filter_map(|path| {
        let metadata = fs::metadata(&path).ok()?;
        Some((path, (metadata.dev(), metadata.ino())))
    });
    identified.collect()
}

fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    }
}

/// Reading changes nothing, and we do it ourselves.
fn is_reading(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Access(
            AccessKind::Open(_) | AccessKind::Read | AccessKind::Close(AccessMode::Read)
        )
    )
}
