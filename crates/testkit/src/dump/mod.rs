//! What is in the kernel, as the tools print it.

mod difference;
mod foreign;
mod ours;
mod tables;
mod virtual_servers;

pub use difference::Difference;
pub use foreign::ForeignState;
pub use ours::is_our_chain;
pub use tables::Tables;
pub use virtual_servers::{LINK, Set, VirtualServers, is_our_set};

use crate::error::{Error, Result};
use crate::netns::Namespace;
use std::collections::BTreeMap;
use std::fmt;

/// An IP family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The save tool of the tables that this kernel has: `iptables-nft-save`,
    /// `ip6tables-legacy-save`, …
    pub fn save_tool(self) -> &'static str {
        match (self, Tables::of_this_kernel()) {
            (Self::V4, Tables::Nft) => "iptables-nft-save",
            (Self::V6, Tables::Nft) => "ip6tables-nft-save",
            (Self::V4, Tables::Legacy) => "iptables-legacy-save",
            (Self::V6, Tables::Legacy) => "ip6tables-legacy-save",
        }
    }

    /// The restore tool.
    pub fn restore_tool(self) -> &'static str {
        match (self, Tables::of_this_kernel()) {
            (Self::V4, Tables::Nft) => "iptables-nft-restore",
            (Self::V6, Tables::Nft) => "ip6tables-nft-restore",
            (Self::V4, Tables::Legacy) => "iptables-legacy-restore",
            (Self::V6, Tables::Legacy) => "ip6tables-legacy-restore",
        }
    }
}

/// An iptables ruleset: tables by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dump {
    /// `nat`, `filter`, …
    pub tables: BTreeMap<String, Table>,
}

/// A table: chains by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Chains, built-in ones included. Their order means nothing.
    pub chains: BTreeMap<String, Chain>,
}

/// A chain: rules in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// `ACCEPT` or `DROP` of a built-in chain.
    pub policy: Option<String>,
    /// Lines as printed, from `-A` on, without counters.
    pub rules: Vec<String>,
}

impl Dump {
    /// Asks the save tool in a namespace.
    pub fn take(namespace: &Namespace, family: Family) -> Result<Self> {
        Self::parse(&namespace.command(family.save_tool()).text()?)
    }

    /// Reads what a save tool printed. Counters and comment lines are left out.
    pub fn parse(text: &str) -> Result<Self> {
        let mut dump = Self::default();
        let mut open: Option<&mut Table> = None;
        for (number, line) in text.lines().enumerate() {
            let malformed = |why: &str| Error::Malformed {
                what: format!("line {} of an iptables dump, {line:?}", number + 1),
                why: why.to_owned(),
            };
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('*') {
                open = Some(dump.tables.entry(name.to_owned()).or_default());
                continue;
            }
            let table = open
                .as_deref_mut()
                .ok_or_else(|| malformed("it is in no table"))?;
            if line == "COMMIT" {
                open = None;
            } else if let Some(declaration) = line.strip_prefix(':') {
                let mut words = declaration.split_whitespace();
                let name = words.next().ok_or_else(|| malformed("it names no chain"))?;
                let policy = words.next().filter(|word| *word != "-").map(str::to_owned);
                table.chains.entry(name.to_owned()).or_default().policy = policy;
            } else {
                let rule = without_counters(line);
                let name = rule
                    .strip_prefix("-A ")
                    .and_then(|rest| rest.split(' ').next());
                let name = name.ok_or_else(|| malformed("it is no -A line"))?;
                table
                    .chains
                    .entry(name.to_owned())
                    .or_default()
                    .rules
                    .push(rule.to_owned());
            }
        }
        Ok(dump)
    }

    /// The rules of a chain, none if there is no such chain.
    pub fn rules(&self, table: &str, chain: &str) -> &[String] {
        let chain = self
            .tables
            .get(table)
            .and_then(|table| table.chains.get(chain));
        chain.map_or(&[], |chain| &chain.rules)
    }

    /// The number of rules in all tables.
    pub fn rule_count(&self) -> usize {
        self.tables
            .values()
            .flat_map(|t| t.chains.values())
            .map(|chain| chain.rules.len())
            .sum()
    }

    /// Chains that viprule or kube-proxy own, and the rules elsewhere that jump to them.
    #[must_use]
    pub fn ours(&self) -> Self {
        self.filtered(is_our_chain, ours::jumps_to_ours)
    }

    /// The opposite: everything that neither owns.
    #[must_use]
    pub fn foreign(&self) -> Self {
        self.filtered(
            |chain| !is_our_chain(chain),
            |rule| !ours::jumps_to_ours(rule),
        )
    }

    /// Without built-in chains that have no rules and the default policy, and without tables of only
    /// such chains: they come with a first use, and in legacy tables all at once.
    #[must_use]
    pub fn without_empty_chains(mut self) -> Self {
        for table in self.tables.values_mut() {
            table.chains.retain(|_, chain| {
                !chain.rules.is_empty() || chain.policy.as_deref() != Some("ACCEPT")
            });
        }
        self.tables.retain(|_, table| !table.chains.is_empty());
        self
    }

    /// What has to happen to `self` to become `other`. Chains compare by name, rules by order.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        difference::differences(self, other)
    }

    /// Built-in chains stay, with those of their rules that are wanted.
    fn filtered(
        &self,
        chain_fits: impl Fn(&str) -> bool,
        rule_fits: impl Fn(&str) -> bool,
    ) -> Self {
        let mut dump = self.clone();
        for table in dump.tables.values_mut() {
            table
                .chains
                .retain(|name, chain| chain_fits(name) || chain.policy.is_some());
            for chain in table
                .chains
                .values_mut()
                .filter(|chain| chain.policy.is_some())
            {
                chain.rules.retain(|rule| rule_fits(rule));
            }
        }
        dump
    }
}

/// A rule as `iptables-save -c` prints it begins with `[packets:bytes] `.
fn without_counters(line: &str) -> &str {
    match line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    {
        Some((_, rule)) => rule,
        None => line,
    }
}

impl fmt::Display for Dump {
    /// In the save tool's syntax, without counters; can be restored.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, table) in &self.tables {
            writeln!(f, "*{name}")?;
            for (name, chain) in &table.chains {
                writeln!(
                    f,
                    ":{name} {} [0:0]",
                    chain.policy.as_deref().unwrap_or("-")
                )?;
            }
            for rule in table.chains.values().flat_map(|chain| &chain.rules) {
                writeln!(f, "{rule}")?;
            }
            writeln!(f, "COMMIT")?;
        }
        Ok(())
    }
}
