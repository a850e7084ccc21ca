//! Numbers of rules.

use std::ops::{AddAssign, SubAssign};

use super::key::{Key, Kind, Object};
use crate::family::index;

/// Rules by table and IP family, as metrics tell them (contract 7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// In `filter`: IPv4, IPv6.
    pub filter: [u32; 2],
    /// In `nat`: IPv4, IPv6.
    pub nat: [u32; 2],
}

impl RuleCounts {
    /// An object's rules, less those in built-in chains: kube-proxy does not count them.
    pub(crate) fn of(key: &Key, object: &Object) -> Self {
        let mut counts = Self::default();
        let rules = u32::try_from(object.rules().len()).unwrap_or(u32::MAX);
        let family = index(key.table().family);
        match (key, key.table().kind) {
            (Key::Jump { .. }, _) | (_, Kind::Mangle) => {}
            (_, Kind::Filter) => counts.filter[family] = rules,
            (_, Kind::Nat) => counts.nat[family] = rules,
        }
        counts
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
