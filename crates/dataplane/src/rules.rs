//! Numbers of rules.

use std::ops::{AddAssign, SubAssign};

/// Rules by table and IP family, as metrics tell them (contract 7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// In `filter`: IPv4, IPv6.
    pub filter: [u32; 2],
    /// In `nat`: IPv4, IPv6.
    pub nat: [u32; 2],
}

impl RuleCounts {
    /// All of them.
    pub fn total(&self) -> usize {
        let all = self.filter.iter().chain(&self.nat);
        all.map(|count| *count as usize).sum()
    }
}

impl AddAssign for RuleCounts {
    fn add_assign(&mut self, other: Self) {
        for family in 0..2 {
            self.filter[family] += other.filter[family];
            self.nat[family] += other.nat[family];
        }
    }
}

impl SubAssign for RuleCounts {
    /// What is taken away was added before.
    fn sub_assign(&mut self, other: Self) {
        for family in 0..2 {
            self.filter[family] -= other.filter[family];
            self.nat[family] -= other.nat[family];
        }
    }
}

impl std::iter::Sum for RuleCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, next| {
            sum += next;
            sum
        })
    }
}
