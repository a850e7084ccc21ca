//! What is true of the Services whose rules are in the kernel, for health checks and metrics.

use std::collections::BTreeMap;

use viprule_dataplane::RuleCounts;
use viprule_service::model::{Family, ServiceId};
use viprule_service::plan::{FlowFrontend, ServicePlan, Unreachable};

use super::FragmentId;
use crate::health::ServiceCheck;

/// Facts about what was written, by Service, and their totals.
#[derive(Debug)]
pub struct Ledger {
    families: Vec<Family>,
    services: BTreeMap<ServiceId, Entry>,
    foundation: RuleCounts,
    totals: Totals,
    checks: BTreeMap<ServiceId, Option<ServiceCheck>>,
    objections: BTreeMap<ServiceId, Vec<String>>,
    /// Services count where their ports else do.
    by_service: bool,
}

/// What is kept of one Service.
#[derive(Debug, Default)]
struct Entry {
    rules: RuleCounts,
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
pub struct Totals {
    /// Rules that are ours.
    pub rules: RuleCounts,
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

/// What a rendered fragment is entered with.
#[derive(Debug, Clone)]
pub(super) enum Note {
    /// A Service's facts, or that it is gone.
    Service(Option<Facts>),
    /// The number of rules.
    Rules(RuleCounts),
}

/// Facts about one Service.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    rules: RuleCounts,
    rare: Rare,
    pub(super) flows: Vec<FlowFrontend>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            families: Family::ALL.to_vec(),
            services: BTreeMap::new(),
            foundation: RuleCounts::default(),
            totals: Totals::default(),
            checks: BTreeMap::new(),
            objections: BTreeMap::new(),
            by_service: false,
        }
    }

    /// [`Totals::no_local`] counts Services rather than their ports, as IPVS mode does.
    pub fn count_services(&mut self) {
        self.by_service = true;
    }

    /// Only these IP families are served.
    pub fn serve_only(&mut self, families: Vec<Family>) {
        self.families = families;
    }

    /// Sums over all Services.
    pub const fn totals(&self) -> &Totals {
        &self.totals
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

    /// The facts about a Service that has this plan, consists of so many rules, and of which the
    /// dataplane refuses so much.
    pub(super) fn facts(
        &self,
        plan: &ServicePlan,
        rules: RuleCounts,
        objections: Vec<String>,
    ) -> Facts {
        Facts {
            rules,
            rare: Rare {
                no_local: if self.by_service {
                    NoLocal::of(plan).by_service()
                } else {
                    NoLocal::of(plan)
                },
                check: ServiceCheck::of(plan, &self.families),
                objections,
            },
            flows: plan.flow_frontends(),
        }
    }

    /// A fragment was written.
    pub(super) fn enter(&mut self, id: &FragmentId, note: &Note) {
        match (id, note) {
            (FragmentId::Service(id), Note::Service(facts)) => {
                self.enter_service(id, facts.as_ref());
            }
            (FragmentId::Foundation, Note::Rules(rules)) => {
                self.totals.rules += *rules;
                self.totals.rules -= std::mem::replace(&mut self.foundation, *rules);
            }
            _ => {}
        }
    }

    fn enter_service(&mut self, id: &ServiceId, facts: Option<&Facts>) {
        let (rules, rare) = facts
            .map(|facts| (facts.rules, facts.rare.clone()))
            .unwrap_or_default();
        let old = match facts {
            Some(_) => {
                let rare = (rare != Rare::default()).then(|| Box::new(rare.clone()));
                self.services.insert(id.clone(), Entry { rules, rare })
            }
            None => self.services.remove(id),
        };
        let old = old.unwrap_or_default();
        let old_rare = old.rare.map(|rare| *rare).unwrap_or_default();
        self.totals.rules += rules;
        self.totals.rules -= old.rules;
        let totals = &mut self.totals;
        totals.no_local.replace(old_rare.no_local, rare.no_local);
        totals.objected += usize::from(!rare.objections.is_empty());
        totals.objected -= usize::from(!old_rare.objections.is_empty());
        if old_rare.check != rare.check {
            self.checks.insert(id.clone(), rare.check);
        }
        if old_rare.objections != rare.objections {
            self.objections.insert(id.clone(), rare.objections);
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
