//! What a rule's statements do with a packet.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nfnetlink::nftables::Hook;
use nfnetlink::nftables::native::{
    DynsetOperation, MetaKey, NatKind, NatTo, Numgen, Operand, Reject, Relation, Rule, SetFlags,
    Statement, Term, Value, Verdict,
};
use viprule_service::model::Protocol;

use super::contents::Found;
use super::flight::{InFlight, Written};
use super::traverse::{End, Left, Traversal};
use crate::walker::WalkError;

/// Bits of `ct status` that the walker knows of.
const STATUS: u32 = 16 | 32;

/// How a rule is done with a packet.
pub(super) enum Then<'r> {
    /// The next rule has it.
    Next,
    /// The calling chain has it.
    Back,
    /// The base chain is done with it.
    End(End),
    /// Another chain has it, then the next rule.
    Jump(&'r str),
    /// Another chain has it, then the calling chain.
    Goto(&'r str),
}

impl Traversal<'_> {
    /// Every way in which a statement can be done with a packet, with the share of each.
    pub(super) fn statement<'r>(
        &self,
        rule: &Rule,
        statement: &'r Statement,
        packet: InFlight,
    ) -> Result<Left<'r>, WalkError> {
        match statement {
            Statement::Address {
                destination,
                not,
                network,
            } => {
                let term = if *destination {
                    Term::DestinationAddress
                } else {
                    Term::SourceAddress
                };
                let address = self.value(rule, &term, &packet)?;
                let address = address.and_then(|value| address_of(value.as_bytes()));
                let holds = address.is_some_and(|it| network.contains(&it) != *not);
                Ok(condition(holds, packet))
            }
            Statement::Compare {
                term,
                mask,
                relation,
                value,
            } => {
                if let (Term::Numgen(drawn), None) = (term, mask) {
                    return self.draws(rule, *drawn, (*relation, value), &packet);
                }
                let holds = match self.value(rule, term, &packet)? {
                    None => false,
                    Some(found) => {
                        self.compares(rule, term, (&found, mask.as_ref()), *relation, value)?
                    }
                };
                Ok(condition(holds, packet))
            }
            Statement::InSet { key, set, not } => {
                let found = self.look_up(rule, set, key, &packet)?;
                let ways = found.into_iter().map(|(found, share)| {
                    let then = ((found != Found::Nothing) == *not).then_some(Then::Next);
                    (then, packet.clone(), share)
                });
                Ok(or_next(ways.collect(), &packet))
            }
            Statement::SetMeta { key, to } => self.set_meta(rule, *key, to, &packet),
            Statement::Nat { kind, to, .. } => self.translate(rule, *kind, to, &packet),
            Statement::Masquerade { .. } => self.masquerade(rule, packet),
            Statement::Dynset { .. } => self.write(rule, statement, packet),
            Statement::Verdict(verdict) => Ok(vec![(Some(then(verdict)), packet, 1.0)]),
            Statement::Reject(reject) => self.reject(rule, *reject, packet),
            Statement::Counter(_) => Ok(vec![(None, packet, 1.0)]),
            _ => Err(self.unmodelled(rule, "a statement")),
        }
    }

    /// What a set has for each value that a key can have, with the share of each; nothing where the
    /// packet has no such key.
    fn look_up(
        &self,
        rule: &Rule,
        set: &str,
        terms: &[Term],
        packet: &InFlight,
    ) -> Result<Vec<(Found, f64)>, WalkError> {
        let keys = self.keys(rule, terms, packet)?;
        let of_each = share(keys.len());
        let mut all = Vec::with_capacity(keys.len());
        for key in &keys {
            let found = self.find(rule, set, terms, (key, packet))?;
            let of_it = of_each * share(found.len());
            all.extend(found.into_iter().map(|one| (one, of_it)));
        }
        Ok(all)
    }

    fn compares(
        &self,
        rule: &Rule,
        term: &Term,
        (found, mask): (&Value, Option<&Value>),
        relation: Relation,
        value: &Value,
    ) -> Result<bool, WalkError> {
        use nfnetlink::nftables::native::CtKey::Status;
        let bits = mask.and_then(Value::host_u32);
        if *term == Term::Ct(Status) && bits.is_none_or(|bits| bits & !STATUS != 0) {
            return Err(self.unmodelled(rule, "other bits of a connection's status"));
        }
        // A value may be the first bytes only, as of an interface's name.
        let bytes = found.as_bytes().get(..value.len());
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
            return Err(self.unmodelled(rule, "a value of another length"));
        };
        let masked: Vec<u8> = match mask.map(Value::as_bytes) {
            None => bytes.to_vec(),
            Some(mask) if mask.len() == bytes.len() => bytes
                .iter()
                .zip(mask)
                .map(|(byte, mask)| byte & mask)
                .collect(),
            Some(_) => return Err(self.unmodelled(rule, "a mask of another length")),
        };
        let is_number = matches!(term, Term::Meta(MetaKey::Mark | MetaKey::Priority));
        let order = if is_number {
            Value::new(&masked).host_u32().cmp(&value.host_u32())
        } else {
            masked.as_slice().cmp(value.as_bytes())
        };
        Ok(match relation {
            Relation::Eq => order.is_eq(),
            Relation::Ne => order.is_ne(),
            Relation::Lt => order.is_lt(),
            Relation::Le => order.is_le(),
            Relation::Gt => order.is_gt(),
            Relation::Ge => order.is_ge(),
        })
    }

    /// A drawn number that is compared: as often as that holds for one of them.
    fn draws<'r>(
        &self,
        rule: &Rule,
        drawn: Numgen,
        (relation, value): (Relation, &Value),
        packet: &InFlight,
    ) -> Result<Left<'r>, WalkError> {
        let (true, 0, Relation::Lt, Some(below)) =
            (drawn.random, drawn.offset, relation, value.host_u32())
        else {
            return Err(self.unmodelled(rule, "how a number is drawn or compared"));
        };
        let holds = f64::from(below.min(drawn.modulus)) / f64::from(drawn.modulus);
        let ways = [(None, holds), (Some(Then::Next), 1.0 - holds)];
        let possible = ways.into_iter().filter(|(_, share)| *share > 0.0);
        Ok(possible
            .map(|(then, share)| (then, packet.clone(), share))
            .collect())
    }

    fn set_meta<'r>(
        &self,
        rule: &Rule,
        key: MetaKey,
        to: &Operand,
        packet: &InFlight,
    ) -> Result<Left<'r>, WalkError> {
        let found = match to {
            Operand::Value(value) => vec![(Some(value.clone()), 1.0)],
            Operand::Term(term) => vec![(self.value(rule, term, packet)?, 1.0)],
            Operand::Bits { term, mask, xor } => {
                let number = self.value(rule, term, packet)?;
                let number = number.as_ref().and_then(Value::host_u32);
                let (Some(number), Some(mask), Some(xor)) =
                    (number, mask.host_u32(), xor.host_u32())
                else {
                    return Err(self.unmodelled(rule, "bits of what is no number"));
                };
                vec![(Some(((number & mask) ^ xor).into()), 1.0)]
            }
            Operand::Map { key, map } => {
                let found = self.look_up(rule, map, key, packet)?;
                let found = found.into_iter();
                found.map(|(one, share)| (one.value(), share)).collect()
            }
            _ => return Err(self.unmodelled(rule, "what something is set to")),
        };
        let mut ways = Vec::new();
        for (value, share) in found {
            let Some(value) = value else {
                ways.push((Some(Then::Next), packet.clone(), share));
                continue;
            };
            let mut packet = packet.clone();
            match (key, value.host_u32()) {
                (MetaKey::Mark, Some(number)) => packet.mark = number,
                (MetaKey::Priority, Some(number)) => packet.priority = number,
                _ => return Err(self.unmodelled(rule, "what it sets")),
            }
            ways.push((None, packet, share));
        }
        Ok(or_next(ways, packet))
    }

    /// `nft_nat`: where it goes, and that nothing else in the chain has a say.
    fn translate<'r>(
        &self,
        rule: &Rule,
        kind: NatKind,
        to: &NatTo,
        packet: &InFlight,
    ) -> Result<Left<'r>, WalkError> {
        let is_early = matches!(self.chain.base.hook, Hook::Prerouting | Hook::Output);
        if kind != NatKind::Destination {
            return Err(self.unmodelled(rule, "another source address"));
        }
        if !self.chain.is_nat() || !is_early {
            return Err(self.misplaced(rule));
        }
        let port = packet.destination.port();
        let found = match to {
            NatTo::Map {
                key,
                map,
                with_port,
            } => {
                let mut all = Vec::new();
                for (found, share) in self.look_up(rule, map, key, packet)? {
                    let to = match found.value() {
                        None => None,
                        Some(value) => {
                            let to = endpoint(&value, packet.destination.ip(), *with_port, port);
                            let other = || self.unmodelled(rule, "a map of something else");
                            Some(to.ok_or_else(other)?)
                        }
                    };
                    all.push((to, share));
                }
                all
            }
            NatTo::Fixed {
                addresses: Some((low, high)),
                ports,
            } if low == high && ports.is_none_or(|(low, high)| low == high) => {
                let port = ports.map_or(port, |(port, _)| port);
                vec![(Some(SocketAddr::new(*low, port)), 1.0)]
            }
            _ => return Err(self.unmodelled(rule, "a range of addresses")),
        };
        let ways = found.into_iter().map(|(to, share)| {
            let mut packet = packet.clone();
            let Some(to) = to else {
                return (Some(Then::Next), packet, share);
            };
            packet.is_translated = to != packet.destination;
            packet.is_sent = true;
            packet.destination = to;
            (Some(Then::End(End::Accept)), packet, share)
        });
        Ok(or_next(ways.collect(), packet))
    }

    fn masquerade<'r>(&self, rule: &Rule, mut packet: InFlight) -> Result<Left<'r>, WalkError> {
        if !self.chain.is_nat() || self.chain.base.hook != Hook::Postrouting {
            return Err(self.misplaced(rule));
        }
        packet.source = None;
        Ok(vec![(Some(Then::End(End::Accept)), packet, 1.0)])
    }

    /// `nft_reject_validate`.
    fn reject<'r>(
        &self,
        rule: &Rule,
        reject: Reject,
        packet: InFlight,
    ) -> Result<Left<'r>, WalkError> {
        if self.chain.is_nat() || self.chain.base.hook == Hook::Postrouting {
            return Err(self.misplaced(rule));
        }
        let is_meant = match reject {
            Reject::TcpReset => self.packet.protocol == Protocol::Tcp,
            _ => true,
        };
        let then = if is_meant {
            Then::End(End::Reject)
        } else {
            Then::Next
        };
        Ok(vec![(Some(then), packet, 1.0)])
    }

    /// `nft_dynset_eval`: an element that is there keeps its value, and gets a new time.
    fn write<'r>(
        &self,
        rule: &Rule,
        statement: &Statement,
        mut packet: InFlight,
    ) -> Result<Left<'r>, WalkError> {
        let Statement::Dynset {
            operation,
            set,
            key: terms,
            data,
            timeout,
            ..
        } = statement
        else {
            return Err(self.unmodelled(rule, "a statement"));
        };
        let table = self.states.first().and_then(|it| it.table(self.family));
        let spec = table.and_then(|table| table.set(set)).map(|it| it.spec);
        if !spec.is_some_and(|spec| spec.flags.has(SetFlags::DYNAMIC)) {
            return Err(self.misplaced(rule));
        }
        let [key] = &self.keys(rule, terms, &packet)?[..] else {
            return Err(self.unmodelled(rule, "a drawn key that is written"));
        };
        let found = self.find(rule, set, terms, (key, &packet))?;
        let [found] = &found[..] else {
            return Err(self.unmodelled(rule, "an element of others that packets write"));
        };
        let place = (set.clone(), key.clone());
        if *operation == DynsetOperation::Delete {
            packet.written.insert(place, None);
            return Ok(vec![(None, packet, 1.0)]);
        }
        let data = match (found, data) {
            (Found::Member | Found::Value(_), _) if *operation == DynsetOperation::Add => {
                return Ok(vec![(None, packet, 1.0)]);
            }
            (Found::Value(data), _) => Some(data.clone()),
            (Found::Nothing, _) if self.is_full => {
                return Ok(vec![(Some(Then::Next), packet, 1.0)]);
            }
            (Found::Nothing, Some(term)) => self.value(rule, term, &packet)?,
            (Found::Member, _) | (Found::Nothing, None) => None,
        };
        let timeout = timeout.or_else(|| spec.and_then(|spec| spec.timeout));
        let seconds = timeout.map(|time| time.as_secs());
        packet
            .written
            .insert(place, Some(Written { data, seconds }));
        Ok(vec![(None, packet, 1.0)])
    }
}

fn then(verdict: &Verdict) -> Then<'_> {
    match verdict {
        Verdict::Accept => Then::End(End::Accept),
        Verdict::Drop => Then::End(End::Drop),
        Verdict::Continue => Then::Next,
        Verdict::Return => Then::Back,
        Verdict::Jump(chain) => Then::Jump(chain),
        Verdict::Goto(chain) => Then::Goto(chain),
    }
}

fn condition<'r>(holds: bool, packet: InFlight) -> Left<'r> {
    vec![((!holds).then_some(Then::Next), packet, 1.0)]
}

/// A packet that lacks what is looked up leaves the rule.
fn or_next<'r>(ways: Left<'r>, packet: &InFlight) -> Left<'r> {
    if ways.is_empty() {
        vec![(Some(Then::Next), packet.clone(), 1.0)]
    } else {
        ways
    }
}

/// The share of each of so many.
fn share(number: usize) -> f64 {
    f64::from(u32::try_from(number.max(1)).unwrap_or(u32::MAX)).recip()
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    let v6 = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or(v6).ok()
}

/// What a map's value says, of the family of `like`.
fn endpoint(value: &Value, like: IpAddr, with_port: bool, port: u16) -> Option<SocketAddr> {
    let len = if like.is_ipv4() { 4 } else { 16 };
    let bytes = value.as_bytes();
    let address = address_of(bytes.get(..len)?)?;
    let rest = bytes.get(len..)?;
    match (with_port, rest) {
        (true, [high, low, 0, 0]) => {
            Some(SocketAddr::new(address, u16::from_be_bytes([*high, *low])))
        }
        (false, []) => Some(SocketAddr::new(address, port)),
        _ => None,
    }
}
