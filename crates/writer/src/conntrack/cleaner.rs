//! The thread.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use viprule_service::model::{Family, ServiceId};
use viprule_service::plan::{UdpDestination, UdpFrontend};

use super::book::Book;
use super::sweep::{Counts, Sweeper};
use crate::WriteError;

/// When to look again after a look that failed, if no change comes before. A client that keeps its
/// source port talks to an endpoint that is gone until then.
const RETRY: Duration = Duration::from_secs(30);

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
/// No method waits for the kernel. Changes that come while the thread is at work are put together
/// by frontend, so what waits is never more than there are frontends.
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

    fn look_again(&mut self) {
        self.retry_at = None;
        let failed = std::mem::take(&mut self.failed);
        self.book.removed(failed);
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
        Self::start(sweep, RETRY, report)
    }

    fn start(
        sweep: impl FnMut(Family, &BTreeSet<UdpDestination>, &Mutex<State>, &mut Counts) -> Swept
        + Send
        + 'static,
        retry: Duration,
        report: impl FnMut(Cleaned) + Send + 'static,
    ) -> Result<Self, WriteError> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("viprule-flows".to_owned())
            .spawn(move || work(&for_thread, sweep, retry, report))
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
        if state.book.has_work() {
            state.look_again();
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for Cleaner {
    /// Ends the thread after the look that it is at; what waits is dropped.
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
    retry: Duration,
    mut report: impl FnMut(Cleaned),
) {
    while let Some(pending) = next(shared) {
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
                shared.lock().failed(among, error, retry);
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
    }
    shared.lock().working = false;
    shared.changed.notify_all();
}

/// Waits for something to look at; `None` when it is time to end.
fn next(shared: &Shared) -> Option<BTreeSet<UdpDestination>> {
    let mut state = shared.lock();
    state.working = false;
    shared.changed.notify_all();
    loop {
        if state.stopping {
            return None;
        }
        if state.book.has_work() {
            state.working = true;
            return Some(state.book.take_pending());
        }
        let left = state.retry_at.map(|at| at.duration_since(Instant::now()));
        state = match left {
            Some(Duration::ZERO) => {
                state.look_again();
                state
            }
            Some(left) => {
                let waited = shared.changed.wait_timeout(state, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let waited = shared.changed.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        };
    }
}

#[cfg(test)]
mod tests;
