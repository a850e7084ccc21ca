//! `viprule diff`

use std::path::PathBuf;

use viprule_dataplane::{Dataplane, Scope, diff};
use viprule_sync::{Compared, compared};
use viprule_writer::Writer as _;

use super::input::Place;
use super::verb::VerbArgs;
use super::{Given, exit, input, print};
use crate::config::{Effective, Output};
use crate::mode::leftovers::for_each;
use crate::mode::{Dump, Kernel, Saved, with_mode};

/// Print what the kernel has otherwise than it should, without changing it
///
/// Lines with - are in the kernel and should not be, lines with + should be there and are not. What
/// an earlier proxy left in another mode is among them, in a line for each kind. Exits 0 without
/// differences, 1 with differences, 2 on errors.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    verb: VerbArgs,
    /// Compare with what iptables-save or ip6tables-save printed into this file, in place of this
    /// kernel; may be given once for each family. In IPVS mode also with what ipset save,
    /// ipvsadm -Sn and ip address show dev kube-ipvs0 printed, in any number of files; what is in
    /// none of them is not compared. In nftables mode with what nft list ruleset printed, or nft
    /// list table for each family
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    against: Vec<PathBuf>,
}

pub(super) fn run(args: Args, given: Given) -> anyhow::Result<u8> {
    let output = args.verb.output;
    let effective = args.verb.settings(given)?;
    with_mode!(effective.resolve().mode, M => compare::<M>(&effective, &args.against, output))
}

fn compare<M: Dump>(
    effective: &Effective,
    against: &[PathBuf],
    output: Output,
) -> anyhow::Result<u8> {
    let resolved = effective.resolve();
    let (mut leftovers, mut unread) = (Vec::new(), false);
    let (saved, from, place) = if against.is_empty() {
        let mut kernel = Kernel::<M>::open(resolved, false)?;
        let state = kernel.writer.observe(&Scope::Everything)?;
        let failures = for_each(kernel.elsewhere.leftovers(resolved), |left| {
            leftovers.extend(left.lines()?);
            Ok(())
        });
        for error in &failures {
            print::note(&format!(
                "what an earlier proxy left is not known: {error:#}"
            ));
        }
        unread = !failures.is_empty();
        let saved = Saved::<M> {
            state,
            settings: kernel.settings,
            shows: Box::new(|_| true),
        };
        let served = M::Dataplane::served(&saved.state);
        (saved, "kernel".to_owned(), Place::Here { served })
    } else {
        let saved = M::saved(against, resolved)?;
        let names = against.iter().map(|path| path.display().to_string());
        let names: Vec<_> = names.collect();
        (saved, names.join(" "), Place::Anywhere)
    };
    let tracker = input::load(effective, place)?;
    if tracker.services().is_empty() {
        print::note("warning: the input has no Service for this proxy");
    }
    let dataplane = M::dataplane(saved.settings, tracker.facts());
    print::objections(&dataplane, &tracker);
    let Compared { observed, desired } = compared(&dataplane, &tracker, saved.state);
    let desired = desired.filter(|key| (saved.shows)(key));
    let is_excluded = |key: &_| dataplane.is_excluded(key) && desired.get(key).is_none();
    let observed = observed.filter(|key| !is_excluded(key));
    let mut changes = M::changes(&diff(&observed, &desired));
    changes.add_leftovers(leftovers);
    match output {
        Output::Text => print::text(&changes.to_text(&from, "desired"))?,
        Output::Json => print::json(&changes)?,
    }
    Ok(if unread {
        exit::ERROR
    } else if changes.in_sync() {
        exit::OK
    } else {
        exit::DIFFERENCES
    })
}
