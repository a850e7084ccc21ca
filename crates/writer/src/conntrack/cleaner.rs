//! The thread.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use viprule_service::model::{Family, ServiceId};
use viprule_service::plan::{UdpDestination, UdpFrontend};

use super::book::Book;
use super::pace::Pace;
use super::sweep::{Counts, Sweeper};
use crate::WriteError;

/// How long to wait, at most.
#[derive(Debug, Clone, Copy)]
struct Waits {
    /// For more changes to look at together, once a look is over.
    more: Duration,
    /// For a change, before a look that failed is repeated without one. A client that keeps its
    /// source port talks to an endpoint that is gone until then.
    retry: Duration,
}

const WAITS: Waits = Waits {
    more: Duration::from_secs(1),
    retry: Duration::from_secs(30),
};

/// What one look at the table of one family did.
#[derive(Debug)]
pub struct Cleaned {
    /// The IP family.
    pub family: Family,
    /// How long it took.
    pub took: Duration,
    /// Flows deleted.
    pub deleted: u64,
    /// Flows that the kernel sent for it.
    pub seen: u64,
    /// Dumps that it took.
    pub dumps: u32,
    /// The largest number of flows held in memory at once.
    pub held: usize,
    /// Why it is not complete, where it isn't. The same frontends are looked at again with the
    /// next change, and after 30 s where it is neither a permission nor a part of the kernel that
    /// is missing.
    pub failure: Option<WriteError>,
}

/// Ends stale UDP flows in the network namespace of the thread that spawned it.
///
/// No method waits for the kernel. Each look costs a walk over the whole table, so changes are put
/// together: the first is looked at at once, those that follow at most once a second. A look begins
/// at the latest a second after the change, or with the end of one that takes longer. What waits is
/// put together by frontend, so it is never more than there are frontends.
#[derive(Debug)]
pub struct Cleaner {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    book: Book,
    pace: Pace,
    /// What failed, to be looked at again with the next change.
    failed: BTreeSet<UdpDestination>,
    /// When it is looked at again without one.
    retry_at: Option<Instant>,
    working: bool,
    stopping: bool,
}

impl AsRef<Book> for State {
    fn as_ref(&self) -> &Book {
        &self.book
    }
}

impl State {
    fn failed(&mut self, among: BTreeSet<UdpDestination>, error: &WriteError, retry: Duration) {
        self.failed.extend(among);
        // Time does not heal the others.
        if matches!(error, WriteError::Failed { .. }) {
            self.retry_at = Instant::now().checked_add(retry);
        }
    }

    /// There is something to look at: what failed before is looked at with it. Returns true where
    /// the thread has to hear of it.
    fn look(&mut self) -> bool {
        self.retry_at = None;
        let failed = std::mem::take(&mut self.failed);
        self.book.removed(failed);
        self.pace.changed(Instant::now())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change to the state is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cleaner {
    /// Starts the thread. `report` is called on it after each look that had something to do.
    pub fn spawn(report: impl FnMut(Cleaned) + Send + 'static) -> Result<Self, WriteError> {
        let mut sweeper = Sweeper::open()?;
        let sweep = move |family, among: &_, book: &_, counts: &mut _| {
            sweeper.sweep(family, among, book, counts)
        };
        Self::start(sweep, WAITS, report)
    }

    fn start(
        sweep: impl FnMut(Family, &BTreeSet<UdpDestination>, &Mutex<State>, &mut Counts) -> Swept
        + Send
        + 'static,
        waits: Waits,
        report: impl FnMut(Cleaned) + Send + 'static,
    ) -> Result<Self, WriteError> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("viprule-flows".to_owned())
            .spawn(move || work(&for_thread, sweep, waits, report))
            .map_err(|error| WriteError::Failed {
                operation: "starting the thread that ends UDP flows".to_owned(),
                reason: error.to_string(),
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// The Service's rules are about to become these. From now on flows to these endpoints are left
    /// alone, so that those that the new rules make aren't taken for stale ones before
    /// [`Cleaner::update`], which must follow once the rules are written. Until then it may be
    /// announced anew; [`Cleaner::withdraw`] follows where they are not to be written after all.
    pub fn announce(&self, service: &ServiceId, frontends: Vec<UdpFrontend>) {
        self.shared.lock().book.announce(service, frontends);
    }

    /// What was announced of the Service is not written and won't be tried again before it changes:
    /// its rules stay as they were. Does nothing where nothing was announced.
    pub fn withdraw(&self, service: &ServiceId) {
        self.change(|book| book.withdraw(service));
    }

    /// The kernel has the Service's rules now: all of its UDP frontends, none where the Service is
    /// gone. Frontends whose change may leave stale flows behind are looked at.
    pub fn update(&self, service: &ServiceId, frontends: Vec<UdpFrontend>) {
        self.change(|book| book.update(service, frontends));
    }

    /// Rules for these were removed without their Service being known, as on the first sync after
    /// a restart. Translated flows to those that no Service has now are ended.
    pub fn removed(&self, destinations: impl IntoIterator<Item = UdpDestination>) {
        self.change(|book| book.removed(destinations));
    }

    /// The addresses on which node ports answer.
    pub fn set_node_addresses(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.change(|book| book.set_node_addresses(addresses));
    }

    /// Waits until all that was told so far is done.
    pub fn wait(&self) {
        let mut state = self.shared.lock();
        while state.working || state.book.has_work() {
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Book)) {
        let mut state = self.shared.lock();
        change(&mut state.book);
        if state.book.has_work() && state.look() {
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for Cleaner {
    /// Ends the thread after a last look at what waits: after the next start nobody would know of
    /// what is gone by then.
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say but that it panicked, which was printed.
            let _ = thread.join();
        }
    }
}

/// How a look at the table ended.
type Swept = Result<(), netlink_batch::Error>;

fn work(
    shared: &Shared,
    mut sweep: impl FnMut(Family, &BTreeSet<UdpDestination>, &Mutex<State>, &mut Counts) -> Swept,
    waits: Waits,
    mut report: impl FnMut(Cleaned),
) {
    while let Some(pending) = next(shared, waits) {
        for family in Family::ALL {
            let of_family = |to: &&UdpDestination| to.family() == family;
            let among: BTreeSet<UdpDestination> =
                pending.iter().filter(of_family).copied().collect();
            if among.is_empty() {
                continue;
            }
            let (start, mut counts) = (Instant::now(), Counts::default());
            let result = sweep(family, &among, &shared.state, &mut counts);
            let failure = result
                .err()
                .map(|error| WriteError::conntrack("ending stale UDP flows", &error));
            if let Some(error) = &failure {
                shared.lock().failed(among, error, waits.retry);
            }
            report(Cleaned {
                family,
                took: start.elapsed(),
                deleted: counts.deleted,
                seen: counts.seen,
                dumps: counts.dumps,
                held: counts.held,
                failure,
            });
        }
        let mut state = shared.lock();
        state.working = false;
        state.pace.end(Instant::now());
        shared.changed.notify_all();
    }
}

/// Waits for something to look at; `None` when it is time to end.
fn next(shared: &Shared, waits: Waits) -> Option<BTreeSet<UdpDestination>> {
    let mut state = shared.lock();
    loop {
        let now = Instant::now();
        if state.retry_at.is_some_and(|at| at <= now) {
            state.look();
        }
        let due = state.pace.due(waits.more);
        if state.book.has_work() && (state.stopping || due.is_some_and(|at| at <= now)) {
            state.working = true;
            state.pace.begin();
            return Some(state.book.take_pending());
        }
        if state.stopping {
            return None;
        }
        let until = due.into_iter().chain(state.retry_at).min();
        state = if let Some(until) = until {
            let left = until.duration_since(now);
            let waited = shared.changed.wait_timeout(state, left);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let waited = shared.changed.wait(state);
            waited.unwrap_or_else(PoisonError::into_inner)
        };
    }
}

#[cfg(test)]
mod tests;
