//! A rule as nft prints it.

use std::fmt::{self, Display, Formatter, Write as _};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{NatTo, Operand, Ports, Reject, Rule, Statement};
use crate::Family;
use crate::nftables::native::expression::{
    DynsetOperation, Expression, NatFlags, NatKind, Relation,
};
use crate::nftables::native::print::{Address, Quoted, Terms, Time};
use crate::nftables::native::{DataType, MetaKey, Term, Value, names};

/// A rule of a table of this family.
pub(in super::super) struct Words<'r> {
    pub(in super::super) family: Family,
    pub(in super::super) rule: &'r Rule,
}

impl Rule {
    /// The rule as nft 1.0.6 prints it in a table of this family.
    ///
    /// What has no statement is printed as its name with its attributes in brackets, which no nft
    /// reads, and neither does this crate.
    pub fn text(&self, family: Family) -> impl Display + '_ {
        Words { family, rule: self }
    }
}

impl Display for Words<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, statement) in self.rule.statements.iter().enumerate() {
            if index > 0 {
                f.write_char(' ')?;
            }
            self.statement(f, statement)?;
        }
        match &self.rule.comment {
            Some(comment) if self.rule.statements.is_empty() => {
                write!(f, "comment {}", Quoted(comment))
            }
            Some(comment) => write!(f, " comment {}", Quoted(comment)),
            None => Ok(()),
        }
    }
}

impl Words<'_> {
    fn term<'t>(&self, term: &'t Term) -> Terms<'t> {
        Terms::new(self.family, std::slice::from_ref(term))
    }

    fn key<'t>(&self, key: &'t [Term]) -> Terms<'t> {
        Terms::new(self.family, key)
    }

    fn statement(&self, f: &mut Formatter<'_>, statement: &Statement) -> fmt::Result {
        match statement {
            Statement::Address {
                destination,
                not,
                network,
            } => self.network(f, *destination, *not, *network),
            Statement::Compare {
                term,
                mask,
                relation,
                value,
            } => self.compare(f, term, mask.as_ref(), *relation, value),
            Statement::InSet { key, set, not } => {
                let not = if *not { "!= " } else { "" };
                write!(f, "{} {not}@{set}", self.key(key))
            }
            Statement::SetMeta { key, to } => {
                let term = Term::Meta(*key);
                write!(f, "meta {} set ", key.name())?;
                self.operand(f, term.data_type(self.family), to)
            }
            Statement::SetCt { key, to } => {
                let term = Term::Ct(*key);
                write!(f, "ct {} set ", key.name())?;
                self.operand(f, term.data_type(self.family), to)
            }
            Statement::Nat { kind, to, flags } => {
                f.write_str(match kind {
                    NatKind::Source => "snat",
                    NatKind::Destination => "dnat",
                })?;
                self.nat(f, to)?;
                nat_flags(f, *flags)
            }
            Statement::Masquerade { ports, flags } => {
                f.write_str("masquerade")?;
                to_ports(f, *ports)?;
                nat_flags(f, *flags)
            }
            Statement::Redirect { ports, flags } => {
                f.write_str("redirect")?;
                to_ports(f, *ports)?;
                nat_flags(f, *flags)
            }
            Statement::Dynset { .. } => self.dynset(f, statement),
            Statement::Verdict(verdict) => write!(f, "{verdict}"),
            Statement::Reject(reject) => self.reject(f, *reject),
            Statement::Counter(counters) => write!(f, "{counters}"),
            Statement::Limit(limit) => write!(f, "{limit}"),
            Statement::Log(log) => write!(f, "{log}"),
            Statement::Object { kind, name } => {
                let kind = match kind {
                    1 => "counter",
                    2 => "quota",
                    4 => "limit",
                    _ => "object",
                };
                write!(f, "{kind} name {}", Quoted(name))
            }
            Statement::Other(expression) => write!(f, "{expression}"),
        }
    }

    fn network(
        &self,
        f: &mut Formatter<'_>,
        destination: bool,
        not: bool,
        network: IpNet,
    ) -> fmt::Result {
        let side = if destination { "daddr" } else { "saddr" };
        let not = if not { "!= " } else { "" };
        let address = Address(network.network());
        write!(f, "{} {side} {not}{address}", self.family)?;
        if network.prefix_len() < network.max_prefix_len() {
            write!(f, "/{}", network.prefix_len())?;
        }
        Ok(())
    }

    fn compare(
        &self,
        f: &mut Formatter<'_>,
        term: &Term,
        mask: Option<&Value>,
        relation: Relation,
        value: &Value,
    ) -> fmt::Result {
        let kind = term.data_type(self.family);
        let flags = matches!(kind, DataType::CtState | DataType::CtStatus);
        let zero = value.as_bytes().iter().all(|byte| *byte == 0);
        write!(f, "{} ", self.term(term))?;
        if let Some(mask) = mask {
            let mask = kind.text(mask.as_bytes());
            match relation {
                Relation::Ne if flags && zero => return write!(f, "{mask}"),
                Relation::Eq if flags && zero => return write!(f, "! {mask}"),
                _ => write!(f, "& {mask} ")?,
            }
        }
        f.write_str(match relation {
            Relation::Eq if flags || mask.is_some() => "== ",
            Relation::Eq => "",
            Relation::Ne => "!= ",
            Relation::Lt => "< ",
            Relation::Le => "<= ",
            Relation::Gt => "> ",
            Relation::Ge => ">= ",
        })?;
        write!(f, "{}", kind.text(value.as_bytes()))
    }

    fn operand(&self, f: &mut Formatter<'_>, kind: DataType, operand: &Operand) -> fmt::Result {
        match operand {
            Operand::Value(value) => write!(f, "{}", kind.text(value.as_bytes())),
            Operand::Term(term) => write!(f, "{}", self.term(term)),
            Operand::Map { key, map } => write!(f, "{} map @{map}", self.key(key)),
            Operand::Bits { term, mask, xor } => {
                let kind = term.data_type(self.family);
                write!(f, "{}", self.term(term))?;
                match (mask.host_u32(), xor.host_u32()) {
                    (Some(mask), Some(xor)) if mask == !xor => {
                        write!(f, " | {}", kind.text(&xor.to_ne_bytes()))
                    }
                    (Some(u32::MAX), Some(_)) => {
                        write!(f, " ^ {}", kind.text(xor.as_bytes()))
                    }
                    (Some(_), Some(0)) => write!(f, " & {}", kind.text(mask.as_bytes())),
                    // What is set is not among what is kept: then nft prints it as set.
                    (Some(kept), Some(turned)) if kept & turned == 0 => {
                        let kept = (kept | turned).to_ne_bytes();
                        let turned = turned.to_ne_bytes();
                        write!(f, " & {} | {}", kind.text(&kept), kind.text(&turned))
                    }
                    _ => {
                        let (mask, xor) = (kind.text(mask.as_bytes()), kind.text(xor.as_bytes()));
                        write!(f, " & {mask} ^ {xor}")
                    }
                }
            }
        }
    }

    fn nat(&self, f: &mut Formatter<'_>, to: &NatTo) -> fmt::Result {
        match to {
            NatTo::Map {
                key,
                map,
                with_port,
            } => {
                if *with_port {
                    write!(f, " {}", self.family)?;
                }
                write!(f, " to {} map @{map}", self.key(key))
            }
            NatTo::Fixed { addresses, ports } => {
                if addresses.is_some() || ports.is_some() {
                    f.write_str(" to ")?;
                }
                if let Some((low, high)) = addresses {
                    let bracket = |address: &IpAddr| address.is_ipv6() && ports.is_some();
                    bracketed(f, *low, bracket(low))?;
                    if low != high {
                        f.write_char('-')?;
                        bracketed(f, *high, bracket(high))?;
                    }
                }
                ports.map_or(Ok(()), |ports| port_range(f, ports))
            }
        }
    }

    fn dynset(&self, f: &mut Formatter<'_>, statement: &Statement) -> fmt::Result {
        let Statement::Dynset {
            operation,
            set,
            key,
            data,
            timeout,
            counter,
        } = statement
        else {
            return Ok(());
        };
        let operation = match operation {
            DynsetOperation::Add => "add",
            DynsetOperation::Update => "update",
            DynsetOperation::Delete => "delete",
        };
        write!(f, "{operation} @{set} {{ {}", self.key(key))?;
        if let Some(timeout) = timeout {
            write!(f, " timeout {}", Time(*timeout))?;
        }
        if *counter {
            f.write_str(" counter")?;
        }
        if let Some(data) = data {
            write!(f, " : {}", self.term(data))?;
        }
        f.write_str(" }")
    }

    fn reject(&self, f: &mut Formatter<'_>, reject: Reject) -> fmt::Result {
        f.write_str("reject")?;
        if reject == Reject::port_unreachable(self.family) {
            return Ok(());
        }
        match reject {
            Reject::TcpReset => f.write_str(" with tcp reset"),
            Reject::Icmp(code) => {
                let (icmp, names) = match self.family {
                    Family::Ipv4 => ("icmp", &names::ICMP),
                    Family::Ipv6 => ("icmpv6", &names::ICMPV6),
                };
                match names.name(code.into()) {
                    Some(name) => write!(f, " with {icmp} {name}"),
                    None => write!(f, " with {icmp} {code}"),
                }
            }
        }
    }
}

fn bracketed(f: &mut Formatter<'_>, address: IpAddr, brackets: bool) -> fmt::Result {
    if brackets {
        write!(f, "[{}]", Address(address))
    } else {
        write!(f, "{}", Address(address))
    }
}

fn to_ports(f: &mut Formatter<'_>, ports: Option<Ports>) -> fmt::Result {
    ports.map_or(Ok(()), |ports| {
        f.write_str(" to ")?;
        port_range(f, ports)
    })
}

fn port_range(f: &mut Formatter<'_>, (low, high): Ports) -> fmt::Result {
    write!(f, ":{low}")?;
    if low == high {
        Ok(())
    } else {
        write!(f, "-{high}")
    }
}

fn nat_flags(f: &mut Formatter<'_>, flags: NatFlags) -> fmt::Result {
    let mut before = ' ';
    for (flag, name) in NAT_FLAGS {
        if flags.has(flag) {
            write!(f, "{before}{name}")?;
            before = ',';
        }
    }
    Ok(())
}

/// Names of how addresses and ports are chosen, in nft's order.
pub(in super::super) const NAT_FLAGS: [(NatFlags, &str); 3] = [
    (NatFlags::RANDOM, "random"),
    (NatFlags::FULLY_RANDOM, "fully-random"),
    (NatFlags::PERSISTENT, "persistent"),
];

/// The name and the attributes in hexadecimal, in brackets: no syntax of nft.
impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::new();
        self.put(&mut netlink_batch::AttrWriter::new(&mut bytes));
        write!(f, "[ {} 0x", self.name().escape_debug())?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(" ]")
    }
}

impl MetaKey {
    /// As it stands in a key or a condition.
    pub(in super::super) fn write(self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.is_bare() {
            f.write_str("meta ")?;
        }
        f.write_str(self.name())
    }
}
