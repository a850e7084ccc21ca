//! iptables mode.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nfnetlink::Family;
use serde::Serialize;
use serde_json::Value;
use viprule_dataplane::Diff;
use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_dataplane::netfilter::{Desired, Key, Object, parse_save, print_save};
use viprule_dataplane::ownership::Layout;
use viprule_service::plan::NodeFacts;
use viprule_writer::backend::{HostWriter, choose};
use viprule_writer::netfilter::probe;

use super::{Facility, Saved};
use crate::agent::host_settings;
use crate::cli::changes::{Changes, family_name};
use crate::config::Resolved;

/// iptables mode.
pub(in crate::cli) enum OfIptables {}

impl Facility for OfIptables {
    type Dataplane = Iptables;
    type Writer = HostWriter;

    fn settings(resolved: &Resolved) -> Settings {
        resolved.iptables()
    }

    fn settings_here(resolved: &Resolved, write: bool) -> anyhow::Result<Settings> {
        Ok(resolved.iptables_on(probe(write)?))
    }

    fn dataplane(settings: Settings, facts: &NodeFacts) -> Iptables {
        Iptables::new(settings, facts)
    }

    fn open(resolved: &Resolved, settings: &Settings) -> anyhow::Result<HostWriter> {
        let backend = choose(resolved.backend.chosen())?.backend;
        Ok(HostWriter::open(backend, &settings.common.families)?)
    }

    fn prepare(_: &Resolved, dataplane: &Iptables) -> anyhow::Result<()> {
        Ok(host_settings::ensure(dataplane.options())?)
    }

    fn unfinished(_: &HostWriter) -> Option<String> {
        None
    }

    fn saved(paths: &[PathBuf], resolved: &Resolved) -> anyhow::Result<Saved<Self>> {
        let mut state = Desired::default();
        let (mut families, mut nfacct) = (Vec::new(), false);
        for path in paths {
            let text =
                fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            let family = family_of(path, &text, &resolved.common.families)?;
            anyhow::ensure!(
                !families.contains(&family),
                "--against: two dumps of the same family; give one for each"
            );
            let more = parse_save::<Object>(Layout::Iptables, family, &text)
                .with_context(|| path.display().to_string())?;
            state = state.merged(more);
            families.push(family);
            nfacct |= text.contains("--nfacct-name");
        }
        let mut settings = resolved.iptables();
        (settings.common.families, settings.nfacct) = (families, nfacct);
        Ok(Saved {
            state,
            settings,
            shows: Box::new(|_| true),
        })
    }

    fn text(settings: &Settings, state: &Desired) -> String {
        let families = settings.common.families.iter();
        families.map(|family| print_save(*family, state)).collect()
    }

    fn json(state: &Desired) -> anyhow::Result<Value> {
        Ok(serde_json::to_value(chains(state))?)
    }

    fn changes(diff: &Diff<'_, Key, Object, Object>) -> Changes {
        Changes::of_chains(diff)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Chain {
    family: &'static str,
    table: &'static str,
    #[serde(rename = "chain")]
    name: String,
}

/// A chain with its rules.
#[derive(Debug, Serialize)]
pub(super) struct Rules {
    #[serde(flatten)]
    chain: Chain,
    rules: Vec<String>,
}

/// Objects chain by chain.
pub(super) fn chains(state: &Desired) -> Vec<Rules> {
    let mut chains: BTreeMap<Chain, Vec<String>> = BTreeMap::new();
    for (key, object) in state {
        let table = key.table();
        let (family, table) = (family_name(table.family), table.kind.name());
        let chain = Chain {
            family,
            table,
            name: key.chain_name(),
        };
        let rules = object.rules().iter().map(ToString::to_string);
        chains.entry(chain).or_default().extend(rules);
    }
    chains
        .into_iter()
        .map(|(chain, rules)| Rules { chain, rules })
        .collect()
}

/// The family that a dump is of: by its first line, or the only one asked for.
fn family_of(path: &Path, text: &str, families: &[Family]) -> anyhow::Result<Family> {
    let head = text.lines().next().unwrap_or_default();
    if head.contains("ip6tables-save") {
        Ok(Family::Ipv6)
    } else if head.contains("iptables-save") {
        Ok(Family::Ipv4)
    } else if let [only] = families {
        Ok(*only)
    } else {
        anyhow::bail!(
            "{}: does not say whether it is of IPv4 or IPv6; add --ip-family",
            path.display()
        )
    }
}
