//! Services that ask for more than they may.
//!
//! The version that was in force before stays in force, with its addresses and its endpoints. Where
//! there is none, the Service counts as one that can't be read: what the kernel has of it stays.

use std::collections::BTreeMap;
use std::fmt;

use super::Tracker;
use super::entry::Version;
use crate::model::{EndpointSlice, Service, ServiceId};
use crate::plan;

/// A Service of which a newer version exists than the one in force, as that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversized {
    /// How large: pairs of a frontend and an endpoint, and of a load balancer IP and a source range.
    pub size: u64,
    /// What that is beyond.
    pub limit: Limit,
}

/// A limit of the sizes of Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// This is [`Budgets::service`](plan::Budgets::service).
    Service(u64),
    /// All Services together would be beyond [`Budgets::total`](plan::Budgets::total),
    /// and those of this Service's namespace beyond its share, which is this.
    Namespace(u64),
}

impl fmt::Display for Oversized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, limit } = self;
        write!(
            f,
            "has {size} pairs of an address and an endpoint over all of its ports, "
        )?;
        match limit {
            Limit::Service(budget) => write!(
                f,
                "more than serviceBudget ({budget}): it is set aside, and what the kernel has of it \
                 stays; give it fewer ports, addresses or endpoints, or raise serviceBudget"
            ),
            Limit::Namespace(share) => write!(
                f,
                "with which all Services are beyond totalBudget and those of its namespace beyond \
                 their share ({share}): it is set aside, and what the kernel has of it stays; remove \
                 Services of the namespace, or raise totalBudget"
            ),
        }
    }
}

impl Tracker {
    /// Services that are too large, by name.
    pub const fn oversized(&self) -> &BTreeMap<ServiceId, Oversized> {
        &self.oversized
    }

    /// How large the version of a Service is that is in force: pairs as in [`Oversized::size`].
    pub fn size(&self, id: &ServiceId) -> u64 {
        self.entries.get(id).map_or(0, |entry| entry.size())
    }

    /// Takes another version of a Service, which `edit` makes of the newest one. It comes into force
    /// unless its size is beyond a limit.
    pub(super) fn edit(&mut self, id: &ServiceId, size: u64, edit: impl FnOnce(&mut Version)) {
        let limit = self.limit(id, size);
        self.decide(id, size, limit, edit);
    }

    /// Measures a Service anew.
    pub(super) fn measure(&mut self, id: &ServiceId) {
        let Some(entry) = self.entries.get(id) else {
            return;
        };
        let newest = entry.newest();
        let size = self.size_of(newest.service.as_deref(), &newest.slices().iter());
        self.edit(id, size, |_| {});
    }

    /// Brings a version into force that is beyond no limit, or holds it back.
    pub(super) fn decide(
        &mut self,
        id: &ServiceId,
        size: u64,
        limit: Option<Limit>,
        edit: impl FnOnce(&mut Version),
    ) {
        let before = self.claiming(id);
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let old = entry.size();
        let changed = if let Some(limit) = limit {
            self.oversized.insert(id.clone(), Oversized { size, limit });
            entry.hold_back(edit)
        } else {
            self.oversized.remove(id);
            entry.accept(size, edit);
            true
        };
        let new = entry.size();
        self.usage.replace(id.namespace(), old, new);
        self.claim_anew(id, before.as_deref());
        if changed {
            self.touched(id);
        }
    }

    /// How large the newest version of a Service would be with this slice in place of the one of its
    /// name, or without it.
    pub(super) fn size_with(
        &self,
        id: &ServiceId,
        name: &str,
        slice: Option<&EndpointSlice>,
    ) -> u64 {
        let Some(newest) = self.entries.get(id).map(|entry| entry.newest()) else {
            return 0;
        };
        let others = newest.slices().iter().filter(|it| *it.id.name != *name);
        self.size_of(newest.service.as_deref(), &others.chain(slice))
    }

    fn size_of<'a>(
        &self,
        service: Option<&Service>,
        slices: &(impl Iterator<Item = &'a EndpointSlice> + Clone),
    ) -> u64 {
        service.map_or(0, |service| plan::size(service, slices, &self.config))
    }
}
