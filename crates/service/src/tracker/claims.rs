//! Who has a frontend where several Services ask for it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::model::{Service, ServiceId};
use crate::plan::{Frontend, Lost, claims};

/// A frontend that a Service asks for and doesn't get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// What both ask for.
    pub frontend: Frontend,
    /// The Service that has it: the first by namespace and name.
    pub owner: ServiceId,
    /// The Service that is programmed without it. Where two ports of one Service ask for the same
    /// frontend, this is the owner too.
    pub loser: ServiceId,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            frontend,
            owner,
            loser,
        } = self;
        if owner == loser {
            write!(
                f,
                "{frontend} is on two ports of {owner}; remove one of them"
            )
        } else {
            write!(
                f,
                "{frontend} of {loser} belongs to {owner}; change one of the two Services"
            )
        }
    }
}

/// A port that asks for a frontend. The least one gets it.
type Claimant = (ServiceId, u32);

/// Every frontend with its owner, and those who wait for one.
///
/// The owner depends on who asks, never on who asked first.
#[derive(Debug, Default)]
pub(super) struct Claims {
    owners: HashMap<Frontend, Claimant>,
    waiting: HashMap<Frontend, BTreeSet<Claimant>>,
    lost: BTreeMap<ServiceId, Lost>,
    /// Lost since somebody asked; part of `lost`.
    fresh: BTreeMap<ServiceId, Lost>,
}

impl Claims {
    /// Replaces a Service's claims, and adds to `changed` the other Services that win or lose
    /// something by it.
    pub(super) fn replace(
        &mut self,
        id: &ServiceId,
        old: Option<&Service>,
        new: Option<&Service>,
        changed: &mut BTreeSet<ServiceId>,
    ) {
        let same = |old: &Service, new: &Service| {
            old.cluster_ips == new.cluster_ips && old.ports == new.ports
        };
        if let (Some(old), Some(new)) = (old, new)
            && same(old, new)
        {
            return;
        }
        let of = |service: Option<&Service>| service.map(|s| claims(s).collect::<Vec<_>>());
        let [old, new] = [of(old), of(new)].map(Option::unwrap_or_default);
        // Few ports have the most Services, so lists are searched.
        for &(frontend, index) in old.iter().filter(|claim| !new.contains(claim)) {
            changed.extend(self.withdraw(frontend, &(id.clone(), index)));
        }
        for &(frontend, index) in new.iter().filter(|claim| !old.contains(claim)) {
            changed.extend(self.claim(frontend, (id.clone(), index)));
        }
    }

    /// The Service that has a frontend.
    pub(super) fn owner(&self, frontend: &Frontend) -> Option<&ServiceId> {
        self.owners.get(frontend).map(|(id, _)| id)
    }

    /// Adds a claim; returns the Service that loses the frontend.
    fn claim(&mut self, frontend: Frontend, claimant: Claimant) -> Option<ServiceId> {
        let owner = match self.owners.entry(frontend) {
            Entry::Vacant(vacant) => {
                vacant.insert(claimant);
                return None;
            }
            Entry::Occupied(owner) => owner.into_mut(),
        };
        let displaced = claimant < *owner;
        let loser = if displaced {
            std::mem::replace(owner, claimant)
        } else {
            claimant
        };
        for lost in [&mut self.lost, &mut self.fresh] {
            lost.entry(loser.0.clone())
                .or_default()
                .insert((loser.1, frontend));
        }
        let service = displaced.then(|| loser.0.clone());
        self.waiting.entry(frontend).or_default().insert(loser);
        service
    }

    /// Removes a claim; returns the Service that wins the frontend.
    fn withdraw(&mut self, frontend: Frontend, claimant: &Claimant) -> Option<ServiceId> {
        if self.owners.get(&frontend) != Some(claimant) {
            self.stop_waiting(frontend, claimant);
            return None;
        }
        let next = self
            .waiting
            .get(&frontend)
            .and_then(BTreeSet::first)
            .cloned();
        let Some(next) = next else {
            self.owners.remove(&frontend);
            return None;
        };
        self.stop_waiting(frontend, &next);
        let service = next.0.clone();
        self.owners.insert(frontend, next);
        Some(service)
    }

    fn stop_waiting(&mut self, frontend: Frontend, claimant: &Claimant) {
        if let Entry::Occupied(mut waiting) = self.waiting.entry(frontend) {
            waiting.get_mut().remove(claimant);
            if waiting.get().is_empty() {
                waiting.remove();
            }
        }
        for lost in [&mut self.lost, &mut self.fresh] {
            if let Some(of_service) = lost.get_mut(&claimant.0) {
                of_service.remove(&(claimant.1, frontend));
                if of_service.is_empty() {
                    lost.remove(&claimant.0);
                }
            }
        }
    }

    /// What a Service asks for and doesn't get.
    pub(super) fn lost(&self, id: &ServiceId) -> Option<&Lost> {
        // Nearly always empty: no look-up then.
        if self.lost.is_empty() {
            None
        } else {
            self.lost.get(id)
        }
    }

    /// All conflicts, by loser.
    pub(super) fn conflicts(&self) -> impl Iterator<Item = Conflict> + '_ {
        self.describe(&self.lost)
    }

    /// The conflicts that came since the last call and are still there.
    pub(super) fn take_fresh(&mut self) -> Vec<Conflict> {
        let fresh = std::mem::take(&mut self.fresh);
        self.describe(&fresh).collect()
    }

    fn describe<'a>(
        &'a self,
        lost: &'a BTreeMap<ServiceId, Lost>,
    ) -> impl Iterator<Item = Conflict> + 'a {
        lost.iter().flat_map(move |(loser, lost)| {
            lost.iter().filter_map(move |&(_, frontend)| {
                let (owner, _) = self.owners.get(&frontend)?;
                Some(Conflict {
                    frontend,
                    owner: owner.clone(),
                    loser: loser.clone(),
                })
            })
        })
    }
}
