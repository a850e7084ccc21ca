//! `viprule apply`

use std::fmt::Write as _;

use viprule_dataplane::Scope;
use viprule_dataplane::iptables::Iptables;
use viprule_writer::backend::{HostWriter, choose};
use viprule_writer::iptables::probe;

use super::input::Place;
use super::verb::VerbArgs;
use super::{Given, exit, input, print};
use crate::agent::{Report, Syncer, Touched, host_settings};
use crate::config::Output;

/// Make the kernel right once, and print what was changed
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    verb: VerbArgs,
}

pub(super) fn run(args: Args, given: Given) -> anyhow::Result<u8> {
    let output = args.verb.output;
    let effective = args.verb.settings(given)?;
    let tracker = input::load(&effective, Place::Here)?;
    let resolved = effective.resolve();
    let settings = resolved.iptables_on(probe(true)?);
    let backend = choose(resolved.backend.chosen())?.backend;
    let writer = HostWriter::open(backend, &settings.families)?;
    let dataplane = Iptables::new(settings, tracker.facts());
    host_settings::ensure(dataplane.options())?;
    let mut syncer = Syncer::new(tracker, dataplane, writer);
    let report = syncer.reconcile(Scope::Everything)?;
    match output {
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
    for leaving in &report.leavings {
        let _ = writeln!(text, "removed {leaving}");
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
