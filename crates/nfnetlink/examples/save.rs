//! Prints the rules of all IPv4 chains, as `iptables-save` does without counters.
//!
//! ```sh
//! cargo run --example save
//! ```

#![allow(clippy::print_stdout, reason = "this is a program")]

use std::collections::BTreeMap;
use std::error::Error;

use nfnetlink::Family;
use nfnetlink::ipset::SetNames;
use nfnetlink::netlink_batch::{Socket, retry_stale, socket};
use nfnetlink::nftables::{ChainId, chains, rules};
use nfnetlink::xtables::Rule;

const FAMILY: Family = Family::Ipv4;

fn main() -> Result<(), Box<dyn Error>> {
    let mut socket = Socket::open(socket::NETFILTER)?;
    // Rules refer to sets by numbers; the names are asked for beside the listing.
    let mut asking = Socket::open(socket::NETFILTER)?;
    let mut sets = SetNames::new();

    let tables = retry_stale(10, || {
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        chains(&mut socket, FAMILY, |chain| {
            let table = tables.entry(chain.table.to_owned()).or_default();
            table.push(chain.name.to_owned());
        })?;
        Ok(tables)
    })?;
    for (table, names) in tables {
        println!("*{table}");
        for name in names {
            let chain = ChainId {
                family: FAMILY,
                table: &table,
                name: &name,
            };
            let lines = retry_stale(10, || {
                let mut lines = Vec::new();
                rules(&mut socket, chain, |rule| {
                    let rule = Rule::decode_with(FAMILY, rule.attrs, |index| {
                        let name = sets.ask_name(&mut asking, index).ok()??;
                        Some(name.to_owned())
                    });
                    lines.push(rule.map(|rule| rule.to_string()));
                })?;
                Ok(lines)
            })?;
            for line in lines {
                println!("-A {name} {}", line?);
            }
        }
        println!("COMMIT");
    }
    Ok(())
}
