//! Points in time that can be compared and shown.

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use tokio::time;

/// A point in time: what was waited is told by the monotonic clock, which nobody sets; what is
/// shown is the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    monotonic: Instant,
    time: SystemTime,
}

/// Where handlers take the time from.
pub type Clock = fn() -> Moment;

impl Moment {
    /// The present.
    pub fn now() -> Self {
        Self {
            // The clock that waits are told by, also where a test makes the time.
            monotonic: time::Instant::now().into_std(),
            time: SystemTime::now(),
        }
    }

    /// A moment on both clocks.
    pub const fn new(monotonic: Instant, time: SystemTime) -> Self {
        Self { monotonic, time }
    }

    /// The time that passed since an earlier moment; zero for a later one.
    pub fn since(&self, earlier: &Self) -> Duration {
        self.monotonic.saturating_duration_since(earlier.monotonic)
    }

    /// The moment that came this much before.
    #[must_use]
    pub fn earlier(&self, duration: Duration) -> Self {
        let monotonic = self.monotonic.checked_sub(duration);
        let time = self.time.checked_sub(duration);
        // No clock reaches back that far: then it is as if nothing had passed.
        Self::new(
            monotonic.unwrap_or(self.monotonic),
            time.unwrap_or(self.time),
        )
    }

    /// True where this is after the other.
    pub fn is_after(&self, other: &Self) -> bool {
        self.monotonic > other.monotonic
    }

    /// As Go's `RFC3339Nano` has it: UTC, without trailing zeros.
    pub(super) fn rfc3339(&self) -> String {
        Timestamp::try_from(self.time).map_or_else(|_| NEVER.to_owned(), |time| time.to_string())
    }
}

/// Go's zero time, which kube-proxy shows for what has not happened yet.
pub(super) const NEVER: &str = "0001-01-01T00:00:00Z";

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self::new(self.monotonic + duration, self.time + duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_go_shows_them() {
        let at = |nanos| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
            Moment::new(Instant::now(), time).rfc3339()
        };
        let second = 1_763_871_558_000_000_000;
        assert_eq!(at(second), "2025-11-23T04:19:18Z");
        assert_eq!(at(second + 938_191_775), "2025-11-23T04:19:18.938191775Z");
        assert_eq!(at(second + 500_000_000), "2025-11-23T04:19:18.5Z");
        assert_eq!(at(second + 10), "2025-11-23T04:19:18.00000001Z");
    }
}
