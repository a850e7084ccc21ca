//! Which destinations are draining, and when to look at them.
//!
//! A destination that nobody wants any more is at weight 0 in the kernel until its connections
//! have ended or its time is up. The kernel's state is all there is to it: after a restart the
//! destinations at weight 0 are found again, with the [`Stamp`] of when they began.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ipvs_netlink::{DestinationId, ServerId};

use crate::clock;

/// When a virtual server is looked at after one of its destinations began to drain. Each later
/// pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Looks that are due within this time are done together.
const SLACK: Duration = Duration::from_millis(100);

/// When a destination began to drain: seconds since the machine started, rounded up.
///
/// It is the destination's upper threshold. That says how many connections keep new ones away, which
/// at weight 0 means nothing; it lives as long as the destination does, and no longer. The kernel's
/// clock is the same for every process, and nobody sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(u32);

impl Stamp {
    /// Now. `None` where the kernel does not tell.
    pub(super) fn now() -> Option<Self> {
        clock::uptime()?.checked_add(1).map(Self)
    }

    /// Reads it from an upper threshold; none where that is 0, or later than `now`: a limit that
    /// somebody else has set.
    fn read(threshold: u32, now: Self) -> Option<Self> {
        (1..=now.0).contains(&threshold).then_some(Self(threshold))
    }

    /// As an upper threshold.
    pub(super) const fn threshold(self) -> u32 {
        self.0
    }

    /// How long before `now` that was, at least.
    fn before(self, now: Self) -> Duration {
        Duration::from_secs(now.0.saturating_sub(self.0.saturating_add(1)).into())
    }
}

/// What the kernel tells about a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its weight.
    pub(super) weight: u32,
    /// Its connections, active and inactive ones.
    pub(super) connections: u32,
    /// Its upper threshold, where that was asked for.
    pub(super) threshold: Option<u32>,
}

impl Seen {
    /// True where removing it harms nobody: nothing new comes and nothing is left.
    pub(super) const fn is_idle(self) -> bool {
        self.weight == 0 && self.connections == 0
    }
}

/// The destinations that drain.
#[derive(Debug)]
pub(super) struct Drain {
    limit: Option<Duration>,
    servers: BTreeMap<ServerId, Draining>,
}

#[derive(Debug)]
struct Draining {
    since: BTreeMap<DestinationId, Since>,
    pause: Duration,
    next: Instant,
}

/// When a destination began to drain.
#[derive(Debug, Clone, Copy)]
struct Since {
    at: Instant,
    /// The kernel has it too.
    stamped: bool,
}

/// What is to be done about draining destinations.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// No connection uses them, or their time is up.
    pub(super) removable: Vec<DestinationId>,
    /// The kernel has still to hear when they began.
    pub(super) unstamped: Vec<DestinationId>,
}

impl Drain {
    /// Nothing drains. A destination has `limit` to do so, without end where there is none.
    pub(super) const fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            servers: BTreeMap::new(),
        }
    }

    /// Sets how long a destination may drain, also for those that do already.
    pub(super) fn set_limit(&mut self, limit: Option<Duration>, now: Instant) {
        self.limit = limit;
        for draining in self.servers.values_mut() {
            draining.pause = FIRST_PAUSE;
            draining.next = now;
        }
    }

    /// How many destinations drain.
    pub(super) fn len(&self) -> usize {
        self.servers.values().map(|it| it.since.len()).sum()
    }

    /// Notes a destination that was given weight 0 and has connections. One that is noted already
    /// keeps its time.
    pub(super) fn begin(&mut self, server: ServerId, destination: DestinationId, now: Instant) {
        self.note(server, destination, now, FIRST_PAUSE);
        self.stamped(&server, &destination);
    }

    /// The kernel has been told when a destination began to drain.
    pub(super) fn stamped(&mut self, server: &ServerId, destination: &DestinationId) {
        let draining = self.servers.get_mut(server);
        if let Some(since) = draining.and_then(|it| it.since.get_mut(destination)) {
            since.stamped = true;
        }
    }

    /// True where it is not known since when some destination of a virtual server drains.
    pub(super) fn is_unsure(&self, server: &ServerId) -> bool {
        let draining = self.servers.get(server);
        draining.is_some_and(|it| it.since.values().any(|since| !since.stamped))
    }

    /// Notes a destination at weight 0, to be looked at after `pause`.
    fn note(
        &mut self,
        server: ServerId,
        destination: DestinationId,
        now: Instant,
        pause: Duration,
    ) {
        let draining = self.servers.entry(server).or_insert_with(|| Draining {
            since: BTreeMap::new(),
            pause: FIRST_PAUSE,
            next: now + pause,
        });
        let mut new = false;
        let since = *draining.since.entry(destination).or_insert_with(|| {
            new = true;
            Since {
                at: now,
                stamped: false,
            }
        });
        if new {
            draining.pause = FIRST_PAUSE;
            let end = self.limit.map_or(now + pause, |limit| since.at + limit);
            draining.next = draining.next.min(now + pause).min(end);
        }
    }

    /// True for a destination that drains.
    pub(super) fn contains(&self, server: &ServerId, destination: &DestinationId) -> bool {
        self.servers
            .get(server)
            .is_some_and(|it| it.since.contains_key(destination))
    }

    /// True where a destination of this virtual server drains.
    pub(super) fn has_server(&self, server: &ServerId) -> bool {
        self.servers.contains_key(server)
    }

    /// A destination is wanted again, or gone.
    pub(super) fn end(&mut self, server: &ServerId, destination: &DestinationId) {
        if let Some(draining) = self.servers.get_mut(server) {
            draining.since.remove(destination);
            if draining.since.is_empty() {
                self.servers.remove(server);
            }
        }
    }

    /// A virtual server is gone with its destinations.
    pub(super) fn end_server(&mut self, server: &ServerId) {
        self.servers.remove(server);
    }

    /// Takes a look at all virtual servers over: `at_zero` are the destinations at weight 0, in
    /// order. Others drain no more. New ones, whose connections nobody has looked at, are looked at
    /// at once.
    pub(super) fn found(&mut self, at_zero: &[(ServerId, DestinationId)], now: Instant) {
        debug_assert!(at_zero.is_sorted(), "looked up by halves");
        self.servers.retain(|server, draining| {
            draining
                .since
                .retain(|id, _| at_zero.binary_search(&(*server, *id)).is_ok());
            !draining.since.is_empty()
        });
        for (server, destination) in at_zero {
            self.note(*server, *destination, now, Duration::ZERO);
        }
    }

    /// The virtual servers to look at now.
    pub(super) fn due(&self, now: Instant) -> Vec<ServerId> {
        let due = self.servers.iter().filter(|(_, it)| it.next <= now + SLACK);
        due.map(|(server, _)| *server).collect()
    }

    /// Judges the draining destinations of a virtual server by what the kernel tells of them. What is
    /// gone, or was given a weight by somebody else, is forgotten. `stamp` is the time as the kernel
    /// has it.
    pub(super) fn judge(
        &mut self,
        server: &ServerId,
        (now, stamp): (Instant, Option<Stamp>),
        seen: impl Fn(&DestinationId) -> Option<Seen>,
    ) -> Judged {
        let mut judged = Judged::default();
        let Some(draining) = self.servers.get_mut(server) else {
            return judged;
        };
        let limit = self.limit;
        draining.since.retain(|id, since| match seen(id) {
            Some(it) if it.weight == 0 => {
                if !since.stamped
                    && let Some((threshold, stamp)) = it.threshold.zip(stamp)
                {
                    if let Some(began) = Stamp::read(threshold, stamp) {
                        let began = now.checked_sub(began.before(stamp));
                        since.at = began.unwrap_or(since.at).min(since.at);
                        since.stamped = true;
                    } else {
                        judged.unstamped.push(*id);
                    }
                }
                let late = limit.is_some_and(|limit| now >= since.at + limit);
                if it.is_idle() || late {
                    judged.removable.push(*id);
                }
                true
            }
            _ => false,
        });
        if draining.since.is_empty() {
            self.servers.remove(server);
            return judged;
        }
        draining.next = now + draining.pause;
        draining.pause = (draining.pause * 2).min(LONGEST_PAUSE);
        let first = draining.since.values().map(|it| it.at).min();
        if let Some(end) = limit.zip(first).map(|(limit, first)| first + limit)
            && end > now
        {
            draining.next = draining.next.min(end);
        }
        judged
    }

    /// How long nothing is to be done.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        let next = self.servers.values().map(|it| it.next).min();
        next.map(|next| next.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests;
