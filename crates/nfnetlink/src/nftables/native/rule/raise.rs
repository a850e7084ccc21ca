//! From expressions to statements.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::lower::{self, REJECT_ICMP, REJECT_RESET, TO_NETWORK, turned};
use super::{NatTo, Operand, Ports, Reject, Statement};
use crate::Family;
use crate::nftables::native::datatype::ip_address;
use crate::nftables::native::expression::{
    Counters, DynsetExpression, Expression, NatExpression, PortExpression, Relation,
};
use crate::nftables::native::register::words;
use crate::nftables::native::term::{NETWORK, addresses};
use crate::nftables::native::{CtKey, Hash, MetaKey, Register, Term, Transport, Value};

/// Words of all registers.
const WORDS: usize = 16;

/// The statements that these expressions are, or each expression by itself.
///
/// Whatever is found counts only if it makes the same expressions again. So a form that is not
/// thought of here is never taken for another one.
pub(super) fn statements(family: Family, expressions: Vec<Expression>) -> Vec<Statement> {
    for named in [true, false] {
        if let Some(found) = Raise::new(family, named).all(&expressions)
            && lower::expressions(family, &found) == expressions
        {
            return found;
        }
    }
    expressions.into_iter().map(Statement::Other).collect()
}

/// Registers that hold no ports.
struct Unlike;

/// What a register holds.
#[derive(Clone)]
enum Slot {
    Term(Term),
    Value(Value),
    /// So many first bytes of an address.
    Prefix {
        destination: bool,
        len: u32,
    },
    Bits {
        term: Term,
        mask: Value,
        xor: Value,
    },
    /// A number in network byte order.
    Turned(Term),
    Map {
        key: Vec<Term>,
        map: Box<str>,
    },
}

struct Raise {
    family: Family,
    /// True to take ports for those of the protocol that was compared before.
    named: bool,
    slots: [Option<Slot>; WORDS],
    made: Vec<Statement>,
    /// The protocol that was compared, and by which statement.
    protocol: Option<(Transport, usize)>,
    /// Statements that follow from others.
    implied: Vec<usize>,
}

impl Raise {
    fn new(family: Family, named: bool) -> Self {
        Self {
            family,
            named,
            slots: [const { None }; WORDS],
            made: Vec::new(),
            protocol: None,
            implied: Vec::new(),
        }
    }

    fn all(mut self, expressions: &[Expression]) -> Option<Vec<Statement>> {
        for expression in expressions {
            self.expression(expression)?;
        }
        let mut index = 0;
        self.made.retain(|_| {
            index += 1;
            !self.implied.contains(&(index - 1))
        });
        Some(self.made)
    }

    fn put(&mut self, register: Register, slot: Slot) -> Option<()> {
        *self.slots.get_mut(usize::from(register.word()))? = Some(slot);
        Some(())
    }

    fn take(&mut self, register: Register) -> Option<Slot> {
        self.slots.get_mut(usize::from(register.word()))?.take()
    }

    fn value(&mut self, register: Register) -> Option<Value> {
        match self.take(register)? {
            Slot::Value(value) => Some(value),
            _ => None,
        }
    }

    fn term(&mut self, register: Register) -> Option<Term> {
        match self.take(register)? {
            Slot::Term(term) => Some(term),
            _ => None,
        }
    }

    /// The terms that lie one behind the other from this register on, up to a word.
    fn key(&mut self, from: Register, end: usize) -> Option<Vec<Term>> {
        let mut key = Vec::new();
        let mut word = usize::from(from.word());
        while word < end
            && let Some(slot) = self.slots.get_mut(word)
            && let Some(Slot::Term(term)) = slot
        {
            word += words(term.data_type(self.family).len());
            key.push(term.clone());
            *slot = None;
        }
        (!key.is_empty()).then_some(key)
    }

    /// A term with the protocol that is known for its port.
    fn named(&mut self, term: Term) -> Term {
        let (true, Some((transport, index))) = (self.named, self.protocol) else {
            return term;
        };
        let term = match term {
            Term::SourcePort(_) => Term::SourcePort(transport),
            Term::DestinationPort(_) => Term::DestinationPort(transport),
            other => return other,
        };
        self.implied.push(index);
        term
    }

    fn load(&mut self, to: Register, load: &Expression) -> Option<()> {
        if let Some(term) = Term::of_load(self.family, load) {
            let term = self.named(term);
            return self.put(to, Slot::Term(term));
        }
        let (source, destination, size) = addresses(self.family);
        match *load {
            Expression::Payload {
                base: NETWORK,
                offset,
                len,
                ..
            } if len < size && (offset == source || offset == destination) => {
                let destination = offset == destination;
                self.put(to, Slot::Prefix { destination, len })
            }
            _ => None,
        }
    }

    fn expression(&mut self, expression: &Expression) -> Option<()> {
        match expression {
            Expression::Payload { to, .. }
            | Expression::Meta { to, .. }
            | Expression::Ct { to, .. }
            | Expression::Fib { to, .. }
            | Expression::Numgen { to, .. } => self.load(*to, expression),
            Expression::Hash {
                from,
                to,
                len,
                modulus,
                seed,
                offset,
            } => {
                let end = usize::from(from.word()) + words(usize::try_from(*len).ok()?);
                let hash = Hash {
                    of: self.key(*from, end)?,
                    modulus: *modulus,
                    seed: *seed,
                    offset: *offset,
                };
                self.put(*to, Slot::Term(Term::Hash(hash)))
            }
            Expression::Immediate { to, value } => self.put(*to, Slot::Value(value.clone())),
            Expression::Byteorder {
                from,
                to,
                operation: TO_NETWORK,
                ..
            } => {
                let term = self.term(*from)?;
                self.put(*to, Slot::Turned(term))
            }
            Expression::Bitwise {
                from,
                to,
                mask,
                xor,
                ..
            } => {
                let (term, mask, xor) = (self.term(*from)?, mask.clone(), xor.clone());
                self.put(*to, Slot::Bits { term, mask, xor })
            }
            Expression::Lookup {
                set,
                from,
                to: Some(to),
                not: false,
            } => {
                let (key, map) = (self.key(*from, WORDS)?, set.clone());
                self.put(*to, Slot::Map { key, map })
            }
            other => {
                let statement = self.statement(other)?;
                self.made.push(statement);
                Some(())
            }
        }
    }

    fn statement(&mut self, expression: &Expression) -> Option<Statement> {
        Some(match expression {
            Expression::Cmp {
                from,
                relation,
                value,
            } => self.compare(*from, *relation, value)?,
            Expression::Lookup {
                set,
                from,
                to: None,
                not,
            } => Statement::InSet {
                key: self.key(*from, WORDS)?,
                set: set.clone(),
                not: *not,
            },
            Expression::SetMeta { from, key } => Statement::SetMeta {
                key: MetaKey::from_number(*key)?,
                to: self.operand(*from)?,
            },
            Expression::SetCt { from, key } => Statement::SetCt {
                key: CtKey::from_number(*key)?,
                to: self.operand(*from)?,
            },
            Expression::Dynset(dynset) => self.dynset(dynset)?,
            Expression::Nat(nat) => Statement::Nat {
                kind: nat.kind,
                to: self.nat(nat)?,
                flags: nat.flags,
            },
            Expression::Masquerade(masquerade) => Statement::Masquerade {
                ports: self.ports(*masquerade).ok()?,
                flags: masquerade.flags,
            },
            Expression::Redirect(redirect) => Statement::Redirect {
                ports: self.ports(*redirect).ok()?,
                flags: redirect.flags,
            },
            Expression::Verdict(verdict) => Statement::Verdict(verdict.clone()),
            Expression::Reject {
                kind: REJECT_ICMP,
                code,
            } => Statement::Reject(Reject::Icmp(*code)),
            Expression::Reject {
                kind: REJECT_RESET, ..
            } => {
                if let (true, Some((Transport::Tcp, index))) = (self.named, self.protocol) {
                    self.implied.push(index);
                }
                Statement::Reject(Reject::TcpReset)
            }
            Expression::Counter(counters) => Statement::Counter(*counters),
            Expression::Limit(limit) => Statement::Limit(*limit),
            Expression::Log(log) => Statement::Log(log.clone()),
            Expression::Object { kind, name } => Statement::Object {
                kind: *kind,
                name: name.clone(),
            },
            _ => return None,
        })
    }

    fn compare(&mut self, from: Register, relation: Relation, value: &Value) -> Option<Statement> {
        let equal = match relation {
            Relation::Eq => Some(true),
            Relation::Ne => Some(false),
            _ => None,
        };
        let family = self.family;
        let address = |destination, bytes: &[u8], prefix| {
            Some(Statement::Address {
                destination,
                not: !equal?,
                network: network(family, bytes, prefix)?,
            })
        };
        let bits = u8::try_from(value.len() * 8).ok()?;
        let (term, mask, value) = match self.take(from)? {
            Slot::Term(term) => match side(&term) {
                Some(destination) => return address(destination, value.as_bytes(), bits),
                None => (term, None, value.clone()),
            },
            Slot::Prefix { destination, len } => {
                let prefix = u8::try_from(len * 8).ok()?;
                return address(destination, value.as_bytes(), prefix);
            }
            Slot::Bits { term, mask, xor } => {
                if xor.as_bytes().iter().any(|byte| *byte != 0) {
                    return None;
                }
                match side(&term) {
                    Some(destination) => {
                        let ones = mask.as_bytes().iter().map(|byte| byte.count_ones()).sum();
                        let prefix = u32::try_into(ones).ok()?;
                        return address(destination, value.as_bytes(), prefix);
                    }
                    None => (term, Some(mask), value.clone()),
                }
            }
            Slot::Turned(term) => (term, None, turned(value)),
            Slot::Value(_) | Slot::Map { .. } => return None,
        };
        if let (Term::Meta(MetaKey::L4Proto), None, Relation::Eq, [number]) =
            (&term, &mask, relation, value.as_bytes())
        {
            self.protocol =
                Transport::of_protocol(*number).map(|transport| (transport, self.made.len()));
        }
        Some(Statement::Compare {
            term,
            mask,
            relation,
            value,
        })
    }

    fn operand(&mut self, from: Register) -> Option<Operand> {
        Some(match self.take(from)? {
            Slot::Term(term) => Operand::Term(term),
            Slot::Value(value) => Operand::Value(value),
            Slot::Bits { term, mask, xor } => Operand::Bits { term, mask, xor },
            Slot::Map { key, map } => Operand::Map { key, map },
            Slot::Prefix { .. } | Slot::Turned(_) => return None,
        })
    }

    fn nat(&mut self, nat: &NatExpression) -> Option<NatTo> {
        if nat.family != self.family {
            return None;
        }
        let Some(first) = nat.address else {
            return Some(NatTo::Fixed {
                addresses: None,
                ports: self.range(nat.port, nat.port_high).ok()?,
            });
        };
        let low = match self.take(first)? {
            Slot::Map { key, map } => {
                return Some(NatTo::Map {
                    key,
                    map,
                    with_port: nat.port.is_some(),
                });
            }
            Slot::Value(value) => ip_address(value.as_bytes())?,
            _ => return None,
        };
        let high = match nat.address_high {
            Some(register) => ip_address(self.value(register)?.as_bytes())?,
            None => low,
        };
        Some(NatTo::Fixed {
            addresses: Some((low, high)),
            ports: self.range(nat.port, nat.port_high).ok()?,
        })
    }

    fn ports(&mut self, expression: PortExpression) -> Result<Option<Ports>, Unlike> {
        self.range(expression.port, expression.port_high)
    }

    fn range(
        &mut self,
        low: Option<Register>,
        high: Option<Register>,
    ) -> Result<Option<Ports>, Unlike> {
        let mut port = |register| {
            let value = self.value(register).ok_or(Unlike)?;
            let bytes = value.as_bytes().try_into().map_err(|_| Unlike)?;
            Ok(u16::from_be_bytes(bytes))
        };
        let Some(low) = low else {
            return if high.is_none() {
                Ok(None)
            } else {
                Err(Unlike)
            };
        };
        let low = port(low)?;
        let high = high.map_or(Ok(low), port)?;
        Ok(Some((low, high)))
    }

    fn dynset(&mut self, dynset: &DynsetExpression) -> Option<Statement> {
        let end = dynset.data.map_or(WORDS, |data| data.word().into());
        let counter = match dynset.expressions.as_slice() {
            [] => false,
            [Expression::Counter(counters)] if *counters == Counters::default() => true,
            _ => return None,
        };
        Some(Statement::Dynset {
            operation: dynset.operation,
            set: dynset.set.clone(),
            key: self.key(dynset.key, end)?,
            data: match dynset.data {
                Some(data) => Some(self.term(data)?),
                None => None,
            },
            timeout: dynset.timeout,
            counter,
        })
    }
}

/// Which address a term is.
fn side(term: &Term) -> Option<bool> {
    match term {
        Term::SourceAddress => Some(false),
        Term::DestinationAddress => Some(true),
        _ => None,
    }
}

/// The network that begins with these bytes.
fn network(family: Family, bytes: &[u8], prefix: u8) -> Option<IpNet> {
    let mut whole = [0; 16];
    whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let address = match family {
        Family::Ipv4 => {
            let [a, b, c, d, ..] = whole;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        Family::Ipv6 => IpAddr::V6(whole.into()),
    };
    IpNet::new(address, prefix).ok()
}
