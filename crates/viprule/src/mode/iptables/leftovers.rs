//! Chains and rules over the iptables that the mode in use does not write.

use nfnetlink::Family;
use viprule_dataplane::family::in_plans;
use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_dataplane::netfilter::{Desired, Object};
use viprule_dataplane::{Scope, State, diff};
use viprule_service::plan::{Budgets, NodeFacts, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_sync::{Report, Syncer};
use viprule_writer::Writer as _;
use viprule_writer::backend::{Backend, HostWriter};
use viprule_writer::netfilter::remove_counters;

use crate::mode::changes::Changes;
use crate::mode::leftovers::{Found, Leftovers, Progress, Search};
use crate::mode::{Mode as _, chains, with_mode};

/// What iptables mode or IPVS mode left in one of the kernel's two iptables.
#[derive(Debug)]
struct Chains {
    backend: Backend,
    families: Vec<Family>,
    /// It is where this node's iptables has its rules.
    is_own: bool,
    /// Nobody is to have counters that rules feed after this.
    with_counters: bool,
}

/// A mode with chains has them where `search.choice` says, and the other one has leftovers. So has
/// that one, too, where the mode in use has no chains.
pub(super) fn find(search: &Search<'_>) -> Vec<Found> {
    let own = search.choice.backend;
    let of = |backend, families: &[Family], with_counters| -> Found {
        Ok(Box::new(Chains {
            backend,
            families: families.to_vec(),
            is_own: backend == own,
            with_counters,
        }))
    };
    let mut all = Vec::new();
    // Each on its own: the host may have the programs of one only.
    let families = search.choice.leftovers.iter();
    let families = families.filter(|family| search.families.contains(family));
    all.extend(families.map(|family| of(own.other(), &[*family], false)));
    let Some(mode) = search.mode else {
        all.push(of(own, search.families, true));
        return all;
    };
    if !with_mode!(mode, M => M::USES_IPTABLES) {
        let families = search.choice.own.iter();
        let families = families.filter(|family| search.families.contains(family));
        let families: Vec<_> = families.collect();
        // Rules of both families feed the same ones.
        let last = families.last().copied();
        let each = families.iter();
        all.extend(each.map(|family| of(own, &[**family], last == Some(*family))));
    }
    all
}

impl Chains {
    fn families(&self) -> String {
        let names = self.families.iter().map(|it| in_plans(*it).as_str());
        names.collect::<Vec<_>>().join(" and ")
    }

    /// So many of them in a line, where there are any.
    fn line(&self, objects: usize) -> Vec<String> {
        let line = || {
            format!(
                "{objects} {} objects over {}",
                self.families(),
                self.backend
            )
        };
        (objects > 0).then(line).into_iter().collect()
    }

    fn observe(&self) -> anyhow::Result<Desired> {
        let mut writer = HostWriter::open(self.backend, &self.families)?;
        Ok(writer.observe(&Scope::Everything)?)
    }
}

impl Leftovers for Chains {
    fn name(&self) -> String {
        format!(
            "{} chains of a service proxy over {} iptables",
            self.families(),
            self.backend
        )
    }

    fn lines(&mut self) -> anyhow::Result<Vec<String>> {
        // Some stay, such as what kubelet uses too.
        let (there, nothing) = (self.observe()?, State::<_, Object>::default());
        Ok(self.line(diff(&there, &nothing).deletes.len()))
    }

    fn changes(&mut self) -> anyhow::Result<Changes> {
        let (there, nothing) = (self.observe()?, State::default());
        let mut changes = chains::changed("all", &diff(&there, &nothing));
        if !self.is_own {
            changes.over(&self.backend.to_string());
        }
        Ok(changes)
    }

    fn drain(&mut self) -> anyhow::Result<Progress> {
        let report = self.remove()?;
        Ok(Progress {
            gone: self.line(report.removed),
            left: report.refused,
            ..Progress::default()
        })
    }

    /// A chain that somebody else's rule leads to can't go; it is left empty.
    fn remove(&mut self) -> anyhow::Result<Report> {
        let nobody = PlanConfig {
            node_name: String::new(),
            bind_address: None,
            allow_external_ips: true,
            budgets: Budgets::default(),
        };
        let dataplane = Iptables::new(Settings::default(), &NodeFacts::default());
        let writer = HostWriter::open(self.backend, &self.families)?;
        let report = Syncer::new(Tracker::new(nobody), dataplane, writer).remove_everything()?;
        if self.with_counters {
            remove_counters();
        }
        Ok(report)
    }
}
