//! `viprule cleanup`

use nfnetlink::Family;
use viprule_dataplane::iptables::Desired;
use viprule_dataplane::{Scope, diff};
use viprule_writer::Writer as _;
use viprule_writer::backend::{HostWriter, choose};
use viprule_writer::iptables::remove_counters;
use viprule_writer::leavings;

use super::changes::Changes;
use super::{apply, exit, print};
use crate::agent::{Report, remove_everything};
use crate::config::Output;

/// Remove everything that is ours from the kernel
///
/// Ours is what kube-proxy writes in any mode, whether kube-proxy or viprule wrote it, in nf_tables
/// and in legacy tables. Foreign chains, rules and tables stay, and so does KUBE-FIREWALL, which
/// kubelet uses too.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Args {
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let writers = writers()?;
    if args.dry_run {
        let mut observed = Desired::default();
        for mut writer in writers {
            observed = observed.merged(writer.observe(&Scope::Everything)?);
        }
        let nothing = Desired::default();
        let leavings = leavings::find()?.iter().map(ToString::to_string).collect();
        let changes = Changes::new(&diff(&observed, &nothing)).with_leavings(leavings);
        match args.output {
            Output::Text => print::text(&changes.to_text("kernel", "nothing"))?,
            Output::Json => print::json(&changes)?,
        }
        return Ok(exit::OK);
    }
    let mut report = Report::default();
    let mut refused = Vec::new();
    for writer in writers {
        report.join(remove_everything(writer)?);
        refused.append(&mut report.refused);
    }
    remove_counters();
    let removal = leavings::remove(leavings::find()?)?;
    let leavings = removal.removed.iter().map(ToString::to_string);
    report.leavings = leavings.collect();
    let left = removal.left.iter();
    refused.extend(left.map(|(leaving, why)| format!("{leaving}: {why}")));
    report.refused = refused;
    match args.output {
        Output::Text => print::text(&apply::describe(&Report {
            // All of it belongs to nobody any more.
            touched: Vec::new(),
            ..report.clone()
        }))?,
        Output::Json => print::json(&report)?,
    }
    Ok(if report.refused.is_empty() {
        exit::OK
    } else {
        exit::ERROR
    })
}

/// One for the node's own iptables, and one for the other where it holds chains of ours too.
fn writers() -> anyhow::Result<Vec<HostWriter>> {
    let choice = choose(None)?;
    let other = choice.leftovers.then(|| choice.backend.other());
    let backends = std::iter::once(choice.backend).chain(other);
    let writers = backends.map(|backend| HostWriter::open(backend, &Family::ALL));
    Ok(writers.collect::<Result<_, _>>()?)
}
