//! `viprule apply`

use std::fmt::Write as _;

use viprule_dataplane::Scope;
use viprule_source::escape;
use viprule_sync::{Report, Syncer, Touched};
use viprule_writer::Writer as _;

use super::input::Place;
use super::verb::VerbArgs;
use super::{Given, exit, input, print};
use crate::agent::count_served;
use crate::agent::host_settings::Strictness;
use crate::config::{Effective, EmptyArgs, InputSource, Output};
use crate::mode::leftovers::{Leftovers, for_each};
use crate::mode::{Dump, Kernel, Mode, with_mode};

/// Make the kernel right once, and print what was changed
///
/// Behind that it removes what an earlier proxy left in another mode, as far as no connection goes
/// through it.
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
    with_mode!(effective.resolve().mode, M => make_right::<M>(&effective, allow_empty, output))
}

fn make_right<M: Dump>(
    effective: &Effective,
    allow_empty: bool,
    output: Output,
) -> anyhow::Result<u8> {
    let served = served::<M>(effective)?;
    let tracker = input::load(effective, Place::Here { served })?;
    // Such as a command in front of a pipe that failed, or a folder that is not mounted.
    anyhow::ensure!(
        allow_empty || !tracker.services().is_empty(),
        "the input has no Service for this proxy, nothing was touched: all rules of Services would \
         go; --allow-empty if that is meant"
    );
    let has_slices = |id| !tracker.slices(id).is_empty();
    anyhow::ensure!(
        allow_empty || tracker.services().iter().any(has_slices) || in_kernel::<M>(effective)? == 0,
        "the input has no EndpointSlice, nothing was touched: all endpoints of all Services would go; \
         --allow-empty if that is meant"
    );
    let resolved = effective.resolve();
    let Kernel {
        settings,
        writer,
        elsewhere,
    } = Kernel::<M>::open(resolved, true)?;
    let dataplane = M::dataplane(settings, tracker.facts());
    M::prepare_node(resolved, &dataplane, Strictness::Told)?;
    print::objections(&dataplane, &tracker);
    let mut syncer = Syncer::new(tracker, dataplane, writer);
    let mut report = syncer.reconcile(Scope::Everything)?;
    let drained = syncer.writer().drain()?;
    let mut rest = Vec::new();
    if drained.is_some() {
        rest.extend(M::unfinished(syncer.writer()));
    }
    let mut failures = Vec::new();
    // What an earlier proxy left may be all that such a Service has.
    if syncer.has_refused() || syncer.withholds() {
        let why = "a Service may need it that can't be written";
        rest.push(format!("what an earlier proxy left stays: {why}"));
    } else {
        failures = for_each(elsewhere.leftovers(resolved), |left| {
            rest.extend(drain(left, &mut report)?);
            Ok(())
        });
    }
    let stays = failures.iter();
    rest.extend(stays.map(|error| format!("what an earlier proxy left stays: {error:#}")));
    match output {
        Output::Text => print::text(&describe(&report))?,
        Output::Json => print::json(&report)?,
    }
    for rest in rest {
        print::note(&rest);
    }
    Ok(if report.refused.is_empty() && failures.is_empty() {
        exit::OK
    } else {
        exit::ERROR
    })
}

/// Removes what an earlier proxy left, as far as no connection goes through it. What of it stays for
/// now is the answer, as a sentence.
fn drain(leftovers: &mut dyn Leftovers, report: &mut Report) -> anyhow::Result<Option<String>> {
    let progress = leftovers.drain()?;
    report.leftovers.extend(progress.gone);
    report.refused.extend(progress.left);
    Ok(progress.next.map(|_| {
        format!(
            "{} still has connections; the agent removes it when those have ended, and so does \
             this command",
            leftovers.name()
        )
    }))
}

/// How many Services the kernel serves, where a cluster is to tell which there are.
fn served<M: Mode>(effective: &Effective) -> anyhow::Result<usize> {
    if matches!(effective.input, InputSource::Cluster { .. }) {
        in_kernel::<M>(effective)
    } else {
        Ok(0)
    }
}

/// How many Services with endpoints the kernel serves.
fn in_kernel<M: Mode>(effective: &Effective) -> anyhow::Result<usize> {
    let mut kernel = Kernel::<M>::open(effective.resolve(), false)?;
    Ok(count_served::<M::Dataplane, _>(&mut kernel.writer)?)
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
    for leftover in &report.leftovers {
        let _ = writeln!(text, "removed {}", escape::line(leftover));
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
