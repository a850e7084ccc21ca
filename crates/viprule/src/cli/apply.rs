//! `viprule apply`

use std::fmt::Write as _;

use viprule_dataplane::Scope;
use viprule_dataplane::iptables::Iptables;
use viprule_writer::iptables::{IptablesWriter, probe};

use super::{exit, input, node, print};
use crate::agent::{Report, Syncer, Touched, host_settings};
use crate::config::{DataplaneArgs, InputArgs, Output, Resolved};

/// Make the kernel right once, and print what was changed
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    dataplane: DataplaneArgs,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t, help_heading = "Output")]
    output: Output,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let resolved = Resolved::new(&args.input, &args.dataplane)?;
    let tracker = input::load(&args.input, resolved.plan.clone())?;
    let settings = node::fit(&resolved, probe(true)?);
    let writer = IptablesWriter::open(&settings.families)?;
    let dataplane = Iptables::new(settings, tracker.facts());
    host_settings::ensure(dataplane.options())?;
    let mut syncer = Syncer::new(tracker, dataplane, writer);
    let report = syncer.reconcile(Scope::Everything)?;
    match args.output {
        Output::Text => print::text(&describe(&report))?,
        Output::Json => print::json(&report)?,
    }
    Ok(if report.refused.is_empty() {
        exit::OK
    } else {
        exit::ERROR
    })
}

/// A report for people.
pub(super) fn describe(report: &Report) -> String {
    let mut text = String::new();
    for Touched {
        share,
        created,
        replaced,
        removed,
    } in &report.touched
    {
        let _ = writeln!(
            text,
            "{share}: {created} created, {replaced} replaced, {removed} removed"
        );
    }
    for refused in &report.refused {
        let _ = writeln!(text, "refused by the kernel: {refused}");
    }
    let _ = if report.is_empty() {
        writeln!(text, "nothing to change")
    } else {
        writeln!(
            text,
            "{} objects created, {} replaced, {} removed in {} transaction{}",
            report.created,
            report.replaced,
            report.removed,
            report.transactions,
            if report.transactions == 1 { "" } else { "s" },
        )
    };
    text
}
