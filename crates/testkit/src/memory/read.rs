//! The rules in memory, read as the agent reads the kernel's.

use std::fmt::Write as _;

use netlink_batch::{AttrWriter, Attrs};
use nfnetlink::Family;
use nfnetlink::ipset::SetIndex;
use nfnetlink::xtables::{self, DecodeError};
use viprule_dataplane::State;
use viprule_dataplane::netfilter::{BaseChain, Key, Kind, Object, Observation};
use viprule_dataplane::ownership::{self, Layout};

use super::nft::{Chain, Rule, Ruleset};

impl Rule {
    /// The rule as iptables knows it. `set_name` tells the names of IP sets.
    ///
    /// # Errors
    ///
    /// Expressions that are cut off.
    pub fn decode(
        &self,
        family: Family,
        set_name: impl FnMut(SetIndex) -> Option<String>,
    ) -> Result<xtables::Rule, DecodeError> {
        let mut attrs = Vec::new();
        self.write(&mut AttrWriter::new(&mut attrs));
        xtables::Rule::decode_with(family, Attrs::new(&attrs), set_name)
    }
}

impl Ruleset {
    /// What is the service proxy's, as a writer reads it.
    ///
    /// # Errors
    ///
    /// As [`Rule::decode`].
    pub fn observe(
        &self,
        layout: Layout,
        mut set_name: impl FnMut(SetIndex) -> Option<String>,
    ) -> Result<State<Key, Object>, DecodeError> {
        let mut observation = Observation::new(layout);
        for (table, kind) in self
            .tables()
            .filter_map(|it| Some((it, Kind::parse(it.name())?)))
        {
            let Some(family) = Family::from_number(table.family()) else {
                continue;
            };
            let place = viprule_dataplane::netfilter::Table { family, kind };
            for chain in table.chains() {
                let mut rules = Vec::new();
                for rule in chain.rules() {
                    rules.push(rule.decode(family, &mut set_name)?);
                }
                if let Some(ours) = ownership::Chain::parse(chain.name()) {
                    let _keys = observation.chain(place, ours, rules);
                } else if let Some(base) = BaseChain::parse(chain.name())
                    && chain.base().is_some()
                {
                    for rule in &rules {
                        let _foreign_ones_have_none = observation.base_rule(place, base, rule);
                    }
                }
            }
        }
        Ok(observation.finish())
    }

    /// All tables of IPv4 and IPv6 in the manner of `iptables-save`, the family before each table.
    /// Sets stay numbers.
    pub fn save(&self) -> String {
        let mut text = String::new();
        for table in self.tables() {
            let Some(family) = Family::from_number(table.family()) else {
                continue;
            };
            let _infallible = writeln!(text, "# {family}\n*{}", table.name());
            for chain in table.chains() {
                let policy = chain
                    .base()
                    .map_or("-", |base| if base.accept { "ACCEPT" } else { "DROP" });
                let _infallible = writeln!(text, ":{} {policy} [0:0]", chain.name());
            }
            for chain in table.chains() {
                rules(&mut text, family, chain);
            }
            text.push_str("COMMIT\n");
        }
        text
    }
}

fn rules(text: &mut String, family: Family, chain: &Chain) {
    for rule in chain.rules() {
        let said = match rule.decode(family, |_| None) {
            Ok(rule) => rule.to_string().trim().to_owned(),
            Err(error) => format!("# {error}"),
        };
        let line = format!("-A {} {said}", chain.name());
        text.push_str(line.trim_end());
        text.push('\n');
    }
}
