//! One packet through one table's built-in chain and everything that it leads to.

use std::net::SocketAddr;

use nfnetlink::xtables::{DnatTo, Rule, Target};
use viprule_dataplane::netfilter::{BaseChain, Kind, Table};

use super::RecentLists;
use super::ruleset::Ruleset;
use super::sets::Sets;
use crate::walker::{Host, Packet, WalkError};

/// A packet on its way, with the probability of having come so far in this shape.
#[derive(Debug, Clone)]
pub(in crate::walker) struct InFlight {
    /// The source as it was sent; `None` once masqueraded.
    pub(in crate::walker) source: Option<SocketAddr>,
    pub(in crate::walker) destination: SocketAddr,
    /// True after DNAT.
    pub(super) translated: bool,
    /// The virtual server that sent it on, if one did.
    pub(in crate::walker) server: Option<SocketAddr>,
    /// `skb->mark`.
    pub(super) mark: u32,
    pub(in crate::walker) probability: f64,
}

impl InFlight {
    pub(in crate::walker) const fn new(packet: &Packet) -> Self {
        Self {
            source: Some(packet.source),
            destination: packet.destination,
            translated: false,
            server: None,
            mark: 0,
            probability: 1.0,
        }
    }

    pub(in crate::walker) const fn with_probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }
}

/// How a table is done with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Accept,
    Drop,
    Reject,
}

/// A table at a hook, and what its rules look at.
pub(super) struct Traversal<'a> {
    pub(super) rules: &'a Ruleset<'a>,
    pub(super) sets: &'a Sets,
    pub(super) host: &'a Host,
    pub(super) lists: &'a RecentLists,
    pub(super) protocol: u8,
    pub(super) table: Table,
    pub(super) base: BaseChain,
    pub(super) interface: &'a str,
}

impl Traversal<'_> {
    /// Every way in which the table can be done with the packet.
    pub(super) fn run(&self, packet: InFlight) -> Result<Vec<(End, InFlight)>, WalkError> {
        let mut ended = Vec::new();
        let fell_through = self.chain(self.base.name(), packet, &mut ended)?;
        ended.extend(fell_through.into_iter().map(|packet| (End::Accept, packet)));
        Ok(ended)
    }

    /// Takes a packet through a chain. Returns what comes back to the calling chain.
    fn chain(
        &self,
        chain: &str,
        packet: InFlight,
        ended: &mut Vec<(End, InFlight)>,
    ) -> Result<Vec<InFlight>, WalkError> {
        let mut here = vec![packet];
        let mut back = Vec::new();
        for rule in self.rules.rules(self.table, chain) {
            let mut next = Vec::new();
            for packet in here {
                let chance = self.chance(rule, &packet)?;
                if chance < 1.0 {
                    let left = packet.probability * (1.0 - chance);
                    next.push(packet.clone().with_probability(left));
                }
                if chance > 0.0 {
                    let taken = packet.probability * chance;
                    self.target(
                        rule,
                        packet.with_probability(taken),
                        &mut next,
                        &mut back,
                        ended,
                    )?;
                }
            }
            here = next;
        }
        back.extend(here);
        Ok(back)
    }

    fn target(
        &self,
        rule: &Rule,
        mut packet: InFlight,
        next: &mut Vec<InFlight>,
        back: &mut Vec<InFlight>,
        ended: &mut Vec<(End, InFlight)>,
    ) -> Result<(), WalkError> {
        use BaseChain::{Output, Postrouting, Prerouting};
        match &rule.target {
            Target::None => next.push(packet),
            Target::Mark { value, mask } => {
                packet.mark = (packet.mark & !mask) ^ value;
                next.push(packet);
            }
            Target::Return => back.push(packet),
            Target::Jump(chain) => next.extend(self.chain(chain, packet, ended)?),
            Target::Goto(chain) => back.extend(self.chain(chain, packet, ended)?),
            Target::Accept => ended.push((End::Accept, packet)),
            Target::Drop => ended.push((End::Drop, packet)),
            Target::Reject(_) => {
                // ipt_REJECT and ip6t_REJECT: filter table only.
                self.only_if(rule, self.table.kind == Kind::Filter)?;
                ended.push((End::Reject, packet));
            }
            Target::Dnat(DnatTo { address, port }) => {
                let at_start = matches!(self.base, Prerouting | Output);
                self.only_if(rule, self.table.kind == Kind::Nat && at_start)?;
                let port = port.unwrap_or(packet.destination.port());
                packet.destination = SocketAddr::new(*address, port);
                packet.translated = true;
                ended.push((End::Accept, packet));
            }
            Target::Masquerade { .. } => {
                let nat = self.table.kind == Kind::Nat;
                self.only_if(rule, nat && self.base == Postrouting)?;
                packet.source = None;
                ended.push((End::Accept, packet));
            }
            _ => return Err(self.unmodelled(rule, "the target")),
        }
        Ok(())
    }

    fn only_if(&self, rule: &Rule, allowed: bool) -> Result<(), WalkError> {
        if allowed {
            Ok(())
        } else {
            Err(WalkError::Misplaced {
                table: self.table.to_string(),
                rule: rule.to_string(),
            })
        }
    }

    #[expect(clippy::unused_self, reason = "reads as the other checks do")]
    pub(super) fn unmodelled(&self, rule: &Rule, what: &'static str) -> WalkError {
        WalkError::Unmodelled {
            rule: rule.to_string(),
            what,
        }
    }
}
