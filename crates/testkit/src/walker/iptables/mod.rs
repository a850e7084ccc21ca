//! Packets through iptables mode's chains.

mod matches;
pub(super) mod ruleset;
pub(super) mod sets;
pub(super) mod traverse;

use std::collections::BTreeMap;
use std::net::IpAddr;

use viprule_dataplane::State;
use viprule_dataplane::family::in_netfilter;
use viprule_dataplane::netfilter::{BaseChain, Key, Kind, Object, Table};
use viprule_dataplane::ownership::{Chain, ChainHash};

use super::{Affinity, Distribution, Host, Origin, Outcome, Packet, Walk, WalkError};
use ruleset::Ruleset;
pub use ruleset::Unordered;
use sets::Sets;
use traverse::{End, InFlight, Traversal};

/// The lists of `xt_recent`: for each list the addresses on it, with the seconds since they were
/// last put there.
pub type RecentLists = BTreeMap<String, BTreeMap<IpAddr, u32>>;

/// Walks packets through a state of iptables mode.
///
/// Built-in chains have the policy ACCEPT, and the host forwards packets. Rules of others are not
/// part of a state, so they play no role.
#[derive(Debug)]
pub struct Walker<'a> {
    rules: Ruleset<'a>,
    /// None: iptables mode has no sets.
    sets: Sets,
    host: &'a Host,
}

impl<'a> Walker<'a> {
    /// Checks a state as the kernel would when it loads it.
    ///
    /// # Errors
    ///
    /// [`WalkError::MissingChain`] and [`WalkError::Loop`].
    pub fn new(
        state: &'a State<Key, Object>,
        host: &'a Host,
        unordered: Unordered,
    ) -> Result<Self, WalkError> {
        Ok(Self {
            rules: Ruleset::new(state.iter().map(|(key, it)| (key, it)), unordered)?,
            sets: Sets::default(),
            host,
        })
    }

    /// As [`Walk::walk`], with the kernel's own lists as `/proc/net/xt_recent` shows them.
    ///
    /// # Errors
    ///
    /// As [`Walk::walk`].
    pub fn walk_with_lists(
        &self,
        packet: &Packet,
        lists: &RecentLists,
    ) -> Result<Distribution, WalkError> {
        let (from, to) = (packet.source.ip(), packet.destination.ip());
        if from.is_ipv4() != to.is_ipv4() {
            return Err(WalkError::Families { from, to });
        }
        let mut endings = Distribution::default();
        if packet.is_martian(self.host) {
            endings.add(Outcome::Dropped, 1.0);
            return Ok(endings);
        }
        let mut way = Way {
            hooks: Hooks {
                rules: &self.rules,
                sets: &self.sets,
                host: self.host,
                lists,
                packet,
            },
            endings,
        };
        way.go(InFlight::new(packet))?;
        Ok(way.endings)
    }
}

impl Walk for Walker<'_> {
    fn walk(&self, packet: &Packet, affinity: &Affinity) -> Result<Distribution, WalkError> {
        self.walk_with_lists(packet, &recent_lists(affinity))
    }
}

/// The lists in which iptables mode keeps what affinity remembers: each named after the chain of
/// its endpoint (contract 2.6).
pub fn recent_lists(affinity: &Affinity) -> RecentLists {
    let mut lists = RecentLists::new();
    for entry in affinity {
        let hash = ChainHash::of(&[
            &entry.port_name().to_string(),
            entry.protocol.as_str(),
            &entry.endpoint.to_string(),
        ]);
        let list = lists.entry(Chain::Endpoint(hash).to_string()).or_default();
        let latest = list.entry(entry.client).or_insert(entry.seconds_ago);
        *latest = entry.seconds_ago.min(*latest);
    }
    lists
}

/// The way of one packet through the hooks.
struct Way<'a> {
    hooks: Hooks<'a>,
    endings: Distribution,
}

impl Way<'_> {
    /// Hooks and routing in the kernel's order (`ip_rcv`, `ip_local_out`, `ip_output`).
    fn go(&mut self, start: InFlight) -> Result<(), WalkError> {
        use BaseChain::{Forward, Input, Output, Postrouting, Prerouting};
        if self.hooks.packet.origin == Origin::Node {
            let sent = self.hook(Output, vec![start])?;
            let sent = self.hook(Postrouting, sent)?;
            // Packets to the host itself come back through the loopback interface. PREROUTING has
            // no nat rules for them any more: the connection is set up. And source NAT was settled
            // in POSTROUTING.
            let (to_host, away) = self.hooks.route(sent);
            let received = self.hooks.pass(
                Input,
                &[Kind::Mangle, Kind::Filter],
                to_host,
                &mut self.endings,
            )?;
            finish(received.into_iter().chain(away), &mut self.endings);
        } else {
            let arrived = self.hook(Prerouting, vec![start])?;
            let (to_host, away) = self.hooks.route(arrived);
            let received = self.hook(Input, to_host)?;
            let forwarded = self.hook(Forward, away)?;
            let forwarded = self.hook(Postrouting, forwarded)?;
            finish(received.into_iter().chain(forwarded), &mut self.endings);
        }
        Ok(())
    }

    /// Takes packets through one hook's tables, by priority: mangle at -150, then DNAT at -100,
    /// filter at 0, SNAT at 100 (`netfilter_ipv4.h`). Returns those that come out of it.
    fn hook(
        &mut self,
        base: BaseChain,
        packets: Vec<InFlight>,
    ) -> Result<Vec<InFlight>, WalkError> {
        let tables: &[Kind] = match base {
            BaseChain::Prerouting | BaseChain::Postrouting => &[Kind::Mangle, Kind::Nat],
            BaseChain::Forward => &[Kind::Mangle, Kind::Filter],
            BaseChain::Input => &[Kind::Mangle, Kind::Filter, Kind::Nat],
            BaseChain::Output => &[Kind::Mangle, Kind::Nat, Kind::Filter],
        };
        self.hooks.pass(base, tables, packets, &mut self.endings)
    }
}

/// What one packet meets at the hooks.
pub(super) struct Hooks<'a> {
    pub(super) rules: &'a Ruleset<'a>,
    pub(super) sets: &'a Sets,
    pub(super) host: &'a Host,
    pub(super) lists: &'a RecentLists,
    pub(super) packet: &'a Packet,
}

impl Hooks<'_> {
    /// Packets to the host itself, and those to elsewhere.
    pub(super) fn route(&self, packets: Vec<InFlight>) -> (Vec<InFlight>, Vec<InFlight>) {
        packets
            .into_iter()
            .partition(|packet| self.host.is_local(&packet.destination.ip()))
    }

    /// Takes packets through some tables of one hook. Returns those that come out of them.
    pub(super) fn pass(
        &self,
        base: BaseChain,
        tables: &[Kind],
        mut packets: Vec<InFlight>,
        endings: &mut Distribution,
    ) -> Result<Vec<InFlight>, WalkError> {
        let family = in_netfilter(self.packet.family());
        for kind in tables {
            let traversal = Traversal {
                rules: self.rules,
                sets: self.sets,
                host: self.host,
                lists: self.lists,
                protocol: self.packet.protocol.number(),
                table: Table {
                    family,
                    kind: *kind,
                },
                base,
                interface: interface(self.packet, base),
            };
            let mut passed = Vec::new();
            for packet in packets {
                for (end, packet) in traversal.run(packet)? {
                    match end {
                        End::Accept => passed.push(packet),
                        End::Drop => endings.add(Outcome::Dropped, packet.probability),
                        End::Reject => endings.add(Outcome::Rejected, packet.probability),
                    }
                }
            }
            packets = passed;
        }
        Ok(packets)
    }
}

/// Counts packets that nothing stopped.
pub(super) fn finish(packets: impl Iterator<Item = InFlight>, endings: &mut Distribution) {
    for packet in packets {
        let masqueraded = packet.source.is_none();
        let outcome = match (packet.translated || packet.server.is_some(), masqueraded) {
            (true, _) => Outcome::Delivered {
                endpoint: packet.destination,
                masqueraded,
            },
            (false, false) => Outcome::Untouched,
            (false, true) => Outcome::OnlyMasqueraded,
        };
        endings.add(outcome, packet.probability);
    }
}

/// The interface that rules see as `-i`; empty for packets that the host makes.
fn interface(packet: &Packet, base: BaseChain) -> &str {
    match (&packet.origin, base) {
        (_, BaseChain::Output | BaseChain::Postrouting) => "",
        (Origin::Interface(name), _) => name,
        (Origin::Node, _) => "lo",
    }
}
