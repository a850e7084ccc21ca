//! What is known of one Service.

use crate::model::{EndpointSlice, Service};
use crate::plan::depends_on_zone;

/// A Service and its slices; either may come first or be missing.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) service: Option<Box<Service>>,
    /// Sorted by name.
    slices: Vec<EndpointSlice>,
    /// How many slices have zone hints.
    zone_hinted: usize,
}

impl Entry {
    pub(super) fn slices(&self) -> &[EndpointSlice] {
        &self.slices
    }

    pub(super) const fn is_empty(&self) -> bool {
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

    /// Removes a slice; false where there is none of this name.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Ok(index) = self.find(name) else {
            return false;
        };
        let old = self.slices.remove(index);
        self.zone_hinted -= usize::from(is_zone_hinted(&old));
        true
    }
}

fn is_zone_hinted(slice: &EndpointSlice) -> bool {
    slice.endpoints.iter().any(depends_on_zone)
}
