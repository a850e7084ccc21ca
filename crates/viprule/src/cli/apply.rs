//! `viprule apply`

use std::fmt::Write as _;

use viprule_dataplane::Scope;
use viprule_source::escape;
use viprule_sync::{Report, Syncer, Touched};
use viprule_writer::Writer as _;

use super::facility::{Facility, OfIptables, OfIpvs};
use super::input::Place;
use super::verb::VerbArgs;
use super::{Given, exit, input, print};
use crate::agent::count_served;
use crate::config::{Effective, EmptyArgs, InputSource, Output, ProxyMode};

/// Make the kernel right once, and print what was changed
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    verb: VerbArgs,
    #[command(flatten)]
    empty: EmptyArgs,
}

pub(super) fn run(args: Args, given: Given) -> anyhow::Result<u8> {
    let output = args.verb.output;
    let effective = args.verb.settings(given)?;
    let EmptyArgs { allow_empty } = args.empty;
    match effective.resolve().mode {
        ProxyMode::Iptables => make_right::<OfIptables>(&effective, allow_empty, output),
        ProxyMode::Ipvs => make_right::<OfIpvs>(&effective, allow_empty, output),
    }
}

fn make_right<F: Facility>(
    effective: &Effective,
    allow_empty: bool,
    output: Output,
) -> anyhow::Result<u8> {
    let served = served::<F>(effective)?;
    let tracker = input::load(effective, Place::Here { served })?;
    // Such as a command in front of a pipe that failed, or a folder that is not mounted.
    anyhow::ensure!(
        allow_empty || !tracker.services().is_empty(),
        "the input has no Service for this proxy, nothing was touched: all rules of Services would \
         go; --allow-empty if that is meant"
    );
    let has_slices = |id| !tracker.slices(id).is_empty();
    anyhow::ensure!(
        allow_empty || tracker.services().iter().any(has_slices) || in_kernel::<F>(effective)? == 0,
        "the input has no EndpointSlice, nothing was touched: all endpoints of all Services would go; \
         --allow-empty if that is meant"
    );
    let resolved = effective.resolve();
    let settings = F::settings_here(resolved, true)?;
    let writer = F::open(resolved, &settings)?;
    let dataplane = F::dataplane(settings, tracker.facts());
    F::prepare(resolved, &dataplane)?;
    print::objections(&dataplane, &tracker);
    let mut syncer = Syncer::new(tracker, dataplane, writer);
    let report = syncer.reconcile(Scope::Everything)?;
    let tended = syncer.writer().tend()?;
    match output {
        Output::Text => print::text(&describe(&report))?,
        Output::Json => print::json(&report)?,
    }
    if tended.is_some()
        && let Some(rest) = F::unfinished(syncer.writer())
    {
        print::note(&rest);
    }
    Ok(if report.refused.is_empty() {
        exit::OK
    } else {
        exit::ERROR
    })
}

/// How many Services the kernel serves, where a cluster is to tell which there are.
fn served<F: Facility>(effective: &Effective) -> anyhow::Result<usize> {
    if matches!(effective.input, InputSource::Cluster { .. }) {
        in_kernel::<F>(effective)
    } else {
        Ok(0)
    }
}

/// How many Services with endpoints the kernel serves.
fn in_kernel<F: Facility>(effective: &Effective) -> anyhow::Result<usize> {
    let resolved = effective.resolve();
    let settings = F::settings_here(resolved, false)?;
    let mut writer = F::open(resolved, &settings)?;
    Ok(count_served::<F::Dataplane, _>(&mut writer)?)
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
        let _ = writeln!(text, "removed {}", escape::line(leaving));
    }
    for refused in &report.refused {
        let _ = writeln!(text, "refused by the kernel: {}", escape::line(refused));
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
