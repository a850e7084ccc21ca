//! Numbers of rules and elements.

use std::ops::{AddAssign, SubAssign};

use super::key::{Key, Object};
use crate::family::index;

/// Rules and elements by IP family, for metrics: IPv4, IPv6.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ObjectCounts {
    /// Rules of chains.
    pub rules: [u32; 2],
    /// Elements of sets and maps.
    pub elements: [u32; 2],
}

impl ObjectCounts {
    pub(super) fn of(key: &Key, object: &Object) -> Self {
        let mut counts = Self::default();
        let family = index(key.family());
        counts.rules[family] = u32::try_from(object.rules().len()).unwrap_or(u32::MAX);
        counts.elements[family] = u32::from(matches!(key, Key::Element(_)));
        counts
    }
}

impl AddAssign for ObjectCounts {
    fn add_assign(&mut self, other: Self) {
        for family in 0..2 {
            self.rules[family] += other.rules[family];
            self.elements[family] += other.elements[family];
        }
    }
}

impl SubAssign for ObjectCounts {
    /// What is taken away was added before.
    fn sub_assign(&mut self, other: Self) {
        for family in 0..2 {
            self.rules[family] -= other.rules[family];
            self.elements[family] -= other.elements[family];
        }
    }
}
