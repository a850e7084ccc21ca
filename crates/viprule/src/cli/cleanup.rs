//! `viprule cleanup`

use nfnetlink::Family;
use viprule_dataplane::iptables::{Desired, Iptables, Settings};
use viprule_dataplane::{Scope, diff};
use viprule_service::plan::{NodeFacts, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_writer::Writer as _;
use viprule_writer::iptables::{IptablesWriter, remove_counters};

use super::changes::Changes;
use super::{apply, exit, print};
use crate::agent::{Report, Syncer};
use crate::config::Output;

/// Remove everything that is ours from the kernel
///
/// Foreign chains, rules and tables stay, and so does KUBE-FIREWALL, which kubelet uses too.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let mut writer = IptablesWriter::open(&Family::ALL)?;
    if args.dry_run {
        let observed: Desired = writer.observe(&Scope::Everything)?;
        let nothing = Desired::default();
        let changes = Changes::new(&diff(&observed, &nothing));
        match args.output {
            Output::Text => print::text(&changes.to_text("kernel", "nothing"))?,
            Output::Json => print::json(&changes)?,
        }
        return Ok(exit::OK);
    }
    let nobody = PlanConfig {
        node_name: String::new(),
        bind_address: None,
        allow_external_ips: true,
    };
    let dataplane = Iptables::new(Settings::default(), &NodeFacts::default());
    let mut syncer = Syncer::new(Tracker::new(nobody), dataplane, writer);
    let report = syncer.remove_everything()?;
    remove_counters();
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
