//! Whether a rule's conditions hold for a packet.

use std::net::IpAddr;

use nfnetlink::xtables::{
    AddrTypes, CtStates, Interface, Ipvs, Match, NotOr, Physdev, PortRange, Recent, RecentMode,
    Rule,
};

use super::sets::Problem;
use super::traverse::{InFlight, Traversal};
use crate::walker::WalkError;

/// `xt_statistic` compares 31 random bits.
const RANDOM_RANGE: f64 = 2_147_483_648.0;

impl Traversal<'_> {
    /// The probability that a rule applies: 0 or 1 but for `statistic`.
    ///
    /// Conditions are looked at until one fails, so a packet may lack what later ones ask for.
    pub(super) fn chance(&self, rule: &Rule, packet: &InFlight) -> Result<f64, WalkError> {
        if rule.out_interface.is_some() {
            return Err(self.unmodelled(rule, "the outgoing interface"));
        }
        let plain = holds(rule.dst.as_ref(), |net| {
            net.contains(&packet.destination.ip())
        }) && holds(rule.protocol.as_ref(), |protocol| {
            *protocol == self.protocol
        }) && holds(rule.in_interface.as_ref(), |interface| {
            self.is_from(interface)
        });
        if !plain {
            return Ok(0.0);
        }
        if let Some(src) = &rule.src {
            let source = self.source(rule, packet)?;
            if src.value.contains(&source) == src.not {
                return Ok(0.0);
            }
        }
        let mut chance = 1.0;
        for part in &rule.matches {
            chance *= self.match_chance(rule, part, packet)?;
            if chance == 0.0 {
                break;
            }
        }
        Ok(chance)
    }

    fn match_chance(&self, rule: &Rule, part: &Match, packet: &InFlight) -> Result<f64, WalkError> {
        let holds = match part {
            // A counter counts and holds.
            Match::Comment(_) | Match::Nfacct(_) => true,
            Match::Ports { protocol, src, dst } => {
                *protocol == self.protocol
                    && holds(dst.as_ref(), |range| has(*range, packet.destination.port()))
                    && match (src, packet.source) {
                        (None, _) => true,
                        (Some(src), Some(source)) => has(src.value, source.port()) != src.not,
                        (Some(_), None) => return Err(self.unknown_source(rule)),
                    }
            }
            Match::Mark { not, value, mask } => (packet.mark & mask == *value) != *not,
            Match::Conntrack(NotOr { not, value }) => {
                // xt_conntrack: one bit for the state, and one for each translation made.
                let mut is = CtStates::NEW.0;
                if packet.translated {
                    is |= CtStates::DNAT.0;
                }
                if packet.source.is_none() {
                    is |= CtStates::SNAT.0;
                }
                (is & value.0 != 0) != *not
            }
            Match::AddrType { src, dst } => {
                dst.is_none_or(|dst| {
                    (self.types(packet.destination.ip()) & dst.value.0 != 0) != dst.not
                }) && match src {
                    None => true,
                    Some(src) => {
                        let source = self.source(rule, packet)?;
                        (self.types(source) & src.value.0 != 0) != src.not
                    }
                }
            }
            Match::Random { not, probability } => {
                let chance = f64::from(*probability) / RANDOM_RANGE;
                return Ok(if *not { 1.0 - chance } else { chance });
            }
            Match::Recent(recent) => self.is_recent(rule, recent, packet)? != recent.not,
            Match::Set { not, name, dirs } => {
                let holds = self.sets.hold(name, *dirs, packet, self.protocol);
                holds.map_err(|problem| self.problem(rule, problem))? != *not
            }
            Match::Physdev(physdev) => {
                let asks_only_that = Physdev {
                    is_in: physdev.is_in,
                    ..Physdev::default()
                };
                if *physdev != asks_only_that {
                    return Err(self.unmodelled(rule, "a bridge's port"));
                }
                // Bridges hand packets to the host without a word about the port.
                physdev.is_in == Some(false)
            }
            Match::Ipvs(ipvs) => {
                let asked = Ipvs {
                    protocol: ipvs.protocol,
                    address: ipvs.address,
                    port: ipvs.port,
                    ..Ipvs::default()
                };
                if *ipvs != asked {
                    return Err(self.unmodelled(rule, "how IPVS handles a packet"));
                }
                packet.server.is_some_and(|server| {
                    holds(ipvs.protocol.as_ref(), |protocol| {
                        *protocol == self.protocol
                    }) && holds(ipvs.address.as_ref(), |net| net.contains(&server.ip()))
                        && holds(ipvs.port.as_ref(), |port| *port == server.port())
                })
            }
            Match::Other { .. } => return Err(self.unmodelled(rule, "an xt match")),
            _ => return Err(self.unmodelled(rule, "an expression")),
        };
        Ok(if holds { 1.0 } else { 0.0 })
    }

    /// `xt_recent`. Lists stay as given: what this packet puts on one or takes off matters only
    /// to later connections.
    fn is_recent(
        &self,
        rule: &Rule,
        recent: &Recent,
        packet: &InFlight,
    ) -> Result<bool, WalkError> {
        if recent.mode == RecentMode::Set {
            return Ok(true);
        }
        if recent.hits > 1 {
            return Err(self.unmodelled(rule, "counting hits"));
        }
        let source = self.source(rule, packet)?;
        let age = self
            .lists
            .get(&recent.name)
            .and_then(|list| list.get(&source));
        Ok(match recent.mode {
            RecentMode::Rcheck | RecentMode::Update => {
                age.is_some_and(|age| recent.seconds == 0 || *age <= recent.seconds)
            }
            RecentMode::Set | RecentMode::Remove => age.is_some(),
        })
    }

    fn is_from(&self, interface: &Interface) -> bool {
        if interface.wildcard {
            self.interface.starts_with(&interface.name)
        } else {
            self.interface == interface.name
        }
    }

    fn types(&self, address: IpAddr) -> u16 {
        if self.host.is_local(&address) {
            AddrTypes::LOCAL.0
        } else {
            AddrTypes::UNICAST.0
        }
    }

    fn source(&self, rule: &Rule, packet: &InFlight) -> Result<IpAddr, WalkError> {
        packet
            .source
            .map(|source| source.ip())
            .ok_or_else(|| self.unknown_source(rule))
    }

    fn problem(&self, rule: &Rule, problem: Problem) -> WalkError {
        match problem {
            Problem::Missing => WalkError::MissingSet {
                rule: rule.to_string(),
            },
            Problem::Source => self.unknown_source(rule),
            Problem::Dimensions => self.unmodelled(rule, "these directions for such a set"),
        }
    }

    fn unknown_source(&self, rule: &Rule) -> WalkError {
        self.unmodelled(rule, "the source after masquerading")
    }
}

fn holds<T>(condition: Option<&NotOr<T>>, test: impl Fn(&T) -> bool) -> bool {
    condition.is_none_or(|condition| test(&condition.value) != condition.not)
}

const fn has(range: PortRange, port: u16) -> bool {
    range.first <= port && port <= range.last
}
