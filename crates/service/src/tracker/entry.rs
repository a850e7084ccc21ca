//! What is known of one Service.

use std::sync::Arc;

use crate::model::{EndpointSlice, Service};
use crate::plan::depends_on_zone;

/// A Service and its slices, as one state of the cluster has them; either may come first or be
/// missing.
#[derive(Debug, Clone, Default)]
pub(super) struct Version {
    pub(super) service: Option<Arc<Service>>,
    /// Sorted by name.
    slices: Vec<EndpointSlice>,
    /// How many slices have zone hints.
    zone_hinted: usize,
}

impl Version {
    pub(super) fn slices(&self) -> &[EndpointSlice] {
        &self.slices
    }

    const fn is_empty(&self) -> bool {
        self.service.is_none() && self.slices.is_empty()
    }

    /// True where the plan may change with the node's zone.
    pub(super) const fn depends_on_zone(&self) -> bool {
        self.service.is_some() && self.zone_hinted > 0
    }

    /// True where the plan may change with the node's addresses.
    pub(super) fn depends_on_node_ip(&self) -> bool {
        self.service
            .as_ref()
            .is_some_and(|service| !service.source_ranges.is_empty())
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.slices
            .binary_search_by(|slice| (*slice.id.name).cmp(name))
    }

    /// True where there is a slice of this name, whatever its content.
    pub(super) fn has_named(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    pub(super) fn has(&self, slice: &EndpointSlice) -> bool {
        self.find(&slice.id.name)
            .is_ok_and(|index| self.slices[index] == *slice)
    }

    pub(super) fn put(&mut self, slice: EndpointSlice) {
        self.zone_hinted += usize::from(is_zone_hinted(&slice));
        match self.find(&slice.id.name) {
            Ok(index) => {
                let old = std::mem::replace(&mut self.slices[index], slice);
                self.zone_hinted -= usize::from(is_zone_hinted(&old));
            }
            Err(index) => {
                // Most Services have one slice; room for four would be the default.
                self.slices.reserve_exact(1);
                self.slices.insert(index, slice);
            }
        }
    }

    /// Removes a slice, where there is one of this name.
    pub(super) fn remove(&mut self, name: &str) {
        if let Ok(index) = self.find(name) {
            let old = self.slices.remove(index);
            self.zone_hinted -= usize::from(is_zone_hinted(&old));
        }
    }
}

fn is_zone_hinted(slice: &EndpointSlice) -> bool {
    slice.endpoints.iter().any(depends_on_zone)
}

/// All that is known of one Service.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// What plans are made of.
    in_force: Version,
    /// What the cluster has, where that asks for too much. Boxed, as it is rare.
    newest: Option<Box<Version>>,
    /// How large the version in force is.
    size: u64,
    /// Somebody was told of the Service: the version in force may be in the kernel.
    told: bool,
}

impl Entry {
    pub(super) const fn in_force(&self) -> &Version {
        &self.in_force
    }

    pub(super) fn newest(&self) -> &Version {
        self.newest.as_deref().unwrap_or(&self.in_force)
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.in_force.is_empty() && self.newest.is_none()
    }

    pub(super) const fn told(&mut self) {
        self.told = true;
    }

    /// The cluster has another version, of this size, which is small enough.
    pub(super) fn accept(&mut self, size: u64, edit: impl FnOnce(&mut Version)) {
        if let Some(newest) = self.newest.take() {
            self.in_force = *newest;
        }
        edit(&mut self.in_force);
        self.size = size;
    }

    /// The cluster has another version, which is too large: the one in force stays. One that nobody
    /// was told of is in no kernel, and may be a part only of what was about to come.
    ///
    /// True where another version is in force now.
    pub(super) fn hold_back(&mut self, edit: impl FnOnce(&mut Version)) -> bool {
        let stays = self.told || self.newest.is_some();
        let newest = self.newest.get_or_insert_with(|| {
            Box::new(if stays {
                self.in_force.clone()
            } else {
                self.size = 0;
                std::mem::take(&mut self.in_force)
            })
        });
        edit(newest);
        !stays
    }
}
