//! What `ipset save`, `ipvsadm -Sn`, `ip address` and `iptables-save` printed.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use nfnetlink::Family;
use viprule_dataplane::family::{in_netfilter, of_ipvs};
use viprule_dataplane::ipvs::{Key, Saves, Section, section};
use viprule_service::model;

use super::{IpvsMode, settings};
use crate::config::Resolved;
use crate::mode::Saved;

/// Reads files that may hold any of it.
pub(super) fn read(paths: &[PathBuf], resolved: &Resolved) -> anyhow::Result<Saved<IpvsMode>> {
    let families = &resolved.common.families;
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
        settings: settings(resolved, None),
        shows: Box::new(shows),
    })
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
