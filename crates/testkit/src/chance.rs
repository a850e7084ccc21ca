//! Chance from a seed: the same choices in every run.

use std::ops::Range;

/// Choices that follow from a seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The choices of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Choices that do not depend on how many are made here from now on.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.number())
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ (number >> 31)
    }

    /// A number of the range; its start where it is empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        let span = range.end.saturating_sub(range.start).max(1);
        range.start + self.number() % span
    }

    /// An index below this; 0 for 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.within(0..end as u64)).unwrap_or_default()
    }

    /// True so many times in a thousand.
    pub fn per_mille(&mut self, times: u32) -> bool {
        self.within(0..1000) < u64::from(times)
    }

    /// One of them; none of none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_choices() {
        let choices = |seed| {
            let mut chance = Chance::new(seed);
            [chance.number(), chance.within(3..9), chance.fork().number()]
        };
        assert_eq!(choices(1), choices(1));
        assert_ne!(choices(1), choices(2));
    }

    #[test]
    fn choices_stay_within_bounds() {
        let mut chance = Chance::new(3);
        for _ in 0..1000 {
            assert!((5..9).contains(&chance.within(5..9)));
            assert!(chance.below(3) < 3);
        }
        assert_eq!((chance.within(4..4), chance.below(0)), (4, 0));
        assert_eq!(chance.pick::<u8>(&[]), None);
        let often = (0..1000).filter(|_| chance.per_mille(100)).count();
        assert!((50..200).contains(&often), "{often}");
    }
}
