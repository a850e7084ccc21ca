//! Objects that exist and can't be used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Tracker;
use crate::model::{Refused, Service, ServiceId, SliceId};

type SliceName = (Box<str>, Box<str>);

/// What is refused at present, whether or not there is an earlier version in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    /// What they ask for, as far as that can be told.
    services: BTreeMap<ServiceId, Option<Arc<Service>>>,
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
        let services = services.keys().cloned().map(Refused::Service);
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

    /// True where something exists of which nothing is in force, if its name is known at all: what is
    /// in the kernel and nobody asks for may be asked for by it.
    pub fn withholds_anything(&self) -> bool {
        let refusals = &self.refusals;
        let mut services = refusals.services.keys().chain(self.oversized.keys());
        refusals.unnamed
            || services.any(|id| self.service(id).is_none())
            || refusals
                .slices
                .iter()
                .any(|(name, service)| self.is_unknown(name, service.as_ref()))
    }

    /// True where there may be more of the Service than is in force: it was refused itself, or a slice
    /// of it, or it is too large, or what was refused has no name. False for one that is known to be
    /// gone.
    pub fn may_have_more(&self, id: &ServiceId) -> bool {
        let Refusals {
            services, unnamed, ..
        } = &self.refusals;
        match self.service(id) {
            Some(_) => *unnamed || self.withholds(id),
            None => *unnamed || services.contains_key(id) || self.oversized.contains_key(id),
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
        entry.is_none_or(|entry| !entry.newest().has_named(name))
    }

    pub(super) fn refuse(&mut self, refused: Refused) {
        match refused {
            Refused::Service(id) => {
                self.refusals.services.entry(id).or_default();
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
                    let bare = self
                        .entries
                        .iter()
                        .filter(|(_, it)| it.in_force().slices().is_empty());
                    self.changed.extend(bare.map(|(id, _)| id.clone()));
                }
            }
        }
    }

    /// A Service that is refused asks for this much, as far as it can be read.
    pub(super) fn refused_asks(&mut self, service: Service) {
        let id = service.id.clone();
        let before = self.claiming(&id);
        if let Some(asked) = self.refusals.services.get_mut(&id) {
            *asked = Some(Arc::new(service));
            self.claim_anew(&id, before.as_deref());
        }
    }

    /// What a refused Service asks for, as far as that can be told.
    pub(super) fn asked(&self, id: &ServiceId) -> Option<&Arc<Service>> {
        self.refusals.services.get(id)?.as_ref()
    }

    /// The refused Services that ask for something.
    pub(super) fn asking(&self) -> impl Iterator<Item = &ServiceId> {
        let services = self.refusals.services.iter();
        services.filter_map(|(id, asked)| asked.as_ref().map(|_| id))
    }

    pub(super) fn accept_service(&mut self, id: &ServiceId) {
        if self.refusals.services.contains_key(id) {
            let before = self.claiming(id);
            self.refusals.services.remove(id);
            self.claim_anew(id, before.as_deref());
        }
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
                let of_namespace = self.entries.iter().filter(|(id, entry)| {
                    id.namespace() == namespace && entry.in_force().slices().is_empty()
                });
                self.changed.extend(of_namespace.map(|(id, _)| id.clone()));
            }
            None => {}
        }
    }

    /// What a list of Services does not name does not exist.
    pub(super) fn keep_refused_services(&mut self, present: &BTreeSet<ServiceId>) {
        let refused = self.refusals.services.keys();
        let gone: Vec<ServiceId> = refused
            .filter(|id| !present.contains(*id))
            .cloned()
            .collect();
        for id in gone {
            self.accept_service(&id);
        }
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
