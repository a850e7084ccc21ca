//! Services that ask for more than one Service may.

use std::collections::BTreeMap;

use super::Tracker;
use crate::model::ServiceId;
use crate::plan::size;

impl Tracker {
    /// Services that are larger than [`PlanConfig::service_budget`], with their sizes. What there is
    /// of them stays as it is; nothing is planned for them, as that alone might be too much.
    ///
    /// [`PlanConfig::service_budget`]: crate::plan::PlanConfig::service_budget
    pub const fn oversized(&self) -> &BTreeMap<ServiceId, u64> {
        &self.oversized
    }

    /// True for one of them.
    pub fn is_oversized(&self, id: &ServiceId) -> bool {
        !self.oversized.is_empty() && self.oversized.contains_key(id)
    }

    /// Measures a Service anew.
    pub(super) fn measure(&mut self, id: &ServiceId) {
        let entry = self.entries.get(id);
        let service = entry.and_then(|it| Some((it.service.as_deref()?, it.slices())));
        let size = service.map(|(service, slices)| size(service, slices, &self.config));
        match size {
            Some(size) if size > self.config.service_budget => {
                self.oversized.insert(id.clone(), size);
            }
            _ => {
                self.oversized.remove(id);
            }
        }
    }
}
