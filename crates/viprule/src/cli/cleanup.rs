//! `viprule cleanup`

use anyhow::Context as _;
use ipnet::IpNet;
use nfnetlink::Family;
use viprule_sync::Report;
use viprule_writer::backend::choose;

use super::{apply, exit, print};
use crate::config::Output;
use crate::mode::ModeSettings;
use crate::mode::changes::Changes;
use crate::mode::leftovers::{Failed, Leftovers, Search, find};

/// Remove everything that is ours from the kernel
///
/// Ours is what kube-proxy writes in any mode, whether kube-proxy or viprule wrote it: chains in
/// nf_tables and in legacy tables, IP sets, virtual servers on our addresses, tables of nftables
/// mode. Connections through virtual servers end. Foreign chains, rules, tables and virtual servers
/// stay, and so does KUBE-FIREWALL, which kubelet uses too. What can't be removed is told, and the
/// rest is removed all the same.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Args {
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    /// Networks whose virtual servers stay
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    ipvs_exclude_cidrs: Vec<IpNet>,
}

impl Args {
    /// For the agent's flag, which prints the rest as text.
    pub(super) fn sparing(ipvs_exclude_cidrs: Vec<IpNet>) -> Self {
        Self {
            ipvs_exclude_cidrs,
            ..Self::default()
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let choice = choose(None)?;
    let found = find(&Search {
        mode: None,
        choice: &choice,
        families: &Family::ALL,
        settings: &ModeSettings::excluding(args.ipvs_exclude_cidrs.clone()),
    });
    if args.dry_run {
        show(found, args.output)
    } else {
        remove(found, args.output)
    }
}

type Found = Vec<Result<Box<dyn Leftovers>, Failed>>;

/// No step keeps the next one from being made.
fn remove(found: Found, output: Output) -> anyhow::Result<u8> {
    let (mut report, mut refused, mut failed) = (Report::default(), Vec::new(), false);
    let mut fail = |error: &anyhow::Error| {
        failed = true;
        print::note(&format!("{error:#}"));
    };
    for found in found {
        let mut leftovers = match found {
            Ok(leftovers) => leftovers,
            Err(error) => {
                fail(&error.into());
                continue;
            }
        };
        match leftovers.remove() {
            Ok(mut removed) => {
                refused.append(&mut removed.refused);
                report.join(removed);
            }
            Err(error) => fail(&error.context(leftovers.name())),
        }
    }
    report.refused = refused;
    match output {
        Output::Text => print::text(&apply::describe(&Report {
            // All of it belongs to nobody any more.
            touched: Vec::new(),
            ..report.clone()
        }))?,
        Output::Json => print::json(&report)?,
    }
    Ok(if report.refused.is_empty() && !failed {
        exit::OK
    } else {
        exit::ERROR
    })
}

fn show(found: Found, output: Output) -> anyhow::Result<u8> {
    let (mut changes, mut unread) = (Changes::none("all"), false);
    for found in found {
        let found = found.map_err(anyhow::Error::from);
        match found.and_then(|mut it| it.changes().with_context(|| it.name())) {
            Ok(more) => changes.join(more),
            Err(error) => {
                print::note(&format!("{error:#}"));
                unread = true;
            }
        }
    }
    match output {
        Output::Text => print::text(&changes.to_text("kernel", "nothing"))?,
        Output::Json => print::json(&changes)?,
    }
    Ok(if unread { exit::ERROR } else { exit::OK })
}
