//! Packets through IPVS mode's chains, sets and virtual servers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipvs_netlink::{Protocol, Scheduler, Server, ServerFlags, ServerId};
use viprule_dataplane::ipvs::{Desired, Key, Object};
use viprule_dataplane::netfilter::{BaseChain, Kind};
use viprule_dataplane::protocol::in_ipvs;

use super::iptables::ruleset::{Ruleset, Unordered};
use super::iptables::sets::Sets;
use super::iptables::traverse::InFlight;
use super::iptables::{Hooks, RecentLists, finish};
use super::{Affinity, Distribution, Host, Origin, Outcome, Packet, Walk, WalkError};

/// Walks packets through a state of IPVS mode, as a kernel takes them with the sysctl
/// `net.ipv4.vs.conntrack`.
///
/// Built-in chains have the policy ACCEPT, and the host forwards packets. Rules, sets and servers of
/// others are not part of a state, so they play no role. Servers are idle: what counts connections
/// spreads as what takes turns.
#[derive(Debug)]
pub struct Walker<'a> {
    rules: Ruleset<'a>,
    sets: Sets,
    servers: BTreeMap<(SocketAddr, Protocol), Pool<'a>>,
    host: Host,
}

/// A virtual server and its destinations with their weights.
#[derive(Debug)]
struct Pool<'a> {
    server: &'a Server,
    destinations: Vec<(SocketAddr, u32)>,
}

impl<'a> Walker<'a> {
    /// Checks a state as the kernel would when it loads it. `host` is what the machine has besides;
    /// the state's addresses are local too.
    ///
    /// # Errors
    ///
    /// [`WalkError::MissingChain`] and [`WalkError::Loop`].
    pub fn new(state: &'a Desired, host: &Host, unordered: Unordered) -> Result<Self, WalkError> {
        let rules = state
            .iter()
            .filter_map(|(key, object)| match (key, object) {
                (Key::Netfilter(key), Object::Netfilter(object)) => Some((key, object)),
                _ => None,
            });
        let mut host = host.clone();
        let mut servers = BTreeMap::new();
        for (key, object) in state {
            match (key, object) {
                (Key::Address(address), _) => host.addresses.push(*address),
                (Key::Server(id), Object::Server(server)) => {
                    let destinations = Vec::new();
                    let pool = Pool {
                        server,
                        destinations,
                    };
                    servers.extend(at(id).map(|at| (at, pool)));
                }
                (
                    Key::Destination {
                        server,
                        destination,
                    },
                    Object::Destination(content),
                ) => {
                    if let Some(pool) = at(server).and_then(|at| servers.get_mut(&at)) {
                        let to = SocketAddr::new(destination.address, destination.port);
                        pool.destinations.push((to, content.weight));
                    }
                }
                _ => {}
            }
        }
        Ok(Self {
            rules: Ruleset::new(rules, unordered)?,
            sets: Sets::of(state),
            servers,
            host,
        })
    }
}

fn at(server: &ServerId) -> Option<(SocketAddr, Protocol)> {
    match server {
        ServerId::Address {
            address,
            port,
            protocol,
        } => Some((SocketAddr::new(*address, *port), *protocol)),
        ServerId::Fwmark { .. } => None,
    }
}

impl Walk for Walker<'_> {
    fn walk(&self, packet: &Packet, affinity: &Affinity) -> Result<Distribution, WalkError> {
        let (from, to) = (packet.source.ip(), packet.destination.ip());
        if from.is_ipv4() != to.is_ipv4() {
            return Err(WalkError::Families { from, to });
        }
        if packet.is_martian(&self.host) {
            return Ok(Distribution::certain(Outcome::Dropped));
        }
        let lists = RecentLists::new();
        let mut way = Way {
            walker: self,
            affinity,
            hooks: Hooks {
                rules: &self.rules,
                sets: &self.sets,
                host: &self.host,
                lists: &lists,
                packet,
            },
            endings: Distribution::default(),
        };
        way.go(InFlight::new(packet))?;
        Ok(way.endings)
    }
}

/// The way of one packet through the hooks.
struct Way<'a> {
    walker: &'a Walker<'a>,
    affinity: &'a Affinity,
    hooks: Hooks<'a>,
    endings: Distribution,
}

impl Way<'_> {
    /// Hooks and routing in the kernel's order. IPVS takes new connections in `LOCAL_IN` behind
    /// filter and before source NAT (99), and in `LOCAL_OUT` right behind destination NAT (-98):
    /// `ip_vs_ops4`, `ip_vs_ops6`.
    fn go(&mut self, start: InFlight) -> Result<(), WalkError> {
        use BaseChain::{Forward, Input, Output, Postrouting, Prerouting};
        use Kind::{Filter, Mangle, Nat};
        let (mut done, mut leftover) = (Vec::new(), Vec::new());
        if self.hooks.packet.origin == Origin::Node {
            let sent = self.pass(Output, &[Mangle, Nat], vec![start])?;
            let sent = self.serve(sent);
            // What IPVS sends on starts over in OUTPUT; nat was settled.
            leftover.extend(self.pass(Output, &[Mangle, Filter], sent)?);
        } else {
            let arrived = self.pass(Prerouting, &[Mangle, Nat], vec![start])?;
            let (to_host, away) = self.hooks.route(arrived);
            let received = self.pass(Input, &[Mangle, Filter], to_host)?;
            let served = self.serve(received);
            let (here, elsewhere) = self.hooks.route(served);
            done.extend(self.pass(Input, &[Nat], here)?);
            // IPVS sends like the host itself (`ip_vs_nat_send_or_cont`).
            leftover.extend(self.pass(Output, &[Mangle, Filter], elsewhere)?);
            leftover.extend(self.pass(Forward, &[Mangle, Filter], away)?);
        }
        let left = self.pass(Postrouting, &[Mangle, Nat], leftover)?;
        let (back, away) = self.hooks.route(left);
        done.extend(self.pass(Input, &[Mangle, Filter], back)?);
        finish(done.into_iter().chain(away), &mut self.endings);
        Ok(())
    }

    fn pass(
        &mut self,
        base: BaseChain,
        tables: &[Kind],
        packets: Vec<InFlight>,
    ) -> Result<Vec<InFlight>, WalkError> {
        self.hooks.pass(base, tables, packets, &mut self.endings)
    }

    /// Sends what is for a virtual server to its destinations. One without any tells that its port
    /// is unreachable (`ip_vs_leave`).
    fn serve(&mut self, packets: Vec<InFlight>) -> Vec<InFlight> {
        let protocol = in_ipvs(self.hooks.packet.protocol);
        let mut sent = Vec::new();
        for packet in packets {
            let to = packet.destination;
            let Some(pool) = self.walker.servers.get(&(to, protocol)) else {
                sent.push(packet);
                continue;
            };
            let client = packet.source.map(|source| source.ip());
            let shares = match client.and_then(|client| self.template(pool, to, client)) {
                Some(destination) => vec![(destination, 1.0)],
                None => pool.shares(),
            };
            if shares.is_empty() {
                self.endings.add(Outcome::Rejected, packet.probability);
            }
            for (destination, share) in shares {
                let probability = packet.probability * share;
                let mut copy = packet.clone().with_probability(probability);
                copy.destination = destination;
                copy.server = Some(to);
                sent.push(copy);
            }
        }
        sent
    }

    /// Where a persistent server sends a client that it knows. It knows its last connection, and
    /// forgets one to a destination that takes none (`ip_vs_sched_persist`, sysctl
    /// `expire_quiescent_template`).
    fn template(&self, pool: &Pool<'_>, server: SocketAddr, client: IpAddr) -> Option<SocketAddr> {
        if !pool.server.flags.contains(ServerFlags::PERSISTENT) {
            return None;
        }
        let known = self.affinity.iter().filter(|entry| {
            entry.frontend == server
                && entry.protocol == self.hooks.packet.protocol
                && entry.client == client
                && entry.seconds_ago <= pool.server.timeout
        });
        let last = known.min_by_key(|entry| entry.seconds_ago)?;
        let usable = |(to, weight): &&(SocketAddr, u32)| *to == last.endpoint && *weight > 0;
        let destination = pool.destinations.iter().find(usable)?;
        Some(destination.0)
    }
}

impl Pool<'_> {
    /// How new connections are spread.
    fn shares(&self) -> Vec<(SocketAddr, f64)> {
        let by_weight = [Scheduler::WRR, Scheduler::WLC].contains(&self.server.scheduler);
        let usable = self.destinations.iter().filter(|(_, weight)| *weight > 0);
        let parts = usable.map(|(to, weight)| (*to, if by_weight { *weight } else { 1 }));
        let parts: Vec<(SocketAddr, u32)> = parts.collect();
        let total: u32 = parts.iter().map(|(_, part)| part).sum();
        parts
            .into_iter()
            .map(|(to, part)| (to, f64::from(part) / f64::from(total)))
            .collect()
    }
}
