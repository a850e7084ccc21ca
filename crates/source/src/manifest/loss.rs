//! What files don't hold any more.

use std::collections::BTreeMap;

use super::object::{Key, Kind, Place};
use super::resolve::Resolution;
use super::state::File;
use crate::doubt::is_most;

/// Services and slices that are in no file any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Of the Services.
    pub services: Share,
    /// Of the slices, and of the `Endpoints` that are mirrored to slices.
    pub slices: Share,
}

/// How much of what was known is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Objects that are in no file any more.
    pub missing: usize,
    /// Objects that were known, those among them.
    pub known: usize,
    /// Objects that are in files now, new ones among them.
    pub left: usize,
}

impl Share {
    /// More than half of at least ten are missing, or nothing is left.
    pub fn is_most(&self) -> bool {
        let Self {
            missing,
            known,
            left,
        } = *self;
        is_most(missing, known) || missing > 0 && left == 0
    }
}

impl Loss {
    /// None where nothing is missing.
    pub(super) fn of(
        resolution: &Resolution,
        files: &[File],
        published: &BTreeMap<Key, Place>,
    ) -> Option<Self> {
        let is_namespaced = |key: &&Key| key.kind.is_namespaced();
        resolution.gone.iter().find(is_namespaced)?;
        let share = |kinds: &[Kind]| {
            let counted = files.iter().zip(&resolution.counts);
            let left = counted.flat_map(|(file, counts)| file.objects.iter().zip(counts));
            let left = left.filter(|(object, counts)| {
                **counts && kinds.contains(&object.key.kind) && object.place.is_told()
            });
            let is_of_kind = |key: &&Key| kinds.contains(&key.kind);
            Share {
                missing: resolution.gone.iter().filter(is_of_kind).count(),
                known: published.keys().filter(is_of_kind).count(),
                left: left.count(),
            }
        };
        Some(Self {
            services: share(&[Kind::Service]),
            slices: share(&[Kind::EndpointSlice, Kind::Endpoints]),
        })
    }
}
