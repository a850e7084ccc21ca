//! `viprule render`

use viprule_sync::desired;

use super::input::Place;
use super::verb::VerbArgs;
use super::{Given, exit, input, print};
use crate::config::{Effective, Output};
use crate::mode::{Dump, with_mode};

/// Print what the kernel should have, without looking at it
///
/// Needs no privileges. Prints in the syntax of iptables-save, IPv4 first; nfacct counters are
/// taken as present. In IPVS mode IP sets, virtual servers and addresses come first, in the syntax
/// of ipset save, ipvsadm -Sn and ip. In nftables mode it prints what nft list ruleset would, and
/// nft -f reads.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    verb: VerbArgs,
}

pub(super) fn run(args: Args, given: Given) -> anyhow::Result<u8> {
    let output = args.verb.output;
    let effective = args.verb.settings(given)?;
    with_mode!(effective.resolve().mode, M => render::<M>(&effective, output))
}

fn render<M: Dump>(effective: &Effective, output: Output) -> anyhow::Result<u8> {
    let tracker = input::load(effective, Place::Anywhere)?;
    let resolved = effective.resolve();
    let dataplane = M::dataplane(M::settings(resolved, None), tracker.facts());
    print::objections(&dataplane, &tracker);
    let state = desired(&dataplane, &tracker);
    match output {
        Output::Text => print::text(&M::text(&M::settings(resolved, None), &state))?,
        Output::Json => print::json(&M::json(&state)?)?,
    }
    Ok(exit::OK)
}
