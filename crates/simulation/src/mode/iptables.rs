//! iptables mode.

use std::collections::{BTreeMap, BTreeSet};

use nfnetlink::Family;
use viprule::config::Effective;
use viprule::mode::iptables;
use viprule_dataplane::iptables::Iptables;
use viprule_dataplane::netfilter::Key;
use viprule_service::plan::NodeFacts;
use viprule_testkit::chance::Chance;
use viprule_testkit::memory::{MemoryKernel, Program, Ruleset};
use viprule_writer::WriteError;
use viprule_writer::netfilter::NftWriter;

use super::{Edit, Environment, Mode, netfilter, steady};
use crate::cluster::Cluster;
use crate::settings::SUPPORT;

/// iptables mode, over `nf_tables`.
pub(crate) struct IptablesMode;

impl Mode for IptablesMode {
    type Dataplane = Iptables;
    type Writer = NftWriter;

    const NAME: &str = "iptables";

    fn dataplane(effective: &Effective, facts: &NodeFacts) -> Iptables {
        Iptables::new(
            iptables::settings(effective.resolve(), Some(SUPPORT)),
            facts,
        )
    }

    fn open() -> Result<NftWriter, WriteError> {
        NftWriter::open(&[Family::Ipv4, Family::Ipv6])
    }

    fn environment(
        cluster: &Cluster,
        effective: &Effective,
    ) -> anyhow::Result<Box<dyn Environment>> {
        let steady = steady::<Self, _>(cluster, effective, |_, key| {
            let name = key.chain_name();
            let is_service = matches!(key, Key::Chain { .. }) && name.starts_with("KUBE-SVC-");
            is_service.then(|| (key.table().family, name))
        })?;
        let disturbed = BTreeSet::new();
        Ok(Box::new(Chains { steady, disturbed }))
    }
}

/// A chain of the `nat` table.
type ChainOf = (Family, String);

/// Watches the chains of the steady Services.
struct Chains {
    steady: BTreeSet<ChainOf>,
    /// Endpoints that another program took from them and that are not there again. Where the agent
    /// can't read all slices, what it knows to be gone may be all that is left.
    disturbed: BTreeSet<(ChainOf, String)>,
}

impl Environment for Chains {
    fn committed(&mut self, before: &Ruleset, after: &Ruleset) -> Option<String> {
        let (before, after) = (endpoints(before), endpoints(after));
        let is_disturbed = |chain: &ChainOf| self.disturbed.iter().any(|(it, _)| it == chain);
        let steady = self.steady.iter();
        let lost = steady
            .filter(|it| before.contains_key(*it) && !after.contains_key(*it) && !is_disturbed(it));
        let lost: Vec<String> = lost
            .map(|(family, chain)| format!("{chain} of {family}"))
            .collect();
        self.disturbed
            .retain(|(chain, it)| after.get(chain).is_none_or(|has| !has.contains(it)));
        (!lost.is_empty()).then(|| {
            format!(
                "a commit of the agent took the last endpoint of {} steady chains away: {}",
                lost.len(),
                lost.join(", ")
            )
        })
    }

    fn serving(&self, kernel: &MemoryKernel) -> usize {
        let endpoints = endpoints(&kernel.ruleset());
        let steady = self.steady.iter().filter(|it| endpoints.contains_key(*it));
        let (ipv4, ipv6): (Vec<_>, Vec<_>) =
            steady.partition(|(family, _)| *family == Family::Ipv4);
        ipv4.len().max(ipv6.len())
    }

    fn all_is_right(&mut self) {
        self.disturbed.clear();
    }

    fn edit(
        &mut self,
        chance: &mut Chance,
        rival: &Program,
        kernel: &MemoryKernel,
    ) -> Option<Edit> {
        let before = endpoints(&kernel.ruleset());
        let edit = netfilter::edit(chance, rival, kernel);
        let mut after = endpoints(&kernel.ruleset());
        for (chain, had) in before {
            let has = after.remove(&chain).unwrap_or_default();
            let taken = had.difference(&has);
            let taken = taken.map(|it| (chain.clone(), it.clone()));
            self.disturbed.extend(taken);
        }
        edit
    }
}

/// The chains of Services that packets are led to and that lead on, each with its endpoints' chains.
fn endpoints(ruleset: &Ruleset) -> BTreeMap<ChainOf, BTreeSet<String>> {
    let mut endpoints = BTreeMap::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let Some(table) = ruleset.table(family.number(), "nat") else {
            continue;
        };
        let Some(services) = table.chain("KUBE-SERVICES") else {
            continue;
        };
        for name in table.led_to(services) {
            let Some(chain) = table.chain(name) else {
                continue;
            };
            let is_endpoint = |name: &&str| {
                name.starts_with("KUBE-SEP-")
                    && table
                        .chain(name)
                        .is_some_and(|endpoint| endpoint.rules().next().is_some())
            };
            let led_to = table.led_to(chain).filter(is_endpoint);
            let led_to: BTreeSet<String> = led_to.map(str::to_owned).collect();
            if !led_to.is_empty() {
                endpoints.insert((family, name.to_owned()), led_to);
            }
        }
    }
    endpoints
}
