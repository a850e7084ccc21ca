//! The thread.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use viprule_service::model::{Family, Protocol, ServiceId};
use viprule_service::plan::{FlowDestination, FlowFrontend};

use super::book::Book;
use super::pace::Pace;
use super::resting::{Change, Resting, Rests};
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
    /// Before looks at TCP frontends.
    tcp: Rests,
}

const WAITS: Waits = Waits {
    more: Duration::from_secs(1),
    retry: Duration::from_secs(30),
    tcp: Rests {
        answer: Duration::from_secs(1),
        gather: Duration::from_secs(5),
    },
};

/// What one look at the table for one protocol and family did.
#[derive(Debug)]
pub struct Cleaned {
    /// The protocol, UDP or TCP.
    pub protocol: Protocol,
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

/// Ends stale flows in the network namespace of the thread that spawned it.
///
/// No method waits for the kernel. Each look costs a walk over the whole table, so changes are put
/// together: the first is looked at at once, those that follow at most once a second. A look begins
/// at the latest a second after the change, or with the end of one that takes longer. What waits is
/// put together by frontend, so it is never more than there are frontends.
///
/// TCP frontends are looked at a second after they get their first endpoints, and five seconds
/// after an endpoint left them: SYNs that are answered by then are none of its business. Again there
/// is a second between looks at least.
#[derive(Debug)]
pub struct Cleaner {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    waits: Waits,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    book: Book,
    pace: Pace,
    resting: Resting,
    /// What failed, to be looked at again with the next change.
    failed: BTreeSet<FlowDestination>,
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
    fn failed(&mut self, among: BTreeSet<FlowDestination>, error: &WriteError, retry: Duration) {
        self.failed.extend(among);
        // Time does not heal the others.
        if matches!(error, WriteError::Failed { .. }) {
            self.retry_at = Instant::now().checked_add(retry);
        }
    }

    /// Takes over what the book has to look at. What failed before is looked at with it. Returns
    /// true where the thread has to hear of it.
    fn look(&mut self, rests: Rests) -> bool {
        let changed = self.book.take_changed();
        if changed.is_empty() && !self.book.has_work() {
            return false;
        }
        let now = Instant::now();
        self.rest(changed, rests, now);
        self.look_again(rests, now);
        // The time of a TCP frontend's look may have moved either way.
        let sooner = self.book.has_work() && self.pace.changed(now);
        sooner || !self.resting.is_empty()
    }

    /// What failed is to be looked at.
    fn look_again(&mut self, rests: Rests, now: Instant) {
        self.retry_at = None;
        let failed = std::mem::take(&mut self.failed).into_iter();
        let (tcp, others): (BTreeSet<_>, BTreeSet<_>) =
            failed.partition(|destination| destination.protocol == Protocol::Tcp);
        self.book.removed(others);
        self.rest(tcp.into_iter().map(|it| (it, Change::Served)), rests, now);
    }

    fn rest(
        &mut self,
        changed: impl IntoIterator<Item = (FlowDestination, Change)>,
        rests: Rests,
        now: Instant,
    ) {
        for (frontend, change) in changed {
            self.resting.changed(frontend, change, rests, now);
        }
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
        let sweep = move |protocol, family, among: &_, book: &_, counts: &mut _| {
            sweeper.sweep(protocol, family, among, book, counts)
        };
        Self::start(sweep, WAITS, report)
    }

    fn start(
        sweep: impl Sweep + Send + 'static,
        waits: Waits,
        report: impl FnMut(Cleaned) + Send + 'static,
    ) -> Result<Self, WriteError> {
        let shared = Arc::new(Shared {
            waits,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("viprule-flows".to_owned())
            .spawn(move || work(&for_thread, sweep, report))
            .map_err(|error| {
                WriteError::failed("starting the thread that ends stale flows", error)
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
    pub fn announce(&self, service: &ServiceId, frontends: &[FlowFrontend]) {
        self.shared.lock().book.announce(service, frontends);
    }

    /// What was announced of the Service is not written and won't be tried again before it changes:
    /// its rules stay as they were. Does nothing where nothing was announced.
    pub fn withdraw(&self, service: &ServiceId) {
        self.change(|book| book.withdraw(service));
    }

    /// The kernel has the Service's rules now: all of its UDP and TCP frontends, none where the Service is
    /// gone. Frontends whose change may leave stale flows behind are looked at.
    pub fn update(&self, service: &ServiceId, frontends: Box<[FlowFrontend]>) {
        self.change(|book| book.update(service, frontends));
    }

    /// Rules for these were removed without their Service being known, as on the first sync after
    /// a restart. Translated UDP flows to those that no Service has now are ended.
    pub fn removed(&self, destinations: impl IntoIterator<Item = FlowDestination>) {
        self.change(|book| book.removed(destinations));
    }

    /// The addresses on which node ports answer.
    pub fn set_node_addresses(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.change(|book| book.set_node_addresses(addresses));
    }

    /// Waits until all that was told so far is done.
    pub fn wait(&self) {
        let mut state = self.shared.lock();
        while state.working || state.book.has_work() || !state.resting.is_empty() {
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
        if state.look(self.shared.waits.tcp) {
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for Cleaner {
    /// Ends the thread after a last look at UDP frontends that wait: after the next start nobody would
    /// know of what is gone by then. TCP frontends are all looked at after a start.
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

/// Looks at the table for one protocol and family.
trait Sweep:
    FnMut(Protocol, Family, &BTreeSet<FlowDestination>, &Mutex<State>, &mut Counts) -> Swept
{
}

impl<F> Sweep for F where
    F: FnMut(Protocol, Family, &BTreeSet<FlowDestination>, &Mutex<State>, &mut Counts) -> Swept
{
}

fn work(shared: &Shared, mut sweep: impl Sweep, mut report: impl FnMut(Cleaned)) {
    while let Some((protocol, pending)) = next(shared) {
        for family in Family::ALL {
            let of_family = |to: &&FlowDestination| to.family() == family;
            let among: BTreeSet<FlowDestination> =
                pending.iter().filter(of_family).copied().collect();
            if among.is_empty() {
                continue;
            }
            let (start, mut counts) = (Instant::now(), Counts::default());
            let result = sweep(protocol, family, &among, &shared.state, &mut counts);
            let failure = result
                .err()
                .map(|error| WriteError::conntrack("ending stale flows", error));
            if let Some(error) = &failure {
                shared.lock().failed(among, error, shared.waits.retry);
            }
            report(Cleaned {
                protocol,
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
        if protocol == Protocol::Tcp {
            state.resting.end(Instant::now());
        } else {
            state.pace.end(Instant::now());
        }
        shared.changed.notify_all();
    }
}

/// Waits for something to look at; `None` when it is time to end.
fn next(shared: &Shared) -> Option<(Protocol, BTreeSet<FlowDestination>)> {
    let Waits { more, tcp, .. } = shared.waits;
    let mut state = shared.lock();
    loop {
        let now = Instant::now();
        let is_due = |due: Option<Instant>| due.is_some_and(|at| at <= now);
        if is_due(state.retry_at) {
            state.look_again(tcp, now);
            if state.book.has_work() {
                state.pace.changed(now);
            }
        }
        let due = state.pace.due(more);
        if state.book.has_work() && (state.stopping || is_due(due)) {
            state.working = true;
            state.pace.begin();
            return Some((Protocol::Udp, state.book.take_pending()));
        }
        if state.stopping {
            return None;
        }
        let tcp_due = state.resting.due(tcp);
        if is_due(tcp_due) {
            state.working = true;
            return Some((Protocol::Tcp, state.resting.take(now)));
        }
        let until = due.into_iter().chain(tcp_due).chain(state.retry_at).min();
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
