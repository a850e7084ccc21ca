//! nftables mode.

mod rival;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nfnetlink::Family;
use viprule::config::Effective;
use viprule::mode::nftables;
use viprule_dataplane::nftables::{
    Chain, Element, ElementContent, FrontendSet, Key, Lookup, Nftables, Row, SetName, TABLE,
};
use viprule_service::plan::{Frontend, NodeFacts};
use viprule_testkit::chance::Chance;
use viprule_testkit::memory::{MemoryKernel, Program, Ruleset, Set, Table};
use viprule_writer::WriteError;
use viprule_writer::nftables::NftablesWriter;

use super::{Edit, Environment, Mode, steady};
use crate::cluster::Cluster;
use crate::settings::SUPPORT;

/// nftables mode.
pub(crate) struct NftablesMode;

impl Mode for NftablesMode {
    type Dataplane = Nftables;
    type Writer = NftablesWriter;

    const NAME: &str = "nftables";

    fn dataplane(effective: &Effective, facts: &NodeFacts) -> Nftables {
        Nftables::new(
            nftables::settings(effective.resolve(), Some(SUPPORT)),
            facts,
        )
    }

    fn open() -> Result<NftablesWriter, WriteError> {
        NftablesWriter::open(&Family::ALL)
    }

    fn environment(
        cluster: &Cluster,
        effective: &Effective,
    ) -> anyhow::Result<Box<dyn Environment>> {
        let steady = steady::<Self, _>(cluster, effective, |plan, key| {
            let Key::Element(Element::Frontend {
                set: FrontendSet::Services,
                frontend: frontend @ Frontend::Address { address, .. },
            }) = key
            else {
                return None;
            };
            let mut ports = plan.ports.iter();
            ports
                .any(|port| port.cluster_ip == *address)
                .then_some(*frontend)
        })?;
        let disturbed = BTreeSet::new();
        Ok(Box::new(Frontends { steady, disturbed }))
    }
}

/// What a map has for a slot or an id: an endpoint.
type Endpoint = Vec<u8>;

/// Watches the frontends of the steady Services.
struct Frontends {
    steady: BTreeSet<Frontend>,
    /// Endpoints that another program took from them and that are not there again. Where the agent
    /// can't read all slices, what it knows to be gone may be all that is left.
    disturbed: BTreeSet<(Frontend, Endpoint)>,
}

impl Frontends {
    /// The steady frontends that lead on, with their endpoints.
    fn endpoints(&self, ruleset: &Ruleset) -> BTreeMap<Frontend, BTreeSet<Endpoint>> {
        let steady = self.steady.iter();
        let all = steady.filter_map(|frontend| {
            let table = ruleset.table(family(frontend).number(), TABLE)?;
            let endpoints = endpoints(table, *frontend);
            (!endpoints.is_empty()).then_some((*frontend, endpoints))
        });
        all.collect()
    }
}

impl Environment for Frontends {
    fn committed(&mut self, before: &Ruleset, after: &Ruleset) -> Option<String> {
        let (needed_before, needed_after) = (needed(before), needed(after));
        if let Some(lost) = needed_before.difference(&needed_after).next() {
            return Some(format!("a commit of the agent took {lost} away"));
        }
        let (before, after) = (self.endpoints(before), self.endpoints(after));
        let is_disturbed =
            |frontend: &Frontend| self.disturbed.iter().any(|(it, _)| it == frontend);
        let lost = before
            .keys()
            .filter(|it| !after.contains_key(*it) && !is_disturbed(it));
        let lost: Vec<String> = lost.map(ToString::to_string).collect();
        self.disturbed
            .retain(|(frontend, it)| after.get(frontend).is_none_or(|has| !has.contains(it)));
        (!lost.is_empty()).then(|| {
            format!(
                "a commit of the agent took the last endpoint of {} steady frontends away: {}",
                lost.len(),
                lost.join(", ")
            )
        })
    }

    fn serving(&self, kernel: &MemoryKernel) -> usize {
        let ruleset = kernel.ruleset();
        let leading = self.endpoints(&ruleset);
        let cluster_ips = leading.keys().filter_map(address);
        let cluster_ips = cluster_ips.filter(|address| {
            let table = ruleset.table(family_of(address).number(), TABLE);
            table.is_some_and(|table| has(table, &Element::ClusterIp(*address)))
        });
        let cluster_ips: BTreeSet<IpAddr> = cluster_ips.collect();
        let ipv4 = cluster_ips.iter().filter(|it| it.is_ipv4()).count();
        ipv4.max(cluster_ips.len() - ipv4)
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
        let before = self.endpoints(&kernel.ruleset());
        let edit = rival::edit(chance, rival, kernel);
        let mut after = self.endpoints(&kernel.ruleset());
        for (frontend, had) in before {
            let has = after.remove(&frontend).unwrap_or_default();
            let taken = had.difference(&has).map(|it| (frontend, it.clone()));
            self.disturbed.extend(taken);
        }
        edit
    }
}

/// What packets of every Service need: chains of the agent that have rules, but for those of timeouts
/// of session affinity, which come and go.
fn needed(ruleset: &Ruleset) -> BTreeSet<String> {
    let tables = ruleset.tables().filter(|table| table.name() == TABLE);
    let chains = tables.flat_map(|table| table.chains().map(move |chain| (table.family(), chain)));
    let comes_and_goes = |name| {
        matches!(
            Chain::parse(name),
            Some(Chain::Sticky(_) | Chain::StickyFor { .. })
        )
    };
    chains
        .filter(|(_, chain)| chain.rules().next().is_some() && !comes_and_goes(chain.name()))
        .map(|(family, chain)| format!("chain {} of family {family}", chain.name()))
        .collect()
}

/// The endpoints that a frontend of an address leads to: those of its rows whose size is said and
/// whose slot 0, which is tried last, has one. None where the frontend itself is not there.
fn endpoints(table: &Table, frontend: Frontend) -> BTreeSet<Endpoint> {
    let mut endpoints = BTreeSet::new();
    let set = FrontendSet::Services;
    if !has(table, &Element::Frontend { set, frontend }) {
        return endpoints;
    }
    for local in [false, true] {
        let lookup = Lookup::Address;
        let row = Row { lookup, local };
        let size_is_said = row.sizes().any(|size| {
            let set = FrontendSet::Size { local, size };
            has(table, &Element::Frontend { set, frontend })
        });
        let slot = 0;
        let first = Element::Endpoint {
            local,
            frontend,
            slot,
        };
        if !size_is_said || !has(table, &first) {
            continue;
        }
        // The slot is behind the frontend.
        let key = key(&first);
        let prefix = &key[..key.len() - 4];
        let rows = table.set(&SetName::Endpoints(row).to_string());
        let elements = rows.into_iter().flat_map(Set::elements);
        let own = elements.filter(|element| element.key().starts_with(prefix));
        endpoints.extend(own.filter_map(|element| element.data().map(<[u8]>::to_vec)));
    }
    endpoints
}

fn has(table: &Table, element: &Element) -> bool {
    let set = table.set(&element.set().name.to_string());
    set.is_some_and(|set| set.contains(&key(element)))
}

fn key(element: &Element) -> Vec<u8> {
    let native = element.encode(&ElementContent::Member);
    native.key.as_bytes().to_vec()
}

fn address(frontend: &Frontend) -> Option<IpAddr> {
    match frontend {
        Frontend::Address { address, .. } => Some(*address),
        Frontend::NodePort { .. } => None,
    }
}

fn family(frontend: &Frontend) -> Family {
    address(frontend).map_or(Family::Ipv4, |address| family_of(&address))
}

const fn family_of(address: &IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::Ipv4,
        IpAddr::V6(_) => Family::Ipv6,
    }
}
