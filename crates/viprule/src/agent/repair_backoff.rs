//! Another program that undoes every repair at once.

use std::time::Duration;

use tokio::time::Instant;

/// Repairs that follow each other this fast belong together.
const WINDOW: Duration = Duration::from_secs(1);
/// Repairs in a row before they are slowed down.
const FREE: u32 = 10;
/// How long to leave the kernel alone then, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Slows repairs down where somebody fights back, so that nobody burns a processor over it.
#[derive(Debug, Default)]
pub(super) struct RepairBackoff {
    repairs: u32,
    /// No repair before this.
    not_before: Option<Instant>,
}

impl RepairBackoff {
    /// A repair was made. Returns how long to wait with the next one, where it is time to wait.
    pub(super) fn repaired(&mut self, now: Instant) -> Option<Duration> {
        let calm = self
            .not_before
            .is_none_or(|at| now.saturating_duration_since(at) > WINDOW);
        self.repairs = if calm {
            1
        } else {
            self.repairs.saturating_add(1)
        };
        let pause = self.repairs.checked_sub(FREE + 1).map(|excess| {
            let factor = 1 << excess.min(16);
            (PAUSE.0 * factor).min(PAUSE.1)
        });
        self.not_before = Some(now + pause.unwrap_or_default());
        pause
    }

    /// True while the kernel is to be left alone.
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|at| now < at)
    }

    /// When the next repair may be made; `None` for at once.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_few_repairs_in_a_row_are_made_at_once() {
        let (mut repair_backoff, mut now) = (RepairBackoff::default(), Instant::now());
        for _ in 0..FREE {
            assert_eq!(repair_backoff.repaired(now), None);
            now += 10 * MS;
        }
        assert_eq!(repair_backoff.repaired(now), Some(250 * MS));
    }

    #[test]
    fn pauses_grow_up_to_their_limit() {
        let (mut repair_backoff, mut now) = (RepairBackoff::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..FREE + 40 {
            let pause = repair_backoff.repaired(now).unwrap_or_default();
            now += pause + MS;
            pauses.push(pause);
        }
        assert!(pauses.is_sorted());
        assert_eq!(
            pauses[FREE as usize..][..3],
            [250 * MS, 500 * MS, 1000 * MS]
        );
        assert_eq!(pauses.last(), Some(&PAUSE.1));
    }

    #[test]
    fn who_pauses_is_not_fought() {
        let (mut repair_backoff, mut now) = (RepairBackoff::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(repair_backoff.repaired(now), None);
            now += WINDOW + MS;
        }
    }
}
