//! The frontends that Services ask for and don't get.

use std::collections::BTreeMap;

use super::Claimant;
use crate::model::ServiceId;
use crate::plan::{Frontend, Lost};

/// By Service, what it lost; nearly always empty.
#[derive(Debug, Default)]
pub(super) struct Losses {
    pub(super) all: BTreeMap<ServiceId, Lost>,
    /// Lost since somebody asked; part of `all`.
    pub(super) fresh: BTreeMap<ServiceId, Lost>,
}

impl Losses {
    /// Notes whether a claimant is without a frontend; true where that is new.
    pub(super) fn set(&mut self, claimant: &Claimant, frontend: Frontend, is_lost: bool) -> bool {
        if is_lost {
            self.add(claimant, frontend)
        } else {
            self.remove(claimant, frontend)
        }
    }

    fn add(&mut self, claimant: &Claimant, frontend: Frontend) -> bool {
        let at = (claimant.index, frontend);
        let of_service = self.all.entry(claimant.service.clone()).or_default();
        // Its own claims by two fields are one for a moment, while one takes the other's place.
        let is_new = of_service.insert(at, claimant.kind).is_none();
        if is_new {
            let of_service = self.fresh.entry(claimant.service.clone()).or_default();
            of_service.insert(at, claimant.kind);
        }
        is_new
    }

    fn remove(&mut self, claimant: &Claimant, frontend: Frontend) -> bool {
        let mut was_lost = false;
        for lost in [&mut self.fresh, &mut self.all] {
            if let Some(of_service) = lost.get_mut(&claimant.service) {
                was_lost = of_service.remove(&(claimant.index, frontend)).is_some();
                if of_service.is_empty() {
                    lost.remove(&claimant.service);
                }
            }
        }
        was_lost
    }
}
