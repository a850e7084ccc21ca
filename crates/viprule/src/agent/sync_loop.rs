//! The sync loop: when to write and when to look.

mod foreign;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::net::SocketAddr;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, Instant};
use viprule_dataplane::Scope;
use viprule_service::model::{Refused, ServiceId};
use viprule_service::tracker::Conflict;
use viprule_sync::{Report, SyncError};
use viprule_writer::Writer as _;

use super::host_watch::HostWatch;
use super::news::{Happened, News};
use super::node_report::NodeReport;
use super::prerequisites::Prerequisites;
use super::takeover::Takeover;
use super::telemetry::{Cause, Pending, Telemetry, shares};
use crate::config::Resolved;
use crate::mode::{self, Mode, SyncerOf};
pub(super) use foreign::Foreign;
pub(super) use timing::Timing;
use timing::{Notifications, after, timer, wait_for};

/// Owns the plans and the kernel.
pub(super) struct SyncLoop<M: Mode> {
    pub(super) syncer: SyncerOf<M>,
    pub(super) mode: M,
    pub(super) takeover: Takeover,
    pub(super) host: HostWatch,
    pub(super) inbox: mpsc::Receiver<News>,
    /// Conflicts between Services, to be told by whoever knows where the Services come from.
    pub(super) conflicts: mpsc::UnboundedSender<Conflict>,
    pub(super) telemetry: Telemetry,
    pub(super) node_report: NodeReport,
    pub(super) resolved: Resolved,
    /// What the first sync waits for besides [`News::Complete`].
    pub(super) prerequisites: Prerequisites,
    pub(super) timing: Timing,
    /// Services that were told to be refused by the kernel.
    pub(super) refused: BTreeSet<ServiceId>,
    /// Services that were told to be too large.
    pub(super) oversized: BTreeSet<ServiceId>,
    /// Objects that exist and can't be used, as far as that was told.
    pub(super) unusable: BTreeSet<Refused>,
    /// Everything has been told: from now on events ask for syncs.
    pub(super) ready: bool,
    /// News was taken that no sync has seen.
    pub(super) owes: bool,
    /// The last sync has more to write, at once: the time between two of them is for others' changes to
    /// come together.
    pub(super) unfinished: bool,
    pub(super) pending: Pending,
    pub(super) foreign: Foreign,
    /// Where the API server was when the way there was cleared.
    pub(super) way: Vec<SocketAddr>,
}

impl<M: Mode> SyncLoop<M> {
    /// Runs until told to stop, or until the sources or the kernel's permissions are gone.
    /// Nothing is written before [`News::Complete`].
    pub(super) async fn keep(mut self, mut stopped: oneshot::Receiver<()>) -> anyhow::Result<()> {
        self.telemetry.started();
        tokio::select! {
            biased;
            _ = &mut stopped => return Ok(()),
            complete = self.wait_for_everything() => if !complete? { return Ok(()) },
        }
        self.check_fit()?;
        let notifications = Notifications::of(self.syncer.writer().notifications())?;
        self.foreign.is_told = !notifications.is_empty();
        let mut timer = timer(self.resolved.sync.period);
        self.look(&Cause::Start)?;
        loop {
            if self.foreign.unheard && self.timing.retry_at.is_none() {
                self.hear()?;
            }
            let Timing {
                not_before,
                retry_at,
                drain_at,
                take_over_at,
                ..
            } = self.timing;
            let repair_at = self.timing.repair_backoff.not_before();
            let owes = self.owes && retry_at.is_none();
            let retry = wait_for(retry_at);
            let (drain, take_over) = (wait_for(drain_at), wait_for(take_over_at));
            tokio::select! {
                biased;
                _ = &mut stopped => return Ok(()),
                () = retry, if retry_at.is_some() => self.look(&Cause::Retry)?,
                () = time::sleep_until(not_before), if owes => self.sync(&Cause::Change)?,
                () = ready(()), if self.unfinished && retry_at.is_none() => self.go_on()?,
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
                () = drain, if drain_at.is_some() && retry_at.is_none() => self.drain()?,
                () = take_over, if take_over_at.is_some() && retry_at.is_none() => {
                    self.take_over();
                }
                _ = timer.tick(), if retry_at.is_none() => self.check()?,
                () = wait_for(repair_at), if self.foreign.differs && retry_at.is_none() => {
                    self.foreign.unheard = true;
                }
                arrived = notifications.arrive(), if !self.foreign.differs && retry_at.is_none() => {
                    arrived?;
                    self.foreign.unheard = true;
                }
                // Everything else comes first.
                () = tokio::task::yield_now(), if self.foreign.unheard && retry_at.is_none() => {}
            }
        }
    }

    fn check_fit(&self) -> anyhow::Result<()> {
        let families = &self.telemetry.families;
        let tracker = self.syncer.tracker();
        self.prerequisites
            .check_fit(&self.resolved, tracker, families)
    }

    /// False where the sources ended before.
    async fn wait_for_everything(&mut self) -> anyhow::Result<bool> {
        let mut complete = false;
        loop {
            let missing = self.prerequisites.missing(self.syncer.tracker());
            if complete && missing.is_none() {
                self.ready = true;
                return Ok(true);
            }
            tokio::select! {
                biased;
                news = self.inbox.recv() => match news {
                    Some(News::Complete) => {
                        complete = true;
                        self.prerequisites.begin(self.syncer.tracker());
                    }
                    Some(news) => {
                        self.take_one(news);
                        self.clear_way();
                        if complete {
                            // Settings may have changed what is waited for.
                            self.prerequisites.begin(self.syncer.tracker());
                        }
                    }
                    None => return Ok(false),
                },
                () = self.prerequisites.over(), if complete => {
                    self.prerequisites.give_up(self.syncer.tracker())?;
                }
            }
        }
    }

    /// What keeps this node from its API server would also keep it from hearing how to go on.
    fn clear_way(&mut self) {
        let api_server = &self.syncer.tracker().facts().api_server;
        if self.way == *api_server {
            return;
        }
        self.way.clone_from(api_server);
        match mode::clear_way(api_server) {
            Ok(freed) => {
                for address in freed {
                    tracing::warn!(
                        "took {address} from what a proxy had made this node's own: it is an address \
                         of the API server"
                    );
                }
            }
            Err(error) => tracing::error!("the way to the API server may be barred: {error}"),
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
                let unusable = self.syncer.tracker().refused();
                if unusable != self.unusable {
                    self.telemetry.unusable(&unusable);
                    self.unusable = unusable;
                }
            }
            News::Settings(settings) => {
                if self.ready {
                    self.telemetry.requested();
                }
                if let Some(retry_at) = &mut self.timing.retry_at {
                    // They may be the cure.
                    *retry_at = Instant::now();
                }
                let dataplane = M::settings(&settings.resolved, Some(settings.support));
                self.resolved = settings.resolved;
                M::configure(self.syncer.writer(), &self.resolved);
                self.takeover.configure(&self.resolved.modes);
                self.prerequisites.adapt(&self.resolved);
                self.syncer.configure(self.resolved.plan.clone(), dataplane);
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

    /// Goes on with what the last sync left, after all that came meanwhile.
    fn go_on(&mut self) -> Result<(), SyncError> {
        if let Ok(news) = self.inbox.try_recv() {
            self.take(news);
        }
        // Nobody waits for notifications meanwhile.
        self.foreign.unheard |= self.foreign.is_told;
        self.sync(&Cause::Change)
    }

    fn sync(&mut self, cause: &Cause) -> Result<(), SyncError> {
        self.attempt(cause, SyncerOf::<M>::sync).map(drop)
    }

    /// Lets the writer go on with what takes time.
    fn drain(&mut self) -> Result<(), SyncError> {
        match self.syncer.writer().drain() {
            Ok(next) => self.timing.drain_at = after(next),
            Err(error) if error.is_final() => return Err(error.into()),
            Err(error) => {
                tracing::error!("waiting for connections to end failed, trying again: {error}");
                self.timing.drain_later();
            }
        }
        let draining = M::draining(self.syncer.writer());
        self.telemetry.metrics.draining(draining);
        Ok(())
    }

    /// True where nothing waits to be written. What another proxy left may be all that a refused
    /// Service has.
    fn is_right(&self) -> bool {
        !(self.unfinished || self.owes || self.syncer.has_refused() || self.syncer.withholds())
    }

    fn take_over(&mut self) {
        let is_right = self.is_right();
        let cleaner = self.syncer.cleaner();
        let next = self.takeover.go_on(is_right, cleaner, &self.telemetry);
        self.timing.take_over_at = after(next);
    }

    /// Syncs, and tells whoever wants to know. True where something was written. Errors that time
    /// may heal are tried again.
    fn attempt(
        &mut self,
        cause: &Cause,
        sync: impl FnOnce(&mut SyncerOf<M>) -> Result<Report, SyncError>,
    ) -> Result<bool, SyncError> {
        let start = Instant::now();
        self.foreign.attempted();
        self.mode.prepare(self.syncer.dataplane(), cause);
        let (facts, writer) = self.syncer.facts_and_writer();
        M::follow(writer, facts);
        let outcome = sync(&mut self.syncer);
        let took = start.elapsed();
        // Before health checks are opened: it says where.
        self.node_report
            .tell(&self.syncer, &self.resolved, &self.telemetry);
        let later = self.pending.split(|service| self.syncer.owes(service));
        let pending = &mut self.pending;
        let adopted = self.syncer.found();
        let ledger = self.syncer.ledger();
        self.telemetry
            .synced::<M>(cause, took, outcome.as_ref(), adopted, pending, ledger);
        self.pending.join(later);
        let quarantined = self.syncer.quarantined();
        if let Some(new) = news_of(quarantined, &mut self.refused) {
            self.telemetry.quarantined(new, quarantined.len());
        }
        let tracker = self.syncer.tracker();
        let oversized = tracker.oversized();
        if let Some(new) = news_of(oversized, &mut self.oversized) {
            self.telemetry.oversized(new, oversized);
        }
        for conflict in self.syncer.take_conflicts() {
            self.telemetry.lost(&conflict);
            // Sources that have ended have nobody to tell.
            let _ = self.conflicts.send(conflict);
        }
        self.timing.not_before = Instant::now() + self.resolved.sync.min;
        let rest = outcome.as_ref().ok().filter(|report| report.unfinished);
        // Beside who changes our objects nothing goes on without a pause.
        let contended = rest.is_some_and(|report| report.contended);
        self.unfinished = rest.is_some() && !contended;
        let report = match outcome {
            Ok(report) => report,
            Err(SyncError::Write(error)) if error.is_final() => return Err(error.into()),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!("{} failed, trying again: {error:#}", cause.as_str());
                // Nobody knows what a failed sync has left.
                self.timing.failed();
                return Ok(false);
            }
        };
        self.timing.succeeded();
        log(cause.as_str(), &report);
        self.owes = contended;
        self.drain()?;
        if self.is_right() {
            self.take_over();
        }
        Ok(!report.is_empty())
    }
}

/// Those that were not told yet, where others are to be told of than before.
fn news_of<'a, V>(
    all: &'a BTreeMap<ServiceId, V>,
    told: &mut BTreeSet<ServiceId>,
) -> Option<impl Iterator<Item = (&'a ServiceId, &'a V)>> {
    if all.keys().eq(told.iter()) {
        return None;
    }
    let before = std::mem::replace(told, all.keys().cloned().collect());
    Some(all.iter().filter(move |(id, _)| !before.contains(*id)))
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
