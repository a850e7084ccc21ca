//! Packets through nftables mode's chains and sets.

mod contents;
mod flight;
mod key;
mod memory;
mod statement;
mod traverse;

use nfnetlink::nftables::Hook;
use viprule_dataplane::family::in_netfilter;
use viprule_dataplane::nftables::Desired;

use self::contents::Contents;
use self::flight::{InFlight, Packets, add};
use self::memory::Memory;
use self::traverse::{End, Traversal};
use super::iptables::Unordered;
use super::{Affinity, Distribution, Host, Origin, Outcome, Packet, Walk, WalkError};

/// Walks packets through a state of nftables mode, as a kernel takes them that has its tables.
///
/// The host forwards packets. Tables of others are not part of a state, so they play no role. What
/// packets write into sets is the first packet's own, and what session affinity remembers of others.
#[derive(Debug)]
pub struct Walker<'a> {
    /// Whose rules hold, and what sets have; one after the other where a commit comes in between.
    states: Vec<Contents<'a>>,
    host: &'a Host,
    is_full: bool,
}

/// How a packet ends, and what it has on it then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ending {
    /// How it ends.
    pub outcome: Outcome,
    /// Its priority (`skb->priority`); 0 where nobody gave it one.
    pub priority: u32,
    /// How probable that is.
    pub probability: f64,
}

impl<'a> Walker<'a> {
    /// Checks a state as the kernel would when it loads it.
    ///
    /// # Errors
    ///
    /// [`WalkError::MissingChain`], [`WalkError::MissingSet`], [`WalkError::Loop`], and
    /// [`WalkError::Refused`] for elements that do not fit their sets.
    pub fn new(
        state: &'a Desired,
        host: &'a Host,
        unordered: Unordered,
    ) -> Result<Self, WalkError> {
        Ok(Self {
            states: vec![Contents::new(state, unordered)?],
            host,
            is_full: false,
        })
    }

    /// Walks packets with the rules of a state while sets change to those of another one and back at
    /// any time: each lookup finds what one or the other has, as likely.
    ///
    /// # Errors
    ///
    /// As [`Walker::new`].
    pub fn between(
        rules: &'a Desired,
        other: &'a Desired,
        host: &'a Host,
    ) -> Result<Self, WalkError> {
        let contents = |state| Contents::new(state, Unordered::Forward);
        Ok(Self {
            states: vec![contents(rules)?, contents(other)?],
            host,
            is_full: false,
        })
    }

    /// The same, where sets that packets write have no room for more.
    #[must_use]
    pub fn full(self) -> Self {
        Self {
            is_full: true,
            ..self
        }
    }

    /// Every way in which a packet can end.
    ///
    /// # Errors
    ///
    /// As [`Walk::walk`].
    pub fn endings(&self, packet: &Packet, affinity: &Affinity) -> Result<Vec<Ending>, WalkError> {
        let memory = self.memory(packet, affinity)?;
        self.end(packet, &memory)
    }

    fn end(&self, packet: &Packet, memory: &Memory) -> Result<Vec<Ending>, WalkError> {
        let ending = |(outcome, packet): (Outcome, InFlight), probability| Ending {
            outcome,
            priority: packet.priority,
            probability,
        };
        let ended = self.way(packet, memory, &self.states)?;
        Ok(ended
            .into_iter()
            .map(|(ended, probability)| ending(ended, probability))
            .collect())
    }

    /// All that becomes of a packet in these states.
    fn way(
        &self,
        packet: &Packet,
        memory: &Memory,
        states: &[Contents<'a>],
    ) -> Result<Ended, WalkError> {
        let (from, to) = (packet.source.ip(), packet.destination.ip());
        if from.is_ipv4() != to.is_ipv4() {
            return Err(WalkError::Families { from, to });
        }
        let start = InFlight::new(packet);
        let mut way = Way {
            walker: self,
            states,
            packet,
            memory,
            ended: Ended::new(),
        };
        if packet.is_martian(self.host) {
            way.ended.insert((Outcome::Dropped, start), 1.0);
        } else {
            way.go(Packets::from([(start, 1.0)]))?;
        }
        Ok(way.ended)
    }
}

impl Walk for Walker<'_> {
    fn walk(&self, packet: &Packet, affinity: &Affinity) -> Result<Distribution, WalkError> {
        let mut distribution = Distribution::default();
        for ending in self.endings(packet, affinity)? {
            distribution.add(ending.outcome, ending.probability);
        }
        Ok(distribution)
    }
}

/// Packets that ended, with the probability of each.
type Ended = std::collections::BTreeMap<(Outcome, InFlight), f64>;

/// The way of one packet through the hooks.
struct Way<'a> {
    walker: &'a Walker<'a>,
    states: &'a [Contents<'a>],
    packet: &'a Packet,
    memory: &'a Memory,
    ended: Ended,
}

impl Way<'_> {
    /// Hooks and routing in the kernel's order (`ip_rcv`, `ip_local_out`, `ip_output`).
    fn go(&mut self, start: Packets) -> Result<(), WalkError> {
        use Hook::{Forward, Input, Output, Postrouting, Prerouting};
        if self.packet.origin == Origin::Node {
            let sent = self.hook(Output, true, start)?;
            let sent = self.hook(Postrouting, true, sent)?;
            // Packets to the host itself come back through the loopback interface. Their addresses
            // were settled before.
            let (to_host, away) = self.route(sent);
            let looped = self.hook(Prerouting, false, to_host)?;
            let received = self.hook(Input, false, looped)?;
            self.finish(received);
            self.finish(away);
        } else {
            let arrived = self.hook(Prerouting, true, start)?;
            let (to_host, away) = self.route(arrived);
            let received = self.hook(Input, true, to_host)?;
            let forwarded = self.hook(Forward, true, away)?;
            let forwarded = self.hook(Postrouting, true, forwarded)?;
            self.finish(received);
            self.finish(forwarded);
        }
        Ok(())
    }

    /// Packets to the host itself, and those to elsewhere.
    fn route(&self, packets: Packets) -> (Packets, Packets) {
        let is_local = |packet: &InFlight| self.walker.host.is_local(&packet.destination.ip());
        packets
            .into_iter()
            .partition(|(packet, _)| is_local(packet))
    }

    /// Takes packets through one hook's base chains, by priority. Returns those that come out.
    fn hook(
        &mut self,
        hook: Hook,
        translates: bool,
        mut packets: Packets,
    ) -> Result<Packets, WalkError> {
        let family = in_netfilter(self.packet.family());
        let walker = self.walker;
        let rules = self.states.first().and_then(|state| state.table(family));
        let chains = rules.into_iter().flat_map(|table| table.base_chains(hook));
        for chain in chains {
            if chain.is_nat() && !translates {
                continue;
            }
            let traversal = Traversal {
                family,
                states: self.states,
                is_full: walker.is_full,
                host: walker.host,
                packet: self.packet,
                memory: self.memory,
                chain,
            };
            let mut passed = Packets::new();
            for ((end, packet), probability) in traversal.run(packets)? {
                match end {
                    End::Accept => add(&mut passed, packet, probability),
                    End::Drop => self.end(Outcome::Dropped, packet, probability),
                    End::Reject => self.end(Outcome::Rejected, packet, probability),
                }
            }
            packets = passed;
        }
        Ok(packets)
    }

    fn end(&mut self, outcome: Outcome, packet: InFlight, probability: f64) {
        *self.ended.entry((outcome, packet)).or_default() += probability;
    }

    /// Counts packets that nothing stopped.
    fn finish(&mut self, packets: Packets) {
        for (packet, probability) in packets {
            let masqueraded = packet.source.is_none();
            let outcome = match (packet.is_sent, masqueraded) {
                (true, _) => Outcome::Delivered {
                    endpoint: packet.destination,
                    masqueraded,
                },
                (false, false) => Outcome::Untouched,
                (false, true) => Outcome::OnlyMasqueraded,
            };
            self.end(outcome, packet, probability);
        }
    }
}
