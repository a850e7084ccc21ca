//! `viprule render`

use std::collections::BTreeMap;

use serde::Serialize;
use viprule_dataplane::iptables::{Desired, Iptables, print_save};

use super::changes::family_name;
use super::input::Place;
use super::verb::VerbArgs;
use super::{Given, exit, input, print};
use crate::agent::desired;
use crate::config::Output;

/// Print what the kernel should have, without looking at it
///
/// Needs no privileges. Prints in the syntax of iptables-save, IPv4 first; nfacct counters are
/// taken as present.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    verb: VerbArgs,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Chain {
    family: &'static str,
    table: &'static str,
    #[serde(rename = "chain")]
    name: String,
}

#[derive(Debug, Serialize)]
struct Rules {
    #[serde(flatten)]
    chain: Chain,
    rules: Vec<String>,
}

pub(super) fn run(args: Args, given: Given) -> anyhow::Result<u8> {
    let output = args.verb.output;
    let effective = args.verb.settings(given)?;
    let tracker = input::load(&effective, Place::Anywhere)?;
    let settings = effective.resolve().iptables.clone();
    let families = settings.families.clone();
    let dataplane = Iptables::new(settings, tracker.facts());
    let state = desired(&dataplane, &tracker);
    match output {
        Output::Text => {
            for family in families {
                print::text(&print_save(family, &state))?;
            }
        }
        Output::Json => print::json(&chains(&state))?,
    }
    Ok(exit::OK)
}

/// Objects chain by chain.
fn chains(state: &Desired) -> Vec<Rules> {
    let mut chains: BTreeMap<Chain, Vec<String>> = BTreeMap::new();
    for (key, object) in state {
        let table = key.table();
        let (family, table) = (family_name(table.family), table.kind.name());
        let chain = Chain {
            family,
            table,
            name: key.chain_name(),
        };
        let rules = object.rules().iter().map(ToString::to_string);
        chains.entry(chain).or_default().extend(rules);
    }
    chains
        .into_iter()
        .map(|(chain, rules)| Rules { chain, rules })
        .collect()
}
