//! From statements to expressions: chooses registers as nft does.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{NatTo, Operand, Ports, Reject, Statement};
use crate::Family;
use crate::nftables::native::datatype::Order;
use crate::nftables::native::expression::{
    Counters, DynsetExpression, Expression, NatExpression, PortExpression, Relation,
};
use crate::nftables::native::register::words;
use crate::nftables::native::term::{NETWORK, addresses};
use crate::nftables::native::{MetaKey, Register, Term, Transport, Value};

/// Words of `NFT_REG_1`, which holds whatever is no concatenation.
const WIDE: usize = 4;
/// `NFT_BYTEORDER_HTON`.
pub(super) const TO_NETWORK: u32 = 1;
/// `NFT_REJECT_ICMP_UNREACH`, `NFT_REJECT_TCP_RST`.
pub(super) const REJECT_ICMP: u32 = 0;
pub(super) const REJECT_RESET: u32 = 1;

pub(super) fn expressions(family: Family, statements: &[Statement]) -> Vec<Expression> {
    let mut lower = Lower {
        family,
        made: Vec::with_capacity(statements.len() * 4),
        protocol: None,
    };
    for statement in statements {
        lower.statement(statement);
    }
    lower.made
}

struct Lower {
    family: Family,
    made: Vec<Expression>,
    /// The transport protocol that packets have here.
    protocol: Option<u8>,
}

/// A register by its word; one that is not there makes [`Option::None`], and what would use it is
/// left out.
fn at(word: usize) -> Option<Register> {
    Register::at(u8::try_from(word).ok()?)
}

impl Lower {
    fn push(&mut self, expression: Option<Expression>) {
        self.made.extend(expression);
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Address {
                destination,
                not,
                network,
            } => self.network(*destination, *not, *network),
            Statement::Compare {
                term,
                mask,
                relation,
                value,
            } => self.compare(term, mask.as_ref(), *relation, value),
            Statement::InSet { key, set, not } => {
                self.key(key, 0);
                self.push(at(0).map(|from| Expression::Lookup {
                    set: set.clone(),
                    from,
                    to: None,
                    not: *not,
                }));
            }
            Statement::SetMeta { key, to } => {
                self.operand(to);
                let key = *key as u32;
                self.push(at(0).map(|from| Expression::SetMeta { from, key }));
            }
            Statement::SetCt { key, to } => {
                self.operand(to);
                let key = *key as u32;
                self.push(at(0).map(|from| Expression::SetCt { from, key }));
            }
            Statement::Nat { kind, to, flags } => {
                let mut nat = NatExpression {
                    kind: *kind,
                    family: self.family,
                    address: None,
                    address_high: None,
                    port: None,
                    port_high: None,
                    flags: *flags,
                };
                self.nat(&mut nat, to);
                self.made.push(Expression::Nat(nat));
            }
            Statement::Masquerade { ports, flags } => {
                let (port, port_high) = self.ports(*ports, &mut 0);
                self.made.push(Expression::Masquerade(PortExpression {
                    port,
                    port_high,
                    flags: *flags,
                }));
            }
            Statement::Redirect { ports, flags } => {
                let (port, port_high) = self.ports(*ports, &mut 0);
                self.made.push(Expression::Redirect(PortExpression {
                    port,
                    port_high,
                    flags: *flags,
                }));
            }
            Statement::Dynset { .. } => self.dynset(statement),
            Statement::Verdict(verdict) => self.made.push(Expression::Verdict(verdict.clone())),
            Statement::Reject(Reject::Icmp(code)) => self.made.push(Expression::Reject {
                kind: REJECT_ICMP,
                code: *code,
            }),
            Statement::Reject(Reject::TcpReset) => {
                self.require(Transport::Tcp);
                self.made.push(Expression::Reject {
                    kind: REJECT_RESET,
                    code: 0,
                });
            }
            Statement::Counter(counters) => self.made.push(Expression::Counter(*counters)),
            Statement::Limit(limit) => self.made.push(Expression::Limit(*limit)),
            Statement::Log(log) => self.made.push(Expression::Log(log.clone())),
            Statement::Object { kind, name } => self.made.push(Expression::Object {
                kind: *kind,
                name: name.clone(),
            }),
            Statement::Other(expression) => self.made.push(expression.clone()),
        }
    }

    fn network(&mut self, destination: bool, not: bool, network: IpNet) {
        let (source, target, size) = addresses(self.family);
        let offset = if destination { target } else { source };
        let Some(register) = at(0) else { return };
        let (whole, mask): (Value, Value) = match network {
            IpNet::V4(net) => (net.network().into(), net.netmask().into()),
            IpNet::V6(net) => (net.network().into(), net.netmask().into()),
        };
        let prefix = network.prefix_len();
        let bytes = u32::from(prefix / 8);
        let load = |len| Expression::Payload {
            to: register,
            base: NETWORK,
            offset,
            len,
        };
        let relation = if not { Relation::Ne } else { Relation::Eq };
        let compare = |value| Expression::Cmp {
            from: register,
            relation,
            value,
        };
        // Whole bytes are compared alone; all of them are masked for a prefix of length 0, too.
        if prefix.is_multiple_of(8) && prefix > 0 {
            let value = whole.as_bytes().get(..usize::from(prefix / 8));
            self.made.push(load(bytes));
            self.made
                .push(compare(Value::new(value.unwrap_or_default())));
        } else {
            let zero = Value::new(&[0; 16][..whole.len()]);
            self.made.push(load(size));
            self.made.push(Expression::Bitwise {
                from: register,
                to: register,
                len: size,
                mask,
                xor: zero,
            });
            self.made.push(compare(whole));
        }
    }

    fn compare(&mut self, term: &Term, mask: Option<&Value>, relation: Relation, value: &Value) {
        self.key(std::slice::from_ref(term), 0);
        let Some(register) = at(0) else { return };
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        if let Some(mask) = mask {
            self.made.push(Expression::Bitwise {
                from: register,
                to: register,
                len,
                mask: mask.clone(),
                xor: Value::new(&vec![0; mask.len()]),
            });
        }
        let mut value = value.clone();
        let ordered = !matches!(relation, Relation::Eq | Relation::Ne);
        if ordered && term.data_type(self.family).order() == Order::Host {
            // The kernel compares byte strings.
            self.made.push(Expression::Byteorder {
                from: register,
                to: register,
                operation: TO_NETWORK,
                len,
                size: len,
            });
            value = turned(&value);
        }
        if let (Term::Meta(MetaKey::L4Proto), None, Relation::Eq, [number]) =
            (term, mask, relation, value.as_bytes())
        {
            self.protocol = Some(*number);
        }
        self.made.push(Expression::Cmp {
            from: register,
            relation,
            value,
        });
    }

    /// Loads terms one behind the other, from this register on.
    fn key(&mut self, terms: &[Term], first: usize) {
        self.key_behind(terms, first, 0);
    }

    /// As [`Self::key`]; what a hash is made of is loaded behind it and behind so many words.
    fn key_behind(&mut self, terms: &[Term], first: usize, more: usize) {
        for transport in terms.iter().filter_map(Term::transport) {
            self.require(transport);
        }
        let mut word = first;
        let free = first + self.beside(terms) + more;
        for term in terms {
            self.term(term, word, free);
            word += self.words(term);
        }
    }

    /// Words that nft sets aside for terms.
    fn beside(&self, terms: &[Term]) -> usize {
        match terms {
            [_] => WIDE,
            _ => terms.iter().map(|term| self.words(term)).sum(),
        }
    }

    fn term(&mut self, term: &Term, word: usize, free: usize) {
        let Some(to) = at(word) else { return };
        let Term::Hash(hash) = term else {
            self.made.push(term.load(self.family, to));
            return;
        };
        let mut next = free;
        for part in &hash.of {
            if let Some(register) = at(next) {
                self.made.push(part.load(self.family, register));
            }
            next += self.words(part);
        }
        // What is hashed is as long as what was loaded, without what the last word lacks.
        let lacks = hash.of.last().map_or(0, |last| {
            let len = last.data_type(self.family).len();
            len.next_multiple_of(4) - len
        });
        let len = ((next - free) * 4).saturating_sub(if hash.of.len() > 1 { 0 } else { lacks });
        self.push(at(free).map(|from| Expression::Hash {
            from,
            to,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            modulus: hash.modulus,
            seed: hash.seed,
            offset: hash.offset,
        }));
    }

    fn words(&self, term: &Term) -> usize {
        words(term.data_type(self.family).len())
    }

    /// Goes on with this protocol only.
    fn require(&mut self, transport: Transport) {
        let number = transport.protocol();
        if let Some(number) = number
            && self.protocol != Some(number)
        {
            let protocol = Term::Meta(MetaKey::L4Proto);
            self.compare(&protocol, None, Relation::Eq, &number.into());
        }
    }

    fn operand(&mut self, operand: &Operand) {
        match operand {
            Operand::Value(value) => self.immediate(value.clone(), &mut 0).map_or((), drop),
            Operand::Term(term) => self.key(std::slice::from_ref(term), 0),
            Operand::Bits { term, mask, xor } => {
                self.key(std::slice::from_ref(term), 0);
                let len = u32::try_from(mask.len()).unwrap_or(u32::MAX);
                self.push(at(0).map(|register| Expression::Bitwise {
                    from: register,
                    to: register,
                    len,
                    mask: mask.clone(),
                    xor: xor.clone(),
                }));
            }
            Operand::Map { key, map } => self.map(key, map),
        }
    }

    fn map(&mut self, key: &[Term], map: &str) {
        self.key_behind(key, 0, WIDE);
        self.push(at(0).map(|from| Expression::Lookup {
            set: map.into(),
            from,
            to: Some(from),
            not: false,
        }));
    }

    /// Loads a value into the next wide register.
    fn immediate(&mut self, value: Value, next: &mut usize) -> Option<Register> {
        let to = at(*next)?;
        *next += WIDE;
        self.made.push(Expression::Immediate { to, value });
        Some(to)
    }

    fn ports(
        &mut self,
        ports: Option<Ports>,
        next: &mut usize,
    ) -> (Option<Register>, Option<Register>) {
        let Some((low, high)) = ports else {
            return (None, None);
        };
        let first = self.immediate(low.into(), next);
        let last = (low != high).then(|| self.immediate(high.into(), next));
        (first, last.flatten())
    }

    fn nat(&mut self, nat: &mut NatExpression, to: &NatTo) {
        match to {
            NatTo::Fixed { addresses, ports } => {
                let mut next = 0;
                if let Some((low, high)) = addresses {
                    let mut load = |address: IpAddr| self.immediate(address.into(), &mut next);
                    nat.address = load(*low);
                    nat.address_high = if low == high { None } else { load(*high) };
                }
                (nat.port, nat.port_high) = self.ports(*ports, &mut next);
            }
            NatTo::Map {
                key,
                map,
                with_port,
            } => {
                self.map(key, map);
                nat.address = at(0);
                let port = self.words(&Term::DestinationAddress);
                nat.port = with_port.then(|| at(port)).flatten();
            }
        }
    }

    fn dynset(&mut self, statement: &Statement) {
        let Statement::Dynset {
            operation,
            set,
            key,
            data,
            timeout,
            counter,
        } = statement
        else {
            return;
        };
        if let Some(transport) = data.as_ref().and_then(Term::transport) {
            // Before the key is loaded, as it takes a register itself.
            self.require(transport);
        }
        // nft has one wide register for any key, and stops at longer ones.
        let own = self.beside(key);
        let used = own.max(WIDE);
        self.key_behind(key, 0, used - own);
        let value = data.as_ref().and_then(|term| {
            self.key(std::slice::from_ref(term), used);
            at(used)
        });
        self.push(at(0).map(|key| {
            Expression::Dynset(DynsetExpression {
                operation: *operation,
                set: set.clone(),
                key,
                data: value,
                timeout: *timeout,
                expressions: counter
                    .then(|| Expression::Counter(Counters::default()))
                    .into_iter()
                    .collect(),
            })
        }));
    }
}

/// The bytes in the other order.
pub(super) fn turned(value: &Value) -> Value {
    let mut bytes = value.as_bytes().to_vec();
    if cfg!(target_endian = "little") {
        bytes.reverse();
    }
    Value::new(&bytes)
}
