//! Chance, so that many nodes do not ask one server at the same moment.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// `SplitMix64` goes on by so much.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Numbers that nobody expects, or, from a seed, the same ones in each run.
#[derive(Debug, Clone, Default)]
pub(super) struct Chance(Option<Arc<AtomicU64>>);

impl Chance {
    /// The same numbers for the same seed; clones go on with one sequence.
    pub(super) fn of(seed: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(seed))))
    }

    /// Any number.
    pub(super) fn number(&self) -> u64 {
        let Some(state) = &self.0 else {
            // The standard library's only source of chance.
            return RandomState::new().build_hasher().finish();
        };
        let mut number = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ (number >> 31)
    }

    /// Waits between attempts, each with up to as much again, without an end.
    pub(super) fn waits(&self, waits: ExponentialBuilder) -> ExponentialBackoff {
        waits
            .with_jitter()
            .with_jitter_seed(self.number())
            .without_max_times()
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers() {
        let numbers = |chance: &Chance| [chance.number(), chance.number(), chance.number()];
        assert_eq!(numbers(&Chance::of(7)), numbers(&Chance::of(7)));
        assert_ne!(numbers(&Chance::of(7)), numbers(&Chance::of(8)));
        let [first, second, third] = numbers(&Chance::default());
        assert!(first != second && second != third);
    }
}
