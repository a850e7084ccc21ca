//! The sync loop: when to write and when to look.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, Instant, MissedTickBehavior};
use viprule_dataplane::Scope;
use viprule_dataplane::iptables::Iptables;
use viprule_service::model::ServiceId;
use viprule_service::tracker::Conflict;
use viprule_writer::backend::HostWriter;
use viprule_writer::{WriteError, Writer as _};

use super::news::{Happened, NewSettings, News};
use super::patience::Patience;
use super::rival::Rival;
use super::surroundings::Surroundings;
use super::takeover::Takeover;
use super::telemetry::{Cause, Pending, Telemetry, shares};
use super::{Report, SyncError, Syncer};
use crate::config::Resolved;

/// How long to wait before trying again after an error, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Owns the plans and the kernel.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) syncer: Syncer<Iptables, HostWriter>,
    pub(super) inbox: mpsc::Receiver<News>,
    /// Conflicts between Services, to be told by whoever knows where the Services come from.
    pub(super) conflicts: mpsc::UnboundedSender<Conflict>,
    pub(super) telemetry: Telemetry,
    pub(super) surroundings: Surroundings,
    pub(super) takeover: Takeover,
    pub(super) resolved: Resolved,
    /// What the first sync waits for besides [`News::Complete`].
    pub(super) patience: Patience,
    pub(super) timing: Timing,
    /// Everything has been told: from now on events ask for syncs.
    pub(super) ready: bool,
    /// News was taken that no sync has seen.
    pub(super) owes: bool,
    pub(super) pending: Pending,
}

/// When to do what next, and what was told.
#[derive(Debug)]
pub(super) struct Timing {
    /// No sync of changes before this.
    not_before: Instant,
    /// When everything is looked at again because an attempt failed. Nothing is done before.
    retry_at: Option<Instant>,
    backoff: Duration,
    rival: Rival,
    /// Services that were told to be refused by the kernel.
    refused: BTreeSet<ServiceId>,
}

impl Timing {
    pub(super) fn new() -> Self {
        Self {
            not_before: Instant::now(),
            retry_at: None,
            backoff: BACKOFF.0,
            rival: Rival::default(),
            refused: BTreeSet::new(),
        }
    }
}

impl Keeper {
    /// Runs until told to stop, or until the sources or the kernel's permissions are gone.
    /// Nothing is written before [`News::Complete`].
    pub(super) async fn keep(mut self, mut stopped: oneshot::Receiver<()>) -> anyhow::Result<()> {
        self.telemetry.started();
        tokio::select! {
            _ = &mut stopped => return Ok(()),
            complete = self.wait_for_everything() => if !complete? { return Ok(()) },
        }
        self.check_fit()?;
        let notifications = self.syncer.writer().notifications();
        let descriptor = notifications
            .map(|socket| readable(socket.as_fd().try_clone_to_owned()?))
            .transpose()?;
        let mut timer = timer(self.resolved.sync.period);
        self.look(&Cause::Start)?;
        loop {
            let Timing {
                not_before,
                retry_at,
                ..
            } = self.timing;
            let repair_at = self.timing.rival.not_before();
            let owes = self.owes && retry_at.is_none();
            let foreign = async {
                wait_for(repair_at).await;
                match &descriptor {
                    Some(descriptor) => descriptor.readable().await,
                    None => std::future::pending().await,
                }
            };
            let retry = wait_for(retry_at);
            tokio::select! {
                biased;
                _ = &mut stopped => return Ok(()),
                () = retry, if retry_at.is_some() => self.look(&Cause::Retry)?,
                () = time::sleep_until(not_before), if owes => self.sync(&Cause::Change)?,
                // Also while nothing can be written: it may be what helps, and nobody is kept
                // waiting.
                news = self.inbox.recv() => {
                    let Some(news) = news else { return Ok(()) };
                    let period = self.resolved.sync.period;
                    self.take(news);
                    if self.resolved.sync.period != period {
                        timer = self::timer(self.resolved.sync.period);
                    }
                }
                ready = foreign, if retry_at.is_none() => {
                    ready?.clear_ready();
                    self.repair()?;
                }
                _ = timer.tick(), if retry_at.is_none() => self.check()?,
            }
        }
    }

    fn check_fit(&self) -> anyhow::Result<()> {
        let families = &self.telemetry.families;
        let tracker = self.syncer.tracker();
        self.patience.check_fit(&self.resolved, tracker, families)
    }

    /// False where the sources ended before.
    async fn wait_for_everything(&mut self) -> anyhow::Result<bool> {
        let mut complete = false;
        loop {
            let missing = self.patience.missing(self.syncer.tracker());
            if complete && missing.is_none() {
                self.ready = true;
                return Ok(true);
            }
            tokio::select! {
                news = self.inbox.recv() => match news {
                    Some(News::Complete) => {
                        complete = true;
                        self.patience.begin(self.syncer.tracker());
                    }
                    Some(news) => {
                        self.take_one(news);
                        if complete {
                            // Settings may have changed what is waited for.
                            self.patience.begin(self.syncer.tracker());
                        }
                    }
                    None => return Ok(false),
                },
                () = self.patience.over(), if complete => {
                    self.patience.give_up(self.syncer.tracker())?;
                }
            }
        }
    }

    /// Takes this news and all that arrived while the kernel was busy.
    fn take(&mut self, first: News) {
        self.owes = true;
        let mut next = Some(first);
        while let Some(news) = next {
            self.take_one(news);
            next = self.inbox.try_recv().ok();
        }
    }

    fn take_one(&mut self, news: News) {
        match news {
            News::Events(happened) => {
                let Happened {
                    events,
                    triggers,
                    arrived,
                } = happened;
                self.telemetry
                    .queued(&mut self.pending, &events, triggers, arrived);
                if self.ready {
                    self.telemetry.requested();
                }
                for event in events {
                    self.syncer.apply(event);
                }
            }
            News::Settings(settings) => {
                if self.ready {
                    self.telemetry.requested();
                }
                let NewSettings {
                    resolved,
                    dataplane,
                } = *settings;
                if let Some(retry_at) = &mut self.timing.retry_at {
                    // They may be the cure.
                    *retry_at = Instant::now();
                }
                self.patience.adapt(&dataplane);
                self.syncer.configure(resolved.plan.clone(), dataplane);
                self.resolved = resolved;
                if self.ready
                    && let Err(problem) = self.check_fit()
                {
                    tracing::error!("{problem:#}");
                }
            }
            News::Complete => {}
        }
    }

    /// Looks at everything and puts it right.
    fn look(&mut self, cause: &Cause) -> Result<(), SyncError> {
        self.attempt(cause, |syncer| syncer.reconcile(Scope::Everything))
            .map(drop)
    }

    fn sync(&mut self, cause: &Cause) -> Result<(), SyncError> {
        self.attempt(cause, Syncer::sync).map(drop)
    }

    /// Puts right what somebody else changed.
    fn repair(&mut self) -> Result<(), SyncError> {
        let changes = match self.syncer.writer().foreign_changes() {
            Ok(changes) => changes,
            Err(error) => {
                let by = Cause::Foreign(Vec::new());
                return self.attempt(&by, |_| Err(error.into())).map(drop);
            }
        };
        if changes.scope.is_empty() {
            return Ok(());
        }
        let cause = Cause::Foreign(changes.by);
        let repaired = self.attempt(&cause, |syncer| syncer.reconcile(changes.scope))?;
        let Cause::Foreign(by) = cause else {
            return Ok(());
        };
        if repaired {
            let by = by.join(", ");
            tracing::warn!(by, "another program changed our rules");
            if let Some(pause) = self.timing.rival.repaired(Instant::now()) {
                tracing::error!(
                    by,
                    ?pause,
                    "another program keeps changing our rules, waiting before the next repair; \
                     look for a second service proxy on this node"
                );
            }
        }
        Ok(())
    }

    /// The timer: nothing is read as long as the kernel says that nobody has changed anything.
    fn check(&mut self) -> Result<(), SyncError> {
        self.repair()?;
        if self.timing.retry_at.is_none() && self.syncer.has_refused() {
            self.syncer.release_refused();
            return self.sync(&Cause::Period);
        }
        Ok(())
    }

    /// Syncs, and tells whoever wants to know. True where something was written. Errors that time
    /// may heal are tried again.
    fn attempt(
        &mut self,
        cause: &Cause,
        sync: impl FnOnce(&mut Syncer<Iptables, HostWriter>) -> Result<Report, SyncError>,
    ) -> Result<bool, SyncError> {
        let start = Instant::now();
        self.surroundings.prepare(&self.syncer, cause);
        let outcome = sync(&mut self.syncer);
        let took = start.elapsed();
        // Before health checks are opened: it says where.
        self.surroundings.tell(&self.syncer, &self.telemetry);
        let pending = &mut self.pending;
        let adopted = self.syncer.found();
        let ledger = self.syncer.ledger();
        self.telemetry
            .synced(cause, took, outcome.as_ref(), adopted, pending, ledger);
        let quarantined = self.syncer.quarantined();
        let told = &mut self.timing.refused;
        if quarantined.keys().ne(told.iter()) {
            let new = quarantined.iter().filter(|(id, _)| !told.contains(*id));
            self.telemetry.quarantined(new, quarantined.len());
            *told = quarantined.keys().cloned().collect();
        }
        for conflict in self.syncer.take_conflicts() {
            self.telemetry.metrics.claim_conflict();
            // Sources that have ended have nobody to tell.
            let _ = self.conflicts.send(conflict);
        }
        self.timing.not_before = Instant::now() + self.resolved.sync.min;
        self.timing.retry_at = None;
        match outcome {
            Ok(report) => {
                self.timing.backoff = BACKOFF.0;
                log(cause.as_str(), &report);
                self.owes = false;
                // What another proxy left may be all that a refused Service has.
                if !self.syncer.has_refused() {
                    self.takeover.complete(&self.telemetry);
                }
                Ok(!report.is_empty())
            }
            Err(
                error
                @ SyncError::Write(WriteError::Permission { .. } | WriteError::Missing { .. }),
            ) => Err(error),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!("{} failed, trying again: {error:#}", cause.as_str());
                // What a failed sync has left is in nobody's books.
                let backoff = self.timing.backoff;
                self.timing.retry_at = Some(Instant::now() + backoff);
                self.timing.backoff = (backoff * 2).min(BACKOFF.1);
                Ok(false)
            }
        }
    }
}

/// At once without a time.
async fn wait_for(time: Option<Instant>) {
    if let Some(time) = time {
        time::sleep_until(time).await;
    }
}

fn timer(period: Duration) -> time::Interval {
    let mut timer = time::interval_at(Instant::now() + period, period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

#[expect(
    deprecated,
    reason = "the other constructor is unsafe; an owned descriptor is sound here"
)]
fn readable(descriptor: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

fn log(what: &str, report: &Report) {
    if report.is_empty() {
        tracing::debug!("{what}: nothing to write");
        return;
    }
    tracing::info!(
        created = report.created,
        replaced = report.replaced,
        removed = report.removed,
        transactions = report.transactions,
        "{what}: {}",
        shares(report).join(", ")
    );
}
