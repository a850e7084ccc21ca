//! When TCP frontends are looked at.
//!
//! A SYN needs time for its answer: what is unanswered and leads elsewhere a while after the rules
//! changed was there before them and gets no answer.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use viprule_service::plan::FlowDestination;

/// Why a TCP frontend has to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// It has endpoints now, or another address. Clients were waiting for that.
    Served,
    /// An endpoint is gone, as with every rollout; few clients are left at it.
    Left,
}

/// How long to wait, at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rests {
    /// After a change before a look, and between looks.
    pub(super) answer: Duration,
    /// For more frontends that endpoints leave.
    pub(super) gather: Duration,
}

/// Frontends that wait for a look.
#[derive(Debug, Default)]
pub(super) struct Resting {
    /// After a start all of a cluster's are in here. Unlike the nodes of a tree, a table's memory is
    /// given back whole.
    frontends: HashMap<FlowDestination, Rest>,
    /// When the last look ended.
    looked: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    /// Earlier looks would meet SYNs whose answer is on its way.
    earliest: Instant,
    /// Later ones keep clients waiting.
    due: Instant,
}

impl Resting {
    /// The frontend changed. One that keeps changing waits until it rests.
    pub(super) fn changed(
        &mut self,
        frontend: FlowDestination,
        change: Change,
        rests: Rests,
        now: Instant,
    ) {
        let earliest = after(now, rests.answer);
        let due = match change {
            Change::Served => earliest,
            Change::Left => after(now, rests.gather),
        };
        let rest = self.frontends.entry(frontend);
        let rest = rest.or_insert(Rest { earliest, due });
        rest.earliest = earliest;
        rest.due = rest.due.min(due).max(earliest);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frontends.is_empty()
    }

    /// When the next look is to begin; `None` where nothing waits.
    pub(super) fn due(&self, rests: Rests) -> Option<Instant> {
        let due = self.frontends.values().map(|rest| rest.due).min()?;
        let paused = self.looked.map(|looked| after(looked, rests.answer));
        Some(paused.map_or(due, |paused| paused.max(due)))
    }

    /// All that has rested, due or not: they take one look.
    pub(super) fn take(&mut self, now: Instant) -> BTreeSet<FlowDestination> {
        let mut taken = BTreeSet::new();
        self.frontends.retain(|frontend, rest| {
            let rested = rest.earliest <= now;
            if rested {
                taken.insert(*frontend);
            }
            !rested
        });
        self.frontends.shrink_to_fit();
        taken
    }

    /// The look is over.
    pub(super) fn end(&mut self, now: Instant) {
        self.looked = Some(now);
    }
}

/// Times without end are those of tests.
fn after(now: Instant, wait: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(1 << 30);
    now + wait.min(LONG)
}

#[cfg(test)]
mod tests {
    use viprule_service::model::Protocol;
    use viprule_service::plan::FlowPlace;

    use super::*;

    const RESTS: Rests = Rests {
        answer: Duration::from_secs(1),
        gather: Duration::from_secs(5),
    };

    fn frontend(last: u8) -> FlowDestination {
        FlowPlace::at(([10, 1, 0, last], 80).into()).over(Protocol::Tcp)
    }

    /// Frontends that changed in this order, and a clock in milliseconds.
    fn changed(changes: &[(u8, Change, u64)]) -> (Resting, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        let at = move |millis| start + Duration::from_millis(millis);
        let mut resting = Resting::default();
        for (last, change, millis) in changes {
            resting.changed(frontend(*last), *change, RESTS, at(*millis));
        }
        (resting, at)
    }

    #[test]
    fn clients_that_wait_for_a_service_are_freed_before_those_of_an_endpoint_that_left() {
        let (resting, at) = changed(&[(1, Change::Left, 0)]);
        assert_eq!(resting.due(RESTS), Some(at(5000)));
        let (resting, at) = changed(&[(1, Change::Left, 0), (2, Change::Served, 100)]);
        assert_eq!(resting.due(RESTS), Some(at(1100)));
    }

    #[test]
    fn one_look_is_for_all_that_rested() {
        let (mut resting, at) = changed(&[
            (1, Change::Served, 0),
            (2, Change::Left, 0),
            (3, Change::Served, 500),
        ]);
        assert_eq!(resting.take(at(1000)), [1, 2].map(frontend).into());
        resting.end(at(1200));
        assert_eq!(resting.due(RESTS), Some(at(2200)), "a pause after the look");
        assert_eq!(resting.take(at(2200)), [frontend(3)].into());
        assert!(resting.is_empty() && resting.due(RESTS).is_none());
    }

    #[test]
    fn a_frontend_that_changes_again_rests_again() {
        let (mut resting, at) = changed(&[(1, Change::Served, 0), (1, Change::Left, 900)]);
        assert_eq!(resting.due(RESTS), Some(at(1900)));
        assert_eq!(resting.take(at(1899)), BTreeSet::new());
        assert_eq!(resting.take(at(1900)), [frontend(1)].into());
    }
}
