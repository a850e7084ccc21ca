//! `viprule cleanup`

use ipnet::IpNet;
use nfnetlink::Family;
use viprule_sync::Report;
use viprule_writer::backend::choose;

use super::{apply, exit, print};
use crate::config::Output;
use crate::mode::ModeSettings;
use crate::mode::changes::Changes;
use crate::mode::leftovers::{Found, Search, find, for_each};

/// Remove everything that is ours from the kernel
///
/// Ours is what kube-proxy writes in any mode, whether kube-proxy or viprule wrote it: chains in
/// nf_tables and in legacy tables, IP sets, virtual servers on our addresses, the tables kube-proxy
/// and viprule of nftables mode. Connections through virtual servers end. Foreign chains, rules, tables and virtual servers
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

fn remove(found: Vec<Found>, output: Output) -> anyhow::Result<u8> {
    let (mut report, mut refused) = (Report::default(), Vec::new());
    let failures = for_each(found, |left| {
        let mut removed = left.remove()?;
        refused.append(&mut removed.refused);
        report.join(removed);
        Ok(())
    });
    tell(&failures);
    report.refused = refused;
    match output {
        Output::Text => print::text(&apply::describe(&Report {
            // All of it belongs to nobody any more.
            touched: Vec::new(),
            ..report.clone()
        }))?,
        Output::Json => print::json(&report)?,
    }
    Ok(if report.refused.is_empty() && failures.is_empty() {
        exit::OK
    } else {
        exit::ERROR
    })
}

fn show(found: Vec<Found>, output: Output) -> anyhow::Result<u8> {
    let mut changes = Changes::none("all");
    let failures = for_each(found, |left| {
        changes.join(left.changes()?);
        Ok(())
    });
    tell(&failures);
    match output {
        Output::Text => print::text(&changes.to_text("kernel", "nothing"))?,
        Output::Json => print::json(&changes)?,
    }
    Ok(if failures.is_empty() {
        exit::OK
    } else {
        exit::ERROR
    })
}

fn tell(failures: &[anyhow::Error]) {
    for error in failures {
        print::note(&format!("{error:#}"));
    }
}
