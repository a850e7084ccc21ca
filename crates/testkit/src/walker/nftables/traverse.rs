//! A packet through one base chain and everything that it leads to.

use std::collections::BTreeMap;

use nfnetlink::Family;
use nfnetlink::nftables::native::Rule;

use super::contents::{BaseChain, Contents};
use super::flight::{InFlight, Packets, add};
use super::memory::Memory;
use super::statement::Then;
use crate::walker::{Host, Packet, WalkError};

/// How a base chain is done with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Accept,
    Drop,
    Reject,
}

/// Packets that a base chain is done with.
pub(super) type Ends = BTreeMap<(End, InFlight), f64>;

/// A base chain, and what its rules look at.
pub(super) struct Traversal<'a> {
    pub(super) family: Family,
    pub(super) states: &'a [Contents<'a>],
    pub(super) is_full: bool,
    pub(super) host: &'a Host,
    pub(super) packet: &'a Packet,
    pub(super) memory: &'a Memory,
    pub(super) chain: &'a BaseChain<'a>,
}

impl Traversal<'_> {
    /// Every way in which the chain can be done with these packets.
    pub(super) fn run(&self, packets: Packets) -> Result<Ends, WalkError> {
        let mut ends = Ends::new();
        let policy = if self.chain.base.accept {
            End::Accept
        } else {
            End::Drop
        };
        let fell_through = self.rules(&self.chain.rules, packets, &mut ends)?;
        for (packet, probability) in fell_through {
            *ends.entry((policy, packet)).or_default() += probability;
        }
        Ok(ends)
    }

    /// Takes packets through a chain's rules. Returns what comes back to the calling chain.
    fn rules(
        &self,
        rules: &[&Rule],
        packets: Packets,
        ends: &mut Ends,
    ) -> Result<Packets, WalkError> {
        let mut here = packets;
        let mut back = Packets::new();
        for rule in rules {
            if here.is_empty() {
                break;
            }
            let mut next = Packets::new();
            let (mut jumping, mut going) = (Vec::new(), Vec::new());
            for (packet, probability) in here {
                for (then, packet, share) in self.rule(rule, packet)? {
                    let probability = probability * share;
                    match then {
                        Then::Next => add(&mut next, packet, probability),
                        Then::Back => add(&mut back, packet, probability),
                        Then::End(end) => {
                            *ends.entry((end, packet)).or_default() += probability;
                        }
                        Then::Jump(chain) => jumping.push((chain, packet, probability)),
                        Then::Goto(chain) => going.push((chain, packet, probability)),
                    }
                }
            }
            for (led, returning) in [(jumping, &mut next), (going, &mut back)] {
                for (chain, packets) in by_chain(led) {
                    for (packet, probability) in self.called(chain, packets, ends)? {
                        add(returning, packet, probability);
                    }
                }
            }
            here = next;
        }
        for (packet, probability) in here {
            add(&mut back, packet, probability);
        }
        Ok(back)
    }

    fn called(&self, chain: &str, packets: Packets, ends: &mut Ends) -> Result<Packets, WalkError> {
        let table = self.states.first().and_then(|it| it.table(self.family));
        let rules = table.map_or(&[][..], |table| table.rules(chain));
        self.rules(rules, packets, ends)
    }

    /// Every way in which a rule can be done with a packet, with the share of each.
    fn rule<'r>(
        &self,
        rule: &'r Rule,
        packet: InFlight,
    ) -> Result<Vec<(Then<'r>, InFlight, f64)>, WalkError> {
        let mut done = Vec::new();
        let mut here = vec![(packet, 1.0)];
        for statement in &rule.statements {
            let mut left = Vec::new();
            for (packet, share) in here {
                for (then, packet, of_it) in self.statement(rule, statement, packet)? {
                    match then {
                        None => left.push((packet, share * of_it)),
                        Some(then) => done.push((then, packet, share * of_it)),
                    }
                }
            }
            here = left;
        }
        done.extend(
            here.into_iter()
                .map(|(packet, share)| (Then::Next, packet, share)),
        );
        Ok(done)
    }

    pub(super) fn unmodelled(&self, rule: &Rule, what: &'static str) -> WalkError {
        WalkError::Unmodelled {
            rule: rule.text(self.family).to_string(),
            what,
        }
    }

    pub(super) fn misplaced(&self, rule: &Rule) -> WalkError {
        WalkError::Misplaced {
            table: format!("{} {}", self.family, self.chain.name),
            rule: rule.text(self.family).to_string(),
        }
    }
}

fn by_chain(led: Vec<(&str, InFlight, f64)>) -> BTreeMap<&str, Packets> {
    let mut chains: BTreeMap<&str, Packets> = BTreeMap::new();
    for (chain, packet, probability) in led {
        add(chains.entry(chain).or_default(), packet, probability);
    }
    chains
}

/// What a statement leaves: packets that the rule goes on with (`None`) or is done with.
pub(super) type Left<'r> = Vec<(Option<Then<'r>>, InFlight, f64)>;
