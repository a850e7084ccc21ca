//! What is true of the Services whose rules are in the kernel.

use std::collections::BTreeMap;

use viprule_dataplane::Counts;
use viprule_service::model::{CreationTime, Family, ServiceId};
use viprule_service::plan::{FlowFrontend, ServicePlan, Unreachable};

use crate::FragmentId;

/// Facts about what was written, by Service, and their totals.
#[derive(Debug)]
pub struct Ledger<C> {
    families: Vec<Family>,
    services: BTreeMap<ServiceId, Entry<C>>,
    base: C,
    totals: Totals<C>,
    written: C,
    checks: BTreeMap<ServiceId, Option<ServiceCheck>>,
    objections: BTreeMap<ServiceId, Vec<String>>,
    /// Services count where their ports else do.
    by_service: bool,
}

/// What is kept of one Service.
#[derive(Debug, Clone, Default)]
struct Entry<C> {
    counts: C,
    /// Most Services have nothing to say here.
    rare: Option<Box<Rare>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rare {
    no_local: NoLocal,
    check: Option<ServiceCheck>,
    objections: Vec<String>,
}

/// Sums over all Services.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals<C> {
    /// Of the base and of all Services.
    pub counts: C,
    /// Service ports that have endpoints, none of which may be used here.
    pub no_local: NoLocal,
    /// Services of which the dataplane refuses a part.
    pub objected: usize,
}

/// Service ports that have endpoints somewhere but none on this node, which their policy wants
/// (contract 7), for each IP family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoLocal {
    /// By `internalTrafficPolicy`.
    pub internal: [usize; 2],
    /// By `externalTrafficPolicy`.
    pub external: [usize; 2],
}

/// What a Service's health check needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceCheck {
    /// When the Service was created.
    pub created: CreationTime,
    /// The TCP port, not 0.
    pub port: u16,
    /// Distinct addresses of local ready endpoints, for each family; `None` where the Service has
    /// no cluster IP of the family or the family is not served, and nothing listens then.
    pub local_endpoints: [Option<usize>; 2],
}

impl ServiceCheck {
    /// What the plan asks for in these families, if it asks for a check.
    fn of(plan: &ServicePlan, families: &[Family]) -> Option<Self> {
        let check = plan.health_check?;
        let local_endpoints = Family::ALL.map(|family| {
            let has_cluster_ip = plan.ports.iter().any(|port| port.family == family);
            let served = has_cluster_ip && families.contains(&family);
            served.then_some(check.local_endpoints[family as usize])
        });
        Some(Self {
            created: check.created,
            port: check.port,
            local_endpoints,
        })
    }
}

/// What a rendered fragment is entered with.
#[derive(Debug, Clone)]
pub(crate) enum Note<C> {
    /// The base's figures.
    Base(C),
    /// A Service's facts, or that it is gone.
    Service(Option<Facts<C>>),
    /// Nothing.
    EntryPoints,
}

/// Facts about one Service.
#[derive(Debug, Clone)]
pub(crate) struct Facts<C> {
    entry: Entry<C>,
    /// What the cleaner of tracked flows is to know, if there is one.
    pub(crate) flows: Box<[FlowFrontend]>,
}

impl<C: Counts> Ledger<C> {
    pub(crate) fn new() -> Self {
        Self {
            families: Family::ALL.to_vec(),
            services: BTreeMap::new(),
            base: C::default(),
            totals: Totals::default(),
            written: C::default(),
            checks: BTreeMap::new(),
            objections: BTreeMap::new(),
            by_service: false,
        }
    }

    /// [`Totals::no_local`] counts Services rather than their ports.
    pub fn count_services(&mut self) {
        self.by_service = true;
    }

    /// Only these IP families are served.
    pub fn serve_only(&mut self, families: Vec<Family>) {
        self.families = families;
    }

    /// Sums over all Services.
    pub const fn totals(&self) -> &Totals<C> {
        &self.totals
    }

    /// The figures of what was written since the last call.
    pub fn take_written(&mut self) -> C {
        std::mem::take(&mut self.written)
    }

    /// The health checks that changed since the last call; `None` for those that are gone.
    pub fn take_checks(&mut self) -> BTreeMap<ServiceId, Option<ServiceCheck>> {
        std::mem::take(&mut self.checks)
    }

    /// What the dataplane refuses to do for Services, where that changed since the last call; empty
    /// where it refuses nothing any more.
    pub fn take_objections(&mut self) -> BTreeMap<ServiceId, Vec<String>> {
        std::mem::take(&mut self.objections)
    }

    /// The facts about a Service that has this plan and these figures, and of which the dataplane
    /// refuses so much.
    pub(crate) fn facts(&self, plan: &ServicePlan, counts: C, objections: Vec<String>) -> Facts<C> {
        let no_local = NoLocal::of(plan);
        let rare = Rare {
            no_local: if self.by_service {
                no_local.by_service()
            } else {
                no_local
            },
            check: ServiceCheck::of(plan, &self.families),
            objections,
        };
        let rare = (rare != Rare::default()).then(|| Box::new(rare));
        Facts {
            entry: Entry { counts, rare },
            flows: Box::default(),
        }
    }

    /// Objects with these figures were written.
    pub(crate) fn wrote(&mut self, counts: C) {
        self.written += counts;
    }

    /// A fragment was written.
    pub(crate) fn enter(&mut self, id: &FragmentId, note: &Note<C>) {
        match (id, note) {
            (FragmentId::Service(id), Note::Service(facts)) => {
                self.enter_service(id, facts.as_ref());
            }
            (_, Note::Base(counts)) => {
                self.totals.counts += *counts;
                self.totals.counts -= std::mem::replace(&mut self.base, *counts);
            }
            _ => {}
        }
    }

    fn enter_service(&mut self, id: &ServiceId, facts: Option<&Facts<C>>) {
        let old = match facts {
            Some(facts) => self.services.insert(id.clone(), facts.entry.clone()),
            None => self.services.remove(id),
        };
        let [old, new] =
            [old, facts.map(|facts| facts.entry.clone())].map(Option::unwrap_or_default);
        let totals = &mut self.totals;
        totals.counts += new.counts;
        totals.counts -= old.counts;
        let [old, new] = [old.rare, new.rare].map(|rare| rare.map(|it| *it).unwrap_or_default());
        totals.no_local.replace(old.no_local, new.no_local);
        totals.objected += usize::from(!new.objections.is_empty());
        totals.objected -= usize::from(!old.objections.is_empty());
        if old.check != new.check {
            self.checks.insert(id.clone(), new.check);
        }
        if old.objections != new.objections {
            self.objections.insert(id.clone(), new.objections);
        }
    }
}

impl NoLocal {
    fn of(plan: &ServicePlan) -> Self {
        let mut counts = Self::default();
        for port in &plan.ports {
            let family = port.family as usize;
            let lacks = |unreachable| unreachable == Some(Unreachable::NoLocalEndpoints);
            counts.internal[family] += usize::from(lacks(port.internal_unreachable()));
            counts.external[family] += usize::from(lacks(port.external_unreachable()));
        }
        counts
    }

    /// Of one Service's ports, whether there is any.
    fn by_service(self) -> Self {
        Self {
            internal: self.internal.map(|ports| ports.min(1)),
            external: self.external.map(|ports| ports.min(1)),
        }
    }

    fn replace(&mut self, old: Self, new: Self) {
        for family in 0..2 {
            self.internal[family] += new.internal[family];
            self.internal[family] -= old.internal[family];
            self.external[family] += new.external[family];
            self.external[family] -= old.external[family];
        }
    }
}
