//! Decisions by numbers.

use std::slice::Iter;

/// Takes decisions, the plainest one where the numbers are used up.
#[derive(Debug)]
pub(super) struct Choice<'s>(Iter<'s, u32>);

impl<'s> Choice<'s> {
    pub(super) fn new(seed: &'s [u32]) -> Self {
        Self(seed.iter())
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        self.0.next().map_or(0, |number| number % limit)
    }

    /// One of these; the first is the plainest.
    pub(super) fn of<T, const N: usize>(&mut self, options: [T; N]) -> T {
        let chosen = self.below(u32::try_from(N).unwrap_or(u32::MAX)) as usize;
        options.into_iter().nth(chosen).expect("one of them")
    }

    /// True once in four times.
    pub(super) fn rarely(&mut self) -> bool {
        self.below(4) == 3
    }
}
