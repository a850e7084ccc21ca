//! When to do what next.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::task::Poll;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{self, Instant, MissedTickBehavior};

use crate::agent::repair_backoff::RepairBackoff;

/// How long to wait before trying again after an error, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// When to do what next.
#[derive(Debug)]
pub(in crate::agent) struct Timing {
    /// No sync of changes before this.
    pub(super) not_before: Instant,
    /// When everything is looked at again because an attempt failed. Nothing is done before.
    pub(super) retry_at: Option<Instant>,
    backoff: Duration,
    pub(super) repair_backoff: RepairBackoff,
    /// When the writer wants to go on with what takes time.
    pub(super) drain_at: Option<Instant>,
    /// When to go on with what another proxy left.
    pub(super) take_over_at: Option<Instant>,
}

impl Timing {
    pub(in crate::agent) fn new() -> Self {
        Self {
            not_before: Instant::now(),
            retry_at: None,
            backoff: BACKOFF.0,
            repair_backoff: RepairBackoff::default(),
            drain_at: None,
            take_over_at: None,
        }
    }

    /// An attempt ended well.
    pub(super) fn succeeded(&mut self) {
        self.retry_at = None;
        self.backoff = BACKOFF.0;
    }

    /// An attempt failed: the next one waits longer each time.
    pub(super) fn failed(&mut self) {
        self.retry_at = Some(Instant::now() + self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }

    /// What the writer goes on with failed.
    pub(super) fn drain_later(&mut self) {
        self.drain_at = Some(Instant::now() + BACKOFF.1);
    }
}

/// At once without a time.
pub(super) async fn wait_for(time: Option<Instant>) {
    if let Some(time) = time {
        time::sleep_until(time).await;
    }
}

/// When that is over, from now on.
pub(super) fn after(wait: Option<Duration>) -> Option<Instant> {
    wait.map(|wait| Instant::now() + wait)
}

/// Ticks as often, for the first time after the first period.
pub(super) fn timer(period: Duration) -> time::Interval {
    let mut timer = time::interval_at(Instant::now() + period, period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

/// Sockets that tell of foreign changes.
#[derive(Debug)]
pub(super) struct Notifications(Vec<AsyncFd<OwnedFd>>);

impl Notifications {
    pub(super) fn of(descriptors: Vec<BorrowedFd<'_>>) -> io::Result<Self> {
        let descriptors = descriptors.into_iter();
        let descriptors = descriptors.map(|it| readable(it.try_clone_to_owned()?));
        descriptors.collect::<io::Result<_>>().map(Self)
    }

    /// True where nobody tells.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends when one of them has something to tell; never where there are none.
    pub(super) async fn arrive(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            let mut outcome = Poll::Pending;
            for descriptor in &self.0 {
                if let Poll::Ready(ready) = descriptor.poll_read_ready(cx) {
                    ready?.clear_ready();
                    outcome = Poll::Ready(Ok(()));
                }
            }
            outcome
        })
        .await
    }
}

#[expect(
    deprecated,
    reason = "the other constructor is unsafe; an owned descriptor is sound here"
)]
fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use viprule_testkit::LIMIT;

    use super::*;

    #[tokio::test]
    async fn any_socket_tells() {
        let (mut ends, mut sockets) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (end, socket) = UnixStream::pair().unwrap();
            socket.set_nonblocking(true).unwrap();
            sockets.push(readable(socket.into()).unwrap());
            ends.push(end);
        }
        let notifications = Notifications(sockets);
        let within = |wait| time::timeout(wait, notifications.arrive());
        assert!(within(Duration::from_millis(20)).await.is_err());
        for end in &mut ends {
            end.write_all(b"!").unwrap();
            within(LIMIT).await.unwrap().unwrap();
        }
        assert!(
            time::timeout(
                Duration::from_millis(20),
                Notifications(Vec::new()).arrive()
            )
            .await
            .is_err()
        );
    }
}
