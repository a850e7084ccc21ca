//! Who has a frontend where several Services ask for it.

mod conflict;
mod losses;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

pub use conflict::Conflict;

use crate::model::{CreationTime, Protocol, Service, ServiceId};
use crate::plan::{Claim, Frontend, FrontendKind, Lost, claims};
use losses::Losses;

/// A port that asks for a frontend. Of several the least one has it: whose field is the strongest,
/// then the oldest Service, then the first by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Claimant {
    kind: FrontendKind,
    created: CreationTime,
    service: ServiceId,
    index: u32,
}

impl Claimant {
    fn new(service: &Service, id: &ServiceId, claim: &Claim) -> Self {
        Self {
            kind: claim.kind,
            created: service.created,
            service: id.clone(),
            index: claim.index,
        }
    }
}

/// Every frontend with its owner, and those who wait for one.
///
/// The owner depends on who asks, never on who asked first. A node port answers at each address of
/// the node, so that it also overrules whoever has such an address by an external or load balancer
/// IP.
#[derive(Debug, Default)]
pub(super) struct Claims {
    allow_external_ips: bool,
    owners: HashMap<Frontend, Claimant>,
    waiting: HashMap<Frontend, BTreeSet<Claimant>>,
    losses: Losses,
    /// Frontends that went from one Service to another since somebody asked.
    handovers: BTreeSet<(ServiceId, ServiceId)>,
    /// The node's addresses.
    local: BTreeSet<IpAddr>,
    /// By node port, the addresses that have an external owner on the same port.
    external: HashMap<Frontend, BTreeSet<IpAddr>>,
}

impl Claims {
    pub(super) fn new(allow_external_ips: bool) -> Self {
        Self {
            allow_external_ips,
            ..Self::default()
        }
    }

    /// Whether external IPs are programmed; they are no claims otherwise. Where that changes, all
    /// claims are made anew, and every Service may be concerned.
    pub(super) fn allow_external_ips<'a>(
        &mut self,
        allowed: bool,
        services: impl Iterator<Item = (&'a ServiceId, &'a Service)>,
    ) {
        if self.allow_external_ips == allowed {
            return;
        }
        let local = std::mem::take(&mut self.local);
        *self = Self {
            local,
            ..Self::new(allowed)
        };
        let mut changed = BTreeSet::new();
        for (id, service) in services {
            self.replace(id, None, Some(service), &mut changed);
        }
    }

    /// Replaces a Service's claims, and adds to `changed` the other Services that win or lose
    /// something by it. Costs what the Service's ports and addresses cost.
    pub(super) fn replace(
        &mut self,
        id: &ServiceId,
        old: Option<&Service>,
        new: Option<&Service>,
        changed: &mut BTreeSet<ServiceId>,
    ) {
        if let (Some(old), Some(new)) = (old, new)
            && asks_the_same(old, new)
        {
            return;
        }
        let sorted = |service: Option<&Service>| -> Vec<(Frontend, Claimant)> {
            let Some(service) = service else {
                return Vec::new();
            };
            let claims = claims(service, self.allow_external_ips).into_iter();
            let claimant = |it: Claim| (it.frontend, Claimant::new(service, id, &it));
            let mut all: Vec<_> = claims.map(claimant).collect();
            all.sort_unstable();
            all
        };
        let [old, new] = [sorted(old), sorted(new)];
        let added: Vec<_> = new
            .iter()
            .filter(|it| old.binary_search(it).is_err())
            .collect();
        // Claims come first: nobody wins for a moment what changes its port only.
        for (frontend, claimant) in &added {
            self.claim(*frontend, claimant.clone(), changed);
        }
        for (frontend, claimant) in old.iter().filter(|it| new.binary_search(it).is_err()) {
            self.withdraw(*frontend, claimant, changed);
        }
        // A port that asks by another field than before has withdrawn its own loss.
        for (frontend, claimant) in added {
            let is_lost = !self.has(claimant, *frontend);
            self.losses.set(claimant, *frontend, is_lost);
        }
    }

    /// Takes the node's addresses, and adds to `changed` the Services that win or lose something by
    /// it.
    pub(super) fn set_local(&mut self, addresses: &[IpAddr], changed: &mut BTreeSet<ServiceId>) {
        let new: BTreeSet<IpAddr> = addresses.iter().copied().collect();
        let old = std::mem::replace(&mut self.local, new);
        let moved: Vec<IpAddr> = old.symmetric_difference(&self.local).copied().collect();
        let concerned: Vec<Frontend> = self
            .external
            .iter()
            .flat_map(|(node_port, external)| {
                let both = moved.iter().filter(|it| external.contains(*it));
                both.filter_map(|address| at(*address, *node_port))
            })
            .collect();
        for frontend in concerned {
            self.settle(frontend, changed);
        }
    }

    /// The Service that has this as a TCP port of its cluster IP.
    pub(super) fn owner_of_cluster_ip(&self, at: SocketAddr) -> Option<&ServiceId> {
        let owner = self.owners.get(&Frontend::Address {
            address: at.ip(),
            port: at.port(),
            protocol: Protocol::Tcp,
        })?;
        (owner.kind == FrontendKind::ClusterIp).then_some(&owner.service)
    }

    fn claim(&mut self, frontend: Frontend, claimant: Claimant, changed: &mut BTreeSet<ServiceId>) {
        let waits = match self.owners.entry(frontend) {
            Entry::Vacant(vacant) => {
                vacant.insert(claimant);
                None
            }
            Entry::Occupied(owner) if claimant < *owner.get() => {
                Some(std::mem::replace(owner.into_mut(), claimant))
            }
            Entry::Occupied(_) => {
                self.losses.set(&claimant, frontend, true);
                self.waiting.entry(frontend).or_default().insert(claimant);
                return;
            }
        };
        if let Some(displaced) = waits {
            self.handed_over(&displaced, frontend);
            self.losses.set(&displaced, frontend, true);
            changed.insert(displaced.service.clone());
            self.waiting.entry(frontend).or_default().insert(displaced);
        }
        self.owner_changed(frontend, changed);
    }

    fn withdraw(
        &mut self,
        frontend: Frontend,
        claimant: &Claimant,
        changed: &mut BTreeSet<ServiceId>,
    ) {
        self.losses.set(claimant, frontend, false);
        let is_owner = self.owners.get(&frontend) == Some(claimant);
        let next = match self.waiting.entry(frontend) {
            Entry::Occupied(mut waiting) => {
                let next = if is_owner {
                    waiting.get_mut().pop_first()
                } else {
                    waiting.get_mut().remove(claimant);
                    None
                };
                if waiting.get().is_empty() {
                    waiting.remove();
                }
                next
            }
            Entry::Vacant(_) => None,
        };
        if !is_owner {
            return;
        }
        match next {
            Some(next) => {
                self.owners.insert(frontend, next);
                self.handed_over(claimant, frontend);
            }
            None => {
                self.owners.remove(&frontend);
            }
        }
        self.owner_changed(frontend, changed);
    }

    /// Notes what follows from another owner, or none.
    fn owner_changed(&mut self, frontend: Frontend, changed: &mut BTreeSet<ServiceId>) {
        match frontend {
            Frontend::Address { address, .. } => {
                let owner = self.owners.get(&frontend);
                let is_external = owner.is_some_and(|it| it.kind.is_external());
                match self.external.entry(frontend.as_node_port()) {
                    Entry::Occupied(mut at) if !is_external => {
                        at.get_mut().remove(&address);
                        if at.get().is_empty() {
                            at.remove();
                        }
                    }
                    Entry::Vacant(_) if !is_external => {}
                    entry => {
                        entry.or_default().insert(address);
                    }
                }
                self.settle(frontend, changed);
            }
            Frontend::NodePort { .. } => {
                self.settle(frontend, changed);
                let external = self.external.get(&frontend).into_iter().flatten();
                let addresses = external.filter(|it| self.local.contains(it));
                let overruled: Vec<Frontend> =
                    addresses.filter_map(|it| at(*it, frontend)).collect();
                for frontend in overruled {
                    self.settle(frontend, changed);
                }
            }
        }
    }

    /// Notes whether the owner of a frontend gets it.
    fn settle(&mut self, frontend: Frontend, changed: &mut BTreeSet<ServiceId>) {
        let by = self.overruling(frontend).cloned();
        let is_lost = by.is_some();
        if let Some(by) = by {
            let owner = self.owners.get(&frontend);
            let pair = owner.map(|owner| (owner.service.clone(), by.service));
            self.handovers.extend(pair);
        }
        if let Some(owner) = self.owners.get(&frontend)
            && self.losses.set(owner, frontend, is_lost)
        {
            changed.insert(owner.service.clone());
        }
    }

    /// A frontend has another owner than this one.
    fn handed_over(&mut self, from: &Claimant, frontend: Frontend) {
        let to = self.owners.get(&frontend).map(|to| &to.service);
        let pair = to.filter(|to| **to != from.service);
        let pair = pair.map(|to| (from.service.clone(), to.clone()));
        self.handovers.extend(pair);
    }

    /// The node port of another Service that answers at this address.
    fn overruling(&self, frontend: Frontend) -> Option<&Claimant> {
        let Frontend::Address { address, .. } = frontend else {
            return None;
        };
        if !self.local.contains(&address) {
            return None;
        }
        let by = self.owners.get(&frontend.as_node_port())?;
        let owner = self.owners.get(&frontend)?;
        (owner.kind.is_external() && owner.service != by.service).then_some(by)
    }

    fn has(&self, claimant: &Claimant, frontend: Frontend) -> bool {
        self.owners.get(&frontend) == Some(claimant) && self.overruling(frontend).is_none()
    }

    /// What a Service asks for and doesn't get.
    pub(super) fn lost(&self, id: &ServiceId) -> Option<&Lost> {
        // Nearly always empty: no look-up then.
        if self.losses.all.is_empty() {
            None
        } else {
            self.losses.all.get(id)
        }
    }

    /// All conflicts, by loser and owner.
    pub(super) fn conflicts(&self) -> impl Iterator<Item = Conflict> + '_ {
        self.describe(&self.losses.all)
    }

    /// The Services between which a frontend went since the last call: from one, to the other.
    pub(super) fn take_handovers(&mut self) -> BTreeSet<(ServiceId, ServiceId)> {
        std::mem::take(&mut self.handovers)
    }

    /// The conflicts that came since the last call and are still there.
    pub(super) fn take_fresh(&mut self) -> Vec<Conflict> {
        let fresh = std::mem::take(&mut self.losses.fresh);
        self.describe(&fresh).collect()
    }

    fn describe<'a>(
        &'a self,
        losses: &'a BTreeMap<ServiceId, Lost>,
    ) -> impl Iterator<Item = Conflict> + 'a {
        losses.iter().flat_map(move |(loser, lost)| {
            let mut by_owner: BTreeMap<&ServiceId, Conflict> = BTreeMap::new();
            for (&(_, frontend), &asked) in lost {
                let by = self.overruling(frontend);
                let Some(by) = by.or_else(|| self.owners.get(&frontend)) else {
                    continue;
                };
                let conflict = by_owner.entry(&by.service).or_insert_with(|| Conflict {
                    loser: loser.clone(),
                    owner: by.service.clone(),
                    asked,
                    had: by.kind,
                    frontends: Vec::new(),
                });
                conflict.frontends.push(frontend);
            }
            for conflict in by_owner.values_mut() {
                conflict.frontends.sort_unstable();
                conflict.frontends.dedup();
            }
            by_owner.into_values()
        })
    }
}

/// True where two states of a Service claim the same. Nearly all changes are of this kind.
fn asks_the_same(old: &Service, new: &Service) -> bool {
    old.created == new.created
        && old.cluster_ips == new.cluster_ips
        && old.ports == new.ports
        && old.external_ips == new.external_ips
        && old.load_balancer_ips == new.load_balancer_ips
}

/// The same port of an address.
const fn at(address: IpAddr, node_port: Frontend) -> Option<Frontend> {
    match node_port {
        Frontend::NodePort { port, protocol, .. } => Some(Frontend::Address {
            address,
            port,
            protocol,
        }),
        Frontend::Address { .. } => None,
    }
}
