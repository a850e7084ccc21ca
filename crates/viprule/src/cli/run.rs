//! `viprule run`

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use nix::sys::prctl::set_no_new_privs;
use viprule_source::convert::parse_range;
use viprule_source::manifest::WatchOptions;

use super::{Given, cleanup, exit, print};
use crate::agent;
use crate::config::{ActionArgs, AgentArgs, Effective, Flags, Reloader, SharedArgs, VersionArg};
use crate::log;

/// Keep the kernel right: the node agent
///
/// Writes what differs at the start, on every change of the input and whenever somebody else
/// changes our rules. SIGTERM ends it and leaves all rules in place; SIGHUP makes it read its
/// input again.
///
/// Takes the flags and the configuration file of kube-proxy 1.36 as they are. A program of the
/// name kube-proxy, or a command line without a verb, does the same.
#[derive(Debug, clap::Args)]
#[command(disable_version_flag = true)]
pub(super) struct Args {
    #[command(flatten)]
    shared: SharedArgs,
    #[command(flatten)]
    agent: AgentArgs,
    #[command(flatten)]
    action: ActionArgs,
}

pub(super) fn run(args: Args, given: Given) -> anyhow::Result<u8> {
    let action = args.action;
    match action.version {
        Some(VersionArg::Line) => return version(""),
        Some(VersionArg::Raw) => return version(", in place of kube-proxy 1.36.3"),
        Some(VersionArg::Nothing) | None => {}
    }
    let flags = Flags {
        shared: args.shared,
        agent: Some(args.agent),
        given,
    };
    let file = action
        .write_config_to
        .filter(|path| !path.as_os_str().is_empty());
    if let Some(path) = file {
        return write_config(&flags, &path);
    }
    // Needs no configuration, so that a broken one is not in its way.
    if action.cleanup == Some(true) {
        let excluded = flags.shared.modes.ipvs.ipvs_exclude_cidrs.iter();
        let excluded = excluded.map(|text| {
            let network = parse_range(text);
            network.ok_or_else(|| anyhow::anyhow!("--ipvs-exclude-cidrs: {text:?} is no network"))
        });
        let excluded = excluded.collect::<anyhow::Result<_>>()?;
        return cleanup::run(&cleanup::Args::sparing(excluded));
    }
    // Threads that start later have it, too, and so do programs.
    set_no_new_privs().context("giving up further rights (PR_SET_NO_NEW_PRIVS)")?;
    let configuration = Reloader::start(flags, WatchOptions::default())?;
    let effective = configuration.current();
    let resolved = effective.resolve();
    let log = log::start(resolved.log_format, &resolved.log_level)?;
    for warning in &effective.warnings {
        tracing::warn!("{warning}");
    }
    if action.init_only == Some(true) {
        agent::prepare_host(effective)?;
    } else {
        agent::run(configuration, &log)?;
    }
    Ok(exit::OK)
}

fn version(more: &str) -> anyhow::Result<u8> {
    print::text(&format!("viprule {}{more}\n", env!("CARGO_PKG_VERSION")))?;
    Ok(exit::OK)
}

fn write_config(flags: &Flags, path: &Path) -> anyhow::Result<u8> {
    let effective = Effective::load(flags)?;
    for warning in &effective.warnings {
        print::note(&format!("warning: {warning}"));
    }
    fs::write(path, effective.to_yaml()?).with_context(|| format!("writing {}", path.display()))?;
    Ok(exit::OK)
}
