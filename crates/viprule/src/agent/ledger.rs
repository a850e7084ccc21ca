//! What is true of the Services whose rules are in the kernel, for health checks and metrics.

use std::collections::BTreeMap;

use viprule_dataplane::RuleCounts;
use viprule_service::model::{Family, ServiceId};
use viprule_service::plan::{ServicePlan, UdpFrontend, Unreachable};

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
}

/// What is kept of one Service.
#[derive(Debug, Default)]
struct Entry {
    rules: RuleCounts,
    /// Most Services have nothing to say here.
    rare: Option<Box<Rare>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Rare {
    no_local: NoLocal,
    check: Option<ServiceCheck>,
}

/// Sums over all Services.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rules that are ours.
    pub rules: RuleCounts,
    /// Service ports that have endpoints, none of which may be used here.
    pub no_local: NoLocal,
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
#[derive(Debug)]
pub(super) enum Note {
    /// A Service's facts, or that it is gone.
    Service(Option<Facts>),
    /// The number of rules.
    Rules(RuleCounts),
}

/// Facts about one Service.
#[derive(Debug)]
pub(super) struct Facts {
    rules: RuleCounts,
    rare: Rare,
    pub(super) udp: Vec<UdpFrontend>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            families: Family::ALL.to_vec(),
            services: BTreeMap::new(),
            foundation: RuleCounts::default(),
            totals: Totals::default(),
            checks: BTreeMap::new(),
        }
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

    /// The facts about a Service that has this plan and consists of so many rules.
    pub(super) fn facts(&self, plan: &ServicePlan, rules: RuleCounts) -> Facts {
        Facts {
            rules,
            rare: Rare {
                no_local: NoLocal::of(plan),
                check: ServiceCheck::of(plan, &self.families),
            },
            udp: plan.udp_frontends(),
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
            .map(|facts| (facts.rules, facts.rare))
            .unwrap_or_default();
        let old = match facts {
            Some(_) => {
                let rare = (rare != Rare::default()).then(|| Box::new(rare));
                self.services.insert(id.clone(), Entry { rules, rare })
            }
            None => self.services.remove(id),
        };
        let old = old.unwrap_or_default();
        let old_rare = old.rare.map(|rare| *rare).unwrap_or_default();
        if old_rare.check != rare.check {
            self.checks.insert(id.clone(), rare.check);
        }
        self.totals.rules += rules;
        self.totals.rules -= old.rules;
        self.totals
            .no_local
            .replace(old_rare.no_local, rare.no_local);
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

    fn replace(&mut self, old: Self, new: Self) {
        for family in 0..2 {
            self.internal[family] += new.internal[family];
            self.internal[family] -= old.internal[family];
            self.external[family] += new.external[family];
            self.external[family] -= old.external[family];
        }
    }
}
