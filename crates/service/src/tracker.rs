//! Applies events and knows which Services they concern.

mod api_server;
mod claims;
mod entry;
mod interner;
mod node;
mod oversized;
mod refusals;
mod relist;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub use claims::Conflict;
pub use oversized::{Limit, Oversized};

use crate::model::{EndpointSlice, Event, Family, Node, Service, ServiceId, SliceId};
use crate::plan::{self, NodeFacts, PlanConfig, ServicePlan, plan_without};
use claims::Claims;
use entry::Entry;
use interner::Interner;
use node::NodeInputs;
use refusals::Refusals;
use usage::Usage;

/// What changed since somebody last asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Every Service whose plan may be another now, gone ones included.
    pub services: BTreeSet<ServiceId>,
    /// True where the Node object or [`NodeFacts`] changed.
    pub node: bool,
    /// Services between which an address or a port went: from the first to the second. Nobody has it
    /// for a while unless both are written together.
    pub handovers: BTreeSet<(ServiceId, ServiceId)>,
    /// Conflicts that came up, for the operator to read; [`Tracker::conflicts`] has them all.
    pub conflicts: Vec<Conflict>,
}

impl Changes {
    /// True where nothing changed.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && !self.node && self.conflicts.is_empty()
    }
}

/// Everything known about Services and this node.
///
/// Its state is that of the objects, whatever order their events came in. One event costs what its
/// own Service costs, however many there are; a moved node (zone or address) costs what all the
/// Services cost that depend on it, and a relist or a slice that changes its Service a look at all
/// names.
#[derive(Debug)]
pub struct Tracker {
    config: PlanConfig,
    inputs: NodeInputs,
    facts: NodeFacts,
    entries: Entries,
    names: Interner,
    claims: Claims,
    refusals: Refusals,
    oversized: BTreeMap<ServiceId, Oversized>,
    usage: Usage,
    /// All that exists has been told once.
    complete: bool,
    /// Services whose plans depend on the node's zone.
    by_zone: BTreeSet<ServiceId>,
    /// Services whose plans depend on the node's addresses.
    by_node_ip: BTreeSet<ServiceId>,
    /// Services that the API server is reached through.
    ways: BTreeSet<ServiceId>,
    changed: BTreeSet<ServiceId>,
    node_changed: bool,
}

impl Tracker {
    /// Knows nothing yet.
    pub fn new(config: PlanConfig) -> Self {
        let inputs = NodeInputs::default();
        Self {
            facts: inputs.facts(&config),
            inputs,
            claims: Claims::new(config.allow_external_ips),
            config,
            entries: HashMap::new(),
            names: Interner::default(),
            refusals: Refusals::default(),
            oversized: BTreeMap::new(),
            usage: Usage::default(),
            complete: false,
            by_zone: BTreeSet::new(),
            by_node_ip: BTreeSet::new(),
            ways: BTreeSet::new(),
            changed: BTreeSet::new(),
            node_changed: false,
        }
    }

    /// Takes an event in. One that says what is known already changes nothing.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::ServiceApplied(service) => self.apply_service(service),
            Event::ServiceDeleted(id) => self.delete_service(&id),
            Event::SliceApplied(slice) => self.apply_slice(slice),
            Event::SliceDeleted(id) => self.delete_slice(&id),
            Event::SliceMoved {
                namespace,
                name,
                to,
            } => self.move_slice(&namespace, &name, to.as_ref()),
            Event::ServicesRelisted(present) => self.keep_services(&present),
            Event::SlicesRelisted(present) => self.keep_slices(&present),
            Event::NodeApplied(node) => self.apply_node(Some(node)),
            Event::NodeDeleted => self.apply_node(None),
            Event::ServiceCidrApplied(cidr) => self.change_service_cidrs(|known| {
                known.insert(cidr.name, cidr.networks);
            }),
            Event::ServiceCidrDeleted(name) => self.change_service_cidrs(|known| {
                known.remove(&name);
            }),
            Event::ServiceCidrsRelisted(present) => {
                self.change_service_cidrs(|known| known.retain(|name, _| present.contains(name)));
            }
            Event::LocalAddresses(addresses) => self.apply_local_addresses(addresses),
            Event::ApiServer(addresses) => self.apply_api_server(addresses),
            Event::Refused(refused) => self.refuse(refused),
            Event::RefusedAsks(service) => self.refused_asks(service),
            Event::NoLongerRefused(refused) => self.no_longer_refuse(&refused),
        }
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Changes {
        self.use_room();
        for id in &self.changed {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.told();
            }
        }
        Changes {
            services: std::mem::take(&mut self.changed),
            node: std::mem::take(&mut self.node_changed),
            handovers: self.claims.take_handovers(),
            conflicts: self.claims.take_fresh(),
        }
    }

    /// Takes new settings. Others than before make every plan another one.
    pub fn configure(&mut self, config: PlanConfig) {
        if config == self.config {
            return;
        }
        self.config = config;
        let services: Vec<_> = self.claimants().collect();
        let services = services.iter().map(|(id, service)| (id, &**service));
        self.claims
            .allow_external_ips(self.config.allow_external_ips, services);
        let all: Vec<ServiceId> = self.entries.keys().cloned().collect();
        for id in &all {
            self.measure(id);
        }
        self.changed.extend(self.services());
        self.refresh_facts();
    }

    /// The settings.
    pub const fn config(&self) -> &PlanConfig {
        &self.config
    }

    /// What plans depend on besides Services and slices.
    pub const fn facts(&self) -> &NodeFacts {
        &self.facts
    }

    /// This node's object, where there is one.
    pub const fn node(&self) -> Option<&Node> {
        self.inputs.node.as_ref()
    }

    /// The node's primary IP family (contract 1.3).
    pub fn primary_family(&self) -> Family {
        self.inputs.primary_family(&self.config)
    }

    /// All Services that are in force in some version, sorted.
    pub fn services(&self) -> Vec<ServiceId> {
        let existing = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.in_force().service.is_some());
        let mut ids: Vec<ServiceId> = existing.map(|(id, _)| id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// A Service, in the version that is in force.
    pub fn service(&self, id: &ServiceId) -> Option<&Service> {
        self.entries.get(id)?.in_force().service.as_deref()
    }

    /// The slices of a Service in the version that is in force, sorted by name; they may be there
    /// before the Service is.
    pub fn slices(&self, id: &ServiceId) -> &[EndpointSlice] {
        let entry = self.entries.get(id);
        entry.map_or(&[], |entry| entry.in_force().slices())
    }

    /// What a Service asks of this node, less the frontends that belong to another one; `None`
    /// where there is no such Service. Worked out anew for each call.
    pub fn plan(&self, id: &ServiceId) -> Option<ServicePlan> {
        let version = self.entries.get(id)?.in_force();
        let service = version.service.as_deref()?;
        let lost = self.claims.lost(id);
        Some(plan_without(
            service,
            version.slices(),
            &self.config,
            &self.facts,
            lost,
        ))
    }

    /// Every frontend that two Services ask for, by the Service that doesn't get it.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict> + '_ {
        self.claims.conflicts()
    }

    fn apply_service(&mut self, mut service: Service) {
        self.accept_service(&service.id);
        let (id, entry) = entry_of(&mut self.entries, service.id.clone());
        let newest = entry.newest();
        if newest.service.as_deref() == Some(&service) {
            return;
        }
        service.id = id.clone();
        let slices = newest.slices().iter();
        let size = plan::size(&service, &slices, &self.config);
        self.edit(&id, size, |version| {
            version.service = Some(Arc::new(service));
        });
    }

    fn delete_service(&mut self, id: &ServiceId) {
        self.accept_service(id);
        let entry = self.entries.get(id);
        if entry.is_none_or(|entry| entry.newest().service.is_none()) {
            return;
        }
        self.changed.insert(id.clone());
        self.edit(id, 0, |version| version.service = None);
    }

    fn apply_slice(&mut self, mut slice: EndpointSlice) {
        self.accept_slice(slice.id.service.namespace(), &slice.id.name);
        let (id, entry) = entry_of(&mut self.entries, slice.id.service.clone());
        if entry.newest().has(&slice) {
            return;
        }
        slice.id.service = id.clone();
        for node in slice
            .endpoints
            .iter_mut()
            .filter_map(|endpoint| endpoint.node.as_mut())
        {
            self.names.share(node);
        }
        let size = self.size_with(&id, &slice.id.name, Some(&slice));
        self.edit(&id, size, |version| version.put(slice));
    }

    fn delete_slice(&mut self, slice: &SliceId) {
        let SliceId { service, name } = slice;
        self.accept_slice(service.namespace(), name);
        let entry = self.entries.get(service);
        if entry.is_some_and(|entry| entry.newest().has_named(name)) {
            let size = self.size_with(service, name, None);
            self.edit(service, size, |version| version.remove(name));
        }
    }

    fn apply_node(&mut self, node: Option<Node>) {
        if self.inputs.node != node {
            self.inputs.node = node;
            self.node_changed = true;
            self.refresh_facts();
        }
    }

    fn change_service_cidrs(&mut self, change: impl FnOnce(&mut BTreeMap<Box<str>, Vec<IpNet>>)) {
        change(&mut self.inputs.service_cidrs);
        self.refresh_facts();
    }

    fn apply_local_addresses(&mut self, addresses: Vec<IpAddr>) {
        self.inputs.machine = Some(addresses);
        self.refresh_facts();
    }

    fn refresh_facts(&mut self) {
        let mut facts = self.inputs.facts(&self.config);
        facts.api_server = self.find_api_server();
        let old = std::mem::replace(&mut self.facts, facts);
        self.node_changed |= old != self.facts;
        if old.local_addresses != self.facts.local_addresses {
            let local = &self.facts.local_addresses;
            self.claims.set_local(local, &mut self.changed);
        }
        if old.zone != self.facts.zone {
            self.changed.extend(self.by_zone.iter().cloned());
        }
        if old.node_ip != self.facts.node_ip {
            self.changed.extend(self.by_node_ip.iter().cloned());
        }
        self.api_server_moved(&old);
    }

    /// The version of a Service whose addresses and ports are claimed: the one in force, else what is
    /// known of it, as the kernel may have that from an earlier process.
    fn claiming(&self, id: &ServiceId) -> Option<Arc<Service>> {
        let entry = self.entries.get(id);
        let known = entry.and_then(|it| {
            it.in_force()
                .service
                .as_ref()
                .or(it.newest().service.as_ref())
        });
        known.or_else(|| self.asked(id)).cloned()
    }

    /// All of them.
    fn claimants(&self) -> impl Iterator<Item = (ServiceId, Arc<Service>)> {
        let all: BTreeSet<&ServiceId> = self.entries.keys().chain(self.asking()).collect();
        let claiming = |id: &ServiceId| Some((id.clone(), self.claiming(id)?));
        all.into_iter().filter_map(claiming)
    }

    /// Claims for a Service what it asks for now in place of what it asked for before.
    fn claim_anew(&mut self, id: &ServiceId, before: Option<&Service>) {
        let now = self.claiming(id);
        self.claims
            .replace(id, before, now.as_deref(), &mut self.changed);
    }

    /// Settles the books after an entry changed.
    fn touched(&mut self, id: &ServiceId) {
        let Some(entry) = self.entries.get(id) else {
            return;
        };
        let version = entry.in_force();
        set(&mut self.by_zone, id, version.depends_on_zone());
        set(&mut self.by_node_ip, id, version.depends_on_node_ip());
        if entry.is_empty() {
            self.entries.remove(id);
        } else if let Some(service) = &version.service {
            // Slices of an absent Service have no plan to change.
            self.changed.insert(service.id.clone());
        }
        if self.is_way(id) {
            self.refresh_facts();
        }
    }
}

type Entries = HashMap<ServiceId, Box<Entry>>;

/// The entry of a Service, made where there is none, and the one copy of its name.
fn entry_of(entries: &mut Entries, id: ServiceId) -> (ServiceId, &mut Entry) {
    match entries.entry(id) {
        hash_map::Entry::Occupied(occupied) => (occupied.key().clone(), occupied.into_mut()),
        hash_map::Entry::Vacant(vacant) => (
            vacant.key().clone(),
            vacant.insert(Box::new(Entry::default())),
        ),
    }
}

/// Puts a name into a set, or takes it out.
fn set(names: &mut BTreeSet<ServiceId>, id: &ServiceId, member: bool) {
    if !member {
        names.remove(id);
    } else if !names.contains(id) {
        names.insert(id.clone());
    }
}
