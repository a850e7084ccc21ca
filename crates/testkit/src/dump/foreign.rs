//! Everything in a namespace that isn't viprule's, to prove that it survives.

use super::{Dump, Family, LINK, VirtualServers};
use crate::error::Result;
use crate::netns::Namespace;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// A snapshot of foreign state; two compare equal only if every byte is equal.
///
/// It holds: foreign nftables tables with their handles (a table deleted and made again shows),
/// without counters; iptables chains and rules that aren't ours, in order; addresses, routes,
/// policy rules and links other than `kube-ipvs0`; where the kernel has IPVS, virtual servers and
/// sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignState {
    parts: BTreeMap<String, String>,
}

/// Is there once the module is loaded.
const IPVS: &str = "/proc/net/ip_vs";

/// Tables of `nf_tables` that the iptables tools own; their content is read through those tools.
const IPTABLES: [&str; 5] = ["filter", "mangle", "nat", "raw", "security"];

impl ForeignState {
    /// Reads the state of a namespace.
    pub fn take(namespace: &Namespace) -> Result<Self> {
        let mut parts = BTreeMap::new();
        for family in Family::ALL {
            let dump = Dump::take(namespace, family)?.foreign();
            let rules = dump.without_empty_chains().to_string();
            parts.insert(family.save_tool().to_owned(), rules);
        }
        for table in namespace
            .command("nft")
            .args(["list", "tables"])
            .text()?
            .lines()
        {
            if is_foreign_table(table) {
                let mut words = vec!["-a", "-s", "list"];
                words.extend(table.split_whitespace());
                parts.insert(
                    table.to_owned(),
                    namespace.command("nft").args(words).text()?,
                );
            }
        }
        for query in [
            "link",
            "addr",
            "route show table all",
            "-6 route show table all",
            "rule",
            "-6 rule",
        ] {
            let words = ["-o"].into_iter().chain(query.split(' '));
            let text = namespace.command("ip").args(words).text()?;
            let mut kept = String::new();
            for line in text.lines().filter(|line| !line.contains(LINK)) {
                let _ = writeln!(kept, "{}", without_lifetime(line));
            }
            parts.insert(format!("ip {query}"), kept);
        }
        if Path::new(IPVS).exists() {
            let servers = VirtualServers::take(namespace)?.foreign();
            parts.insert("IPVS and sets".to_owned(), servers.to_string());
        }
        Ok(Self { parts })
    }

    /// The lines in which `later` differs, `-` for lost ones and `+` for new ones, under the
    /// command that shows them. Empty if nothing differs.
    pub fn changes(&self, later: &Self) -> String {
        let mut out = String::new();
        let names: std::collections::BTreeSet<_> =
            self.parts.keys().chain(later.parts.keys()).collect();
        for name in names {
            let part = |state: &Self| state.parts.get(name).cloned().unwrap_or_default();
            let (before, after) = (part(self), part(later));
            if before == after {
                continue;
            }
            let _ = writeln!(out, "{name}:");
            let lost = before
                .lines()
                .filter(|line| !after.lines().any(|l| l == *line));
            let new = after
                .lines()
                .filter(|line| !before.lines().any(|l| l == *line));
            let mut count = 0;
            for line in lost
                .map(|l| format!("- {l}"))
                .chain(new.map(|l| format!("+ {l}")))
            {
                let _ = writeln!(out, "{line}");
                count += 1;
            }
            if count == 0 {
                let _ = writeln!(out, "same lines in another order:\n{before}then\n{after}");
            }
        }
        out
    }
}

/// Tables of nftables mode, in each family: kube-proxy's and viprule's.
const NFTABLES: [&str; 2] = ["kube-proxy", "viprule"];

/// A line of `nft list tables`: `table FAMILY NAME`.
fn is_foreign_table(line: &str) -> bool {
    let words: Vec<_> = line.split_whitespace().collect();
    match words[..] {
        ["table", "ip" | "ip6", name] => !NFTABLES.contains(&name) && !IPTABLES.contains(&name),
        ["table", ..] => true,
        _ => false,
    }
}

/// Learnt IPv6 routes count down their lifetime.
fn without_lifetime(line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if matches!(word, "expires" | "age") {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}
