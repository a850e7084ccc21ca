//! What a watch is doing, for whoever wants to know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Resource;

/// What a watch is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the server's first answer.
    Connecting,
    /// Reading everything that exists.
    Listing,
    /// Waiting for changes.
    Watching,
    /// The server has no such objects or does not give them, and all goes on without. It is asked
    /// again, in the end every five to ten minutes.
    Absent,
    /// The last attempt failed; the next one comes by itself.
    Failing {
        /// What went wrong last.
        error: Arc<str>,
    },
}

/// One watch at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchStatus {
    /// What is watched.
    pub resource: Resource,
    /// What it is doing.
    pub phase: Phase,
    /// Since when. A watch that fails again and again fails since the first time.
    pub since: Instant,
    /// When the server last said anything: an answer, an object or a bookmark.
    pub last_heard: Option<Instant>,
    /// The longest silence that the server may keep in this phase; see [`Self::is_stuck`].
    pub silence_limit: Duration,
    /// True once a list was told to its end.
    pub listed: bool,
    /// Lists that were told to their end after the first one.
    pub relists: u64,
    /// Objects that the server sent, in lists and as changes.
    pub received: u64,
    /// Attempts that failed.
    pub failures: u64,
}

impl WatchStatus {
    /// How long the server has said nothing, zero-based at the start.
    fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_heard.unwrap_or(self.since))
    }

    /// True where the server owes an answer.
    ///
    /// An idle watch hears a bookmark about once a minute while anything in the cluster changes,
    /// and in any case its end: every request names a time after which the server ends it. A
    /// watch that heard nothing until then is stuck. So is a list of which nothing arrives. A
    /// stuck watch connects anew by itself, so this is true for a moment only, unless this
    /// process does not get to run or nobody takes what was heard. A failing watch is not stuck:
    /// it knows.
    pub fn is_stuck(&self, now: Instant) -> bool {
        !matches!(self.phase, Phase::Failing { .. } | Phase::Absent)
            && self.silence(now) > self.silence_limit
    }
}

/// The status of every watch; clones show the same. Reading costs a lock that is never held long.
#[derive(Debug, Clone)]
pub struct Statuses {
    cells: Arc<[(Resource, Cell)]>,
}

impl Statuses {
    pub(super) fn of(resources: &[Resource]) -> Self {
        let cells = resources.iter();
        Self {
            cells: cells.map(|it| (*it, Cell::new(*it))).collect(),
        }
    }

    /// All of them now, in the order in which they were asked for.
    pub fn read(&self) -> Vec<WatchStatus> {
        let cells = self.cells.iter();
        cells.map(|(_, cell)| cell.lock().clone()).collect()
    }

    /// Each watch's own place.
    pub(super) fn cells(&self) -> impl Iterator<Item = (Resource, Cell)> {
        self.cells.iter().cloned()
    }
}

/// One watch's own place.
#[derive(Debug, Clone)]
pub(super) struct Cell(Arc<Mutex<WatchStatus>>);

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Cell {
    fn new(resource: Resource) -> Self {
        Self(Arc::new(Mutex::new(WatchStatus {
            resource,
            phase: Phase::Connecting,
            since: now(),
            last_heard: None,
            silence_limit: super::watch::RESPONSE_LIMIT,
            listed: false,
            relists: 0,
            received: 0,
            failures: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, WatchStatus> {
        // Every change is complete in itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server answered, and may be silent for `limit` from now on.
    pub(super) fn enter(&self, phase: Phase, limit: Duration) {
        let mut status = self.lock();
        if status.phase != phase {
            status.since = now();
            status.phase = phase;
        }
        status.silence_limit = limit;
        status.last_heard = Some(now());
    }

    pub(super) fn heard(&self) {
        self.lock().last_heard = Some(now());
    }

    pub(super) fn received(&self) {
        self.lock().received += 1;
    }

    pub(super) fn listed(&self) {
        let mut status = self.lock();
        status.relists += u64::from(status.listed);
        status.listed = true;
    }

    pub(super) fn failed(&self, error: &str) {
        let mut status = self.lock();
        if !matches!(status.phase, Phase::Failing { .. }) {
            status.since = now();
        }
        status.failures += 1;
        status.phase = Phase::Failing {
            error: error.into(),
        };
    }
}
