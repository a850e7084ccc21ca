//! When to look at the table: the first change is looked at at once, those that follow together.

use std::time::{Duration, Instant};

/// How soon a look follows a change.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The first change that no look has begun for.
    since: Option<Instant>,
    /// The end of the last look.
    looked: Option<Instant>,
}

impl Pace {
    /// Something has to be looked at. Returns true where nothing had before.
    pub(super) fn changed(&mut self, now: Instant) -> bool {
        let first = self.since.is_none();
        self.since.get_or_insert(now);
        first
    }

    /// A look at all that changed so far begins.
    pub(super) fn begin(&mut self) {
        self.since = None;
    }

    /// It is over.
    pub(super) fn end(&mut self, now: Instant) {
        self.looked = Some(now);
    }

    /// When the next look is to begin, with so much time between looks; `None` where nothing
    /// changed, or for a time without end.
    ///
    /// That is never later than `pause` after the change, and so never sooner than `pause` after
    /// the beginning of the last look.
    pub(super) fn due(&self, pause: Duration) -> Option<Instant> {
        let since = self.since?;
        let Some(looked) = self.looked else {
            return Some(since);
        };
        let rested = looked.min(since).checked_add(pause)?;
        Some(rested.max(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    /// When a look is due for a change at `changed`, after a look from 0 to `looked`; in
    /// milliseconds.
    fn due(looked: u64, changed: u64) -> u64 {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::default();
        pace.changed(start);
        pace.begin();
        assert_eq!(pace.due(PAUSE), None, "nothing waits");
        // A change may come before the look's end.
        if changed < looked {
            pace.changed(at(changed));
            pace.end(at(looked));
        } else {
            pace.end(at(looked));
            pace.changed(at(changed));
        }
        assert!(!pace.changed(at(changed + 1)), "one look for both");
        let due = pace.due(PAUSE).unwrap();
        u64::try_from((due - start).as_millis()).unwrap()
    }

    #[test]
    fn the_first_change_is_looked_at_at_once() {
        let mut pace = Pace::default();
        let now = Instant::now();
        assert!(pace.changed(now));
        assert_eq!(pace.due(PAUSE), Some(now));
        assert_eq!(due(200, 1200), 1200, "and one after a pause");
        assert_eq!(due(200, 5000), 5000);
    }

    #[test]
    fn looks_pause_but_no_change_waits_for_longer_than_a_pause() {
        assert_eq!(due(200, 300), 1200, "a pause from one look to the next");
        assert_eq!(due(200, 100), 1100, "a pause after the change");
        assert_eq!(due(3000, 100), 1100, "at once when the long look ends");
    }
}
