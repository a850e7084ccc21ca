//! IPVS mode.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use nfnetlink::Family;
use serde_json::{Value, json};
use viprule_dataplane::Diff;
use viprule_dataplane::family::{in_netfilter, of_ipvs};
use viprule_dataplane::ipvs::{
    self, Desired, Ipvs, Key, Object, Saves, Section, Settings, print_save, section,
};
use viprule_service::model;
use viprule_service::plan::NodeFacts;
use viprule_writer::backend::choose;
use viprule_writer::ipvs::IpvsWriter;
use viprule_writer::netfilter::probe;

use super::iptables::chains;
use super::{Facility, Saved};
use crate::agent::host_settings;
use crate::cli::changes::Changes;
use crate::config::Resolved;

/// IPVS mode.
pub(in crate::cli) enum OfIpvs {}

impl Facility for OfIpvs {
    type Dataplane = Ipvs;
    type Writer = IpvsWriter;

    fn settings(resolved: &Resolved) -> Settings {
        resolved.ipvs_for(resolved.common.families.clone())
    }

    fn settings_here(resolved: &Resolved, _: bool) -> anyhow::Result<Settings> {
        let families = resolved.families_on(probe(false)?);
        Ok(resolved.ipvs_for(families))
    }

    fn dataplane(settings: Settings, facts: &NodeFacts) -> Ipvs {
        Ipvs::new(settings, facts)
    }

    fn open(resolved: &Resolved, settings: &Settings) -> anyhow::Result<IpvsWriter> {
        let backend = choose(resolved.backend.chosen())?.backend;
        let mut writer = IpvsWriter::open(backend, &settings.common.families)?;
        writer.set_drain_timeout(resolved.ipvs.drain_timeout);
        Ok(writer)
    }

    fn prepare(resolved: &Resolved, _: &Ipvs) -> anyhow::Result<()> {
        host_settings::prepare_ipvs(resolved)
    }

    fn unfinished(writer: &IpvsWriter) -> Option<String> {
        let draining = writer.draining();
        (draining > 0).then(|| {
            format!(
                "{draining} destinations at weight 0 still have connections; the agent removes \
                 them when those have ended, and so does this command"
            )
        })
    }

    fn saved(paths: &[PathBuf], resolved: &Resolved) -> anyhow::Result<Saved<Self>> {
        let families = resolved.common.families.clone();
        let only = match families[..] {
            [only] => Some(only),
            _ => None,
        };
        let mut saves = Saves::new();
        for path in paths {
            let text =
                fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            let read = saves.read(&text, only);
            read.with_context(|| path.display().to_string())?;
        }
        let sections = saves.sections().clone();
        for needed in [Section::Sets, Section::Addresses] {
            anyhow::ensure!(
                !sections.contains(&Section::Servers) || sections.contains(&needed),
                "--against: which virtual servers are ours shows in the IP sets and the link's \
                 addresses; save the output of `{}` as well",
                needed.heading().trim_start_matches("# ")
            );
        }
        let served = families.clone();
        let shows = move |key: &Key| {
            sections.contains(&section(key))
                && family_of(key).is_none_or(|family| served.contains(&family))
        };
        Ok(Saved {
            state: saves.finish().state.filter(&shows),
            settings: resolved.ipvs_for(families),
            shows: Box::new(shows),
        })
    }

    fn text(_: &Settings, state: &Desired) -> String {
        print_save(state)
    }

    /// Sets, virtual servers and addresses line by line, chains as in iptables mode.
    fn json(state: &Desired) -> anyhow::Result<Value> {
        let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (section, text) in ipvs::sections(state) {
            if let Some(name) = section_name(section) {
                lines.insert(name, text.lines().map(str::to_owned).collect());
            }
        }
        let chains = chains(&netfilter(state));
        let lines = |name| lines.get(name).cloned().unwrap_or_default();
        Ok(json!({
            "sets": lines("sets"),
            "servers": lines("servers"),
            "addresses": lines("addresses"),
            "chains": chains,
        }))
    }

    fn changes(diff: &Diff<'_, Key, Object, Object>) -> Changes {
        Changes::of_ipvs(diff)
    }
}

/// What JSON calls the sections that are not chains.
pub(in crate::cli) const fn section_name(section: Section) -> Option<&'static str> {
    match section {
        Section::Sets => Some("sets"),
        Section::Servers => Some("servers"),
        Section::Addresses => Some("addresses"),
        Section::Rules(_) => None,
    }
}

/// The chains and rules of a state.
fn netfilter(state: &Desired) -> viprule_dataplane::netfilter::Desired {
    let objects = state.iter().filter_map(|object| match object {
        (Key::Netfilter(key), Object::Netfilter(object)) => Some((*key, object.clone())),
        _ => None,
    });
    objects.collect()
}

/// The family of an object; none where it is of both.
fn family_of(key: &Key) -> Option<Family> {
    match key {
        Key::Link => None,
        Key::Set(set) | Key::Entry { set, .. } => Some(set.family),
        Key::Server(server) | Key::Destination { server, .. } => Some(of_ipvs(server.family())),
        Key::Address(address) => Some(in_netfilter(model::Family::of(address))),
        Key::Netfilter(key) => Some(key.table().family),
    }
}
