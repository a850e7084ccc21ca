//! The sync loop: when to write and when to look.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, Instant, MissedTickBehavior};
use viprule_dataplane::Scope;
use viprule_dataplane::iptables::Iptables;
use viprule_service::model::Event;
use viprule_service::tracker::Conflict;
use viprule_writer::iptables::IptablesWriter;
use viprule_writer::{WriteError, Writer as _};

use super::rival::Rival;
use super::{Report, SyncError, Syncer};

/// How long to wait before trying again after an error, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// What sources tell the sync loop.
#[derive(Debug)]
pub(super) enum News {
    /// Something happened.
    Events(Vec<Event>),
    /// All that exists has been told: the first sync may begin.
    Complete,
}

/// Owns the plans and the kernel.
#[derive(Debug)]
pub(super) struct Keeper {
    syncer: Syncer<Iptables, IptablesWriter>,
    inbox: mpsc::UnboundedReceiver<News>,
    conflicts: mpsc::UnboundedSender<Conflict>,
    sync_period: Duration,
    min_sync_period: Duration,
    /// No sync of changes before this.
    not_before: Instant,
    /// When everything is looked at again because an attempt failed. Nothing is done before.
    retry_at: Option<Instant>,
    backoff: Duration,
    rival: Rival,
}

impl Keeper {
    /// Nothing is written before [`News::Complete`]. Conflicts between Services go to
    /// `conflicts`, to be told by whoever knows where the Services come from.
    pub(super) fn new(
        syncer: Syncer<Iptables, IptablesWriter>,
        inbox: mpsc::UnboundedReceiver<News>,
        conflicts: mpsc::UnboundedSender<Conflict>,
        sync_period: Duration,
        min_sync_period: Duration,
    ) -> Self {
        Self {
            syncer,
            inbox,
            conflicts,
            sync_period,
            min_sync_period,
            not_before: Instant::now(),
            retry_at: None,
            backoff: BACKOFF.0,
            rival: Rival::default(),
        }
    }

    /// Runs until told to stop, or until the sources or the kernel's permissions are gone.
    pub(super) async fn keep(mut self, mut stopped: oneshot::Receiver<()>) -> anyhow::Result<()> {
        tokio::select! {
            _ = &mut stopped => return Ok(()),
            complete = self.wait_for_everything() => if !complete { return Ok(()) },
        }
        let notifications = self.syncer.writer().notifications();
        let descriptor = readable(notifications.as_fd().try_clone_to_owned()?)?;
        let mut timer = time::interval(self.sync_period);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.look("first sync")?;
        loop {
            let (not_before, retry_at) = (self.not_before, self.retry_at);
            let repair_at = self.rival.not_before();
            let news = async {
                time::sleep_until(not_before).await;
                self.inbox.recv().await
            };
            let foreign = async {
                wait_for(repair_at).await;
                descriptor.readable().await
            };
            let retry = wait_for(retry_at);
            tokio::select! {
                biased;
                _ = &mut stopped => return Ok(()),
                () = retry, if retry_at.is_some() => self.look("retry")?,
                news = news, if retry_at.is_none() => {
                    let Some(news) = news else { return Ok(()) };
                    self.take(news);
                    self.sync()?;
                }
                ready = foreign, if retry_at.is_none() => {
                    ready?.clear_ready();
                    self.repair()?;
                }
                _ = timer.tick(), if retry_at.is_none() => self.check()?,
            }
        }
    }

    /// False where the sources ended before.
    async fn wait_for_everything(&mut self) -> bool {
        while let Some(news) = self.inbox.recv().await {
            match news {
                News::Events(events) => {
                    for event in events {
                        self.syncer.apply(event);
                    }
                }
                News::Complete => return true,
            }
        }
        false
    }

    /// Takes this news and all that arrived while the kernel was busy.
    fn take(&mut self, first: News) {
        let mut next = Some(first);
        while let Some(news) = next {
            if let News::Events(events) = news {
                for event in events {
                    self.syncer.apply(event);
                }
            }
            next = self.inbox.try_recv().ok();
        }
    }

    /// Looks at everything and puts it right.
    fn look(&mut self, why: &'static str) -> Result<(), SyncError> {
        let outcome = self.syncer.reconcile(Scope::Everything);
        self.conclude(why, outcome)
    }

    fn sync(&mut self) -> Result<(), SyncError> {
        let outcome = self.syncer.sync();
        self.conclude("changed", outcome)
    }

    /// Puts right what somebody else changed.
    fn repair(&mut self) -> Result<(), SyncError> {
        let changes = match self.syncer.writer().foreign_changes() {
            Ok(changes) => changes,
            Err(error) => return self.conclude("repair", Err(error.into())),
        };
        if changes.scope.is_empty() {
            return Ok(());
        }
        let outcome = self.syncer.reconcile(changes.scope);
        if let Ok(report) = &outcome
            && !report.is_empty()
        {
            let by = changes.by.join(", ");
            tracing::warn!(by, "another program changed our rules");
            if let Some(pause) = self.rival.repaired(Instant::now()) {
                tracing::error!(
                    by,
                    ?pause,
                    "another program keeps changing our rules, waiting before the next repair; \
                     look for a second service proxy on this node"
                );
            }
        }
        self.conclude("repair", outcome)
    }

    /// The timer: nothing is read as long as the kernel says that nobody has changed anything.
    fn check(&mut self) -> Result<(), SyncError> {
        self.repair()?;
        if self.syncer.has_refused() {
            self.syncer.release_refused();
            return self.sync();
        }
        Ok(())
    }

    /// Logs an outcome. Errors that time may heal are tried again.
    fn conclude(
        &mut self,
        what: &'static str,
        outcome: Result<Report, SyncError>,
    ) -> Result<(), SyncError> {
        self.not_before = Instant::now() + self.min_sync_period;
        self.retry_at = None;
        for conflict in self.syncer.take_conflicts() {
            // Sources that have ended have nobody to tell.
            let _ = self.conflicts.send(conflict);
        }
        match outcome {
            Ok(report) => {
                self.backoff = BACKOFF.0;
                log(what, &report);
                Ok(())
            }
            Err(
                error
                @ SyncError::Write(WriteError::Permission { .. } | WriteError::Missing { .. }),
            ) => Err(error),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!("{what} failed, trying again: {error:#}");
                // What a failed sync has left is in nobody's books.
                self.retry_at = Some(Instant::now() + self.backoff);
                self.backoff = (self.backoff * 2).min(BACKOFF.1);
                Ok(())
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

#[expect(
    deprecated,
    reason = "the other constructor is unsafe; an owned descriptor is sound here"
)]
fn readable(descriptor: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

fn log(what: &str, report: &Report) {
    /// Shares named in one line.
    const NAMED: usize = 5;
    if report.is_empty() {
        tracing::debug!("{what}: nothing to write");
        return;
    }
    let mut shares: Vec<&str> = report
        .touched
        .iter()
        .take(NAMED)
        .map(|touched| touched.share.as_str())
        .collect();
    let more = report.touched.len().saturating_sub(NAMED);
    let more = format!("{more} more");
    if report.touched.len() > NAMED {
        shares.push(&more);
    }
    tracing::info!(
        created = report.created,
        replaced = report.replaced,
        removed = report.removed,
        transactions = report.transactions,
        "{what}: {}",
        shares.join(", ")
    );
}
