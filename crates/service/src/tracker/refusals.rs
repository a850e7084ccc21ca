//! Objects that exist and can't be used.

use std::collections::{BTreeMap, BTreeSet};

use super::Tracker;
use crate::model::{Refused, ServiceId, SliceId};

type SliceName = (Box<str>, Box<str>);

/// What is refused at present, whether or not there is an earlier version in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    services: BTreeSet<ServiceId>,
    /// By namespace and name; the Service where that can be told.
    slices: BTreeMap<SliceName, Option<ServiceId>>,
    unnamed: bool,
}

impl Refusals {
    fn is_empty(&self) -> bool {
        self.services.is_empty() && self.slices.is_empty() && !self.unnamed
    }
}

impl Tracker {
    /// Objects that exist and can't be used: Services, then slices, by name.
    pub fn refused(&self) -> BTreeSet<Refused> {
        let Refusals {
            services,
            slices,
            unnamed,
        } = &self.refusals;
        let services = services.iter().cloned().map(Refused::Service);
        let slices = slices
            .iter()
            .map(|((namespace, name), service)| Refused::Slice {
                namespace: namespace.clone(),
                name: name.clone(),
                service: service.clone(),
            });
        let unnamed = unnamed.then_some(Refused::Unnamed);
        services.chain(slices).chain(unnamed).collect()
    }

    /// True where something exists that nothing is known of but its name, if that, or that is too
    /// large to be planned: what is in the kernel and nobody asks for may be asked for by it.
    pub fn withholds_anything(&self) -> bool {
        let refusals = &self.refusals;
        refusals.unnamed
            || !self.oversized().is_empty()
            || refusals
                .services
                .iter()
                .any(|id| self.service(id).is_none())
            || refusals
                .slices
                .iter()
                .any(|(name, service)| self.is_unknown(name, service.as_ref()))
    }

    /// True where there may be more of the Service than is known: it was refused itself, or a slice of
    /// it, what was refused has no name, or it is too large to be planned. False for one that is known to be gone.
    pub fn may_have_more(&self, id: &ServiceId) -> bool {
        let Refusals {
            services, unnamed, ..
        } = &self.refusals;
        match self.service(id) {
            Some(_) => *unnamed || self.is_oversized(id) || self.withholds(id),
            None => *unnamed || services.contains(id),
        }
    }

    /// True where not all of the Service's slices are known: one of them was refused and never had
    /// a version that could be used.
    pub fn withholds(&self, id: &ServiceId) -> bool {
        let refusals = &self.refusals;
        if refusals.is_empty() {
            return false;
        }
        // Of what has no names, one may think first where nothing at all is known.
        let bare = self.slices(id).is_empty();
        let may_be_of = |((namespace, name), service): (&SliceName, &Option<ServiceId>)| {
            let concerned = match service {
                Some(service) => service == id,
                None => bare && **namespace == *id.namespace(),
            };
            concerned && self.is_unknown(&(namespace.clone(), name.clone()), service.as_ref())
        };
        (refusals.unnamed && bare) || refusals.slices.iter().any(may_be_of)
    }

    /// Services of which a slice was refused that never had a version which could be used.
    pub fn known_in_part(&self) -> impl Iterator<Item = &ServiceId> {
        let slices = self.refusals.slices.iter();
        let unknown = slices.filter(|(name, service)| self.is_unknown(name, service.as_ref()));
        unknown.filter_map(|(_, service)| service.as_ref())
    }

    fn is_unknown(&self, (_, name): &SliceName, service: Option<&ServiceId>) -> bool {
        let entry = service.and_then(|id| self.entries.get(id));
        entry.is_none_or(|entry| !entry.has_named(name))
    }

    pub(super) fn refuse(&mut self, refused: Refused) {
        match refused {
            Refused::Service(id) => {
                self.refusals.services.insert(id);
            }
            Refused::Slice {
                namespace,
                name,
                service,
            } => {
                self.refusals.slices.insert((namespace, name), service);
            }
            Refused::Unnamed => self.refusals.unnamed = true,
        }
    }

    pub(super) fn no_longer_refuse(&mut self, refused: &Refused) {
        match refused {
            Refused::Service(id) => self.accept_service(id),
            Refused::Slice {
                namespace, name, ..
            } => self.accept_slice(namespace, name),
            Refused::Unnamed => {
                if std::mem::take(&mut self.refusals.unnamed) {
                    // Whatever was withheld for its sake.
                    let bare = self.entries.iter().filter(|(_, it)| it.slices().is_empty());
                    self.changed.extend(bare.map(|(id, _)| id.clone()));
                }
            }
        }
    }

    pub(super) fn accept_service(&mut self, id: &ServiceId) {
        self.refusals.services.remove(id);
    }

    pub(super) fn accept_slice(&mut self, namespace: &str, name: &str) {
        if self.refusals.slices.is_empty() {
            return;
        }
        let service = self
            .refusals
            .slices
            .remove(&(namespace.into(), name.into()));
        match service {
            Some(Some(id)) => self.touched(&id),
            Some(None) => {
                let of_namespace = self
                    .entries
                    .iter()
                    .filter(|(id, entry)| id.namespace() == namespace && entry.slices().is_empty());
                self.changed.extend(of_namespace.map(|(id, _)| id.clone()));
            }
            None => {}
        }
    }

    /// What a list of Services does not name does not exist.
    pub(super) fn keep_refused_services(&mut self, present: &BTreeSet<ServiceId>) {
        self.refusals.services.retain(|id| present.contains(id));
    }

    /// What a list of slices does not name does not exist.
    pub(super) fn keep_refused_slices(&mut self, present: &BTreeSet<SliceId>) {
        if self.refusals.slices.is_empty() {
            return;
        }
        let present: BTreeSet<(&str, &str)> = present
            .iter()
            .map(|id| (id.service.namespace(), &*id.name))
            .collect();
        let refused = self.refusals.slices.keys();
        let gone: Vec<SliceName> = refused
            .filter(|(namespace, name)| !present.contains(&(namespace, name)))
            .cloned()
            .collect();
        for (namespace, name) in gone {
            self.accept_slice(&namespace, &name);
        }
    }
}
