//! Rules as statements, without registers.

mod acts;
mod lower;
mod raise;
mod words;

pub(super) use self::acts::{BURST, LEVELS, LOG_ALL, UNITS};
pub(super) use self::words::NAT_FLAGS;

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use netlink_batch::{AttrError, AttrWriter};

use super::expression::{
    Counters, DynsetOperation, Expression, Limit, Log, NatFlags, NatKind, Relation, Verdict,
};
use super::userdata;
use super::{CtKey, MetaKey, Term, Value};
use crate::Family;
use crate::nftables::RawRule;
use crate::nftables::uapi::rule as attr;

/// A rule of a table of one of the families.
///
/// Rules compare in the form in which they are read ([`Rule::normalized`]). Registers, lengths and offsets follow from the statements, in the way that nft chooses them.
/// Rules that mean the same but use other registers are different: what [`Rule::read`] can't write
/// again exactly as it was it keeps as [`Statement::Other`].
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// What it does, in order.
    pub statements: Vec<Statement>,
    /// What nft prints behind `comment`; at most 128 bytes.
    pub comment: Option<Box<str>>,
}

/// One thing that a rule does. A packet that a condition does not hold for leaves the rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Statement {
    /// Goes on with packets from or to a network: `ip saddr 10.0.0.0/8`.
    Address {
        /// True for the destination, false for the source.
        destination: bool,
        /// True to go on with all others.
        not: bool,
        /// The network; of the table's family.
        network: IpNet,
    },
    /// Goes on if a term compares: `meta mark & 0x4000 != 0`, `ct state new`.
    Compare {
        /// What is compared; not an address.
        term: Term,
        /// Bits of it that count, of the same length as the value; all without.
        mask: Option<Value>,
        /// How it compares.
        relation: Relation,
        /// With what, of the term's length and byte order.
        value: Value,
    },
    /// Goes on if a set has, or has not, the key: `ip daddr . tcp dport @set`.
    InSet {
        /// The key.
        key: Vec<Term>,
        /// The set.
        set: Box<str>,
        /// True to go on if the key is not there.
        not: bool,
    },
    /// Sets something about the packet: `meta mark set VALUE`.
    SetMeta {
        /// What is set.
        key: MetaKey,
        /// To what.
        to: Operand,
    },
    /// Sets something about the connection: `ct mark set VALUE`.
    SetCt {
        /// What is set.
        key: CtKey,
        /// To what.
        to: Operand,
    },
    /// Translates an address: `dnat to`, `snat to`.
    Nat {
        /// Which address.
        kind: NatKind,
        /// To what.
        to: NatTo,
        /// How it is chosen.
        flags: NatFlags,
    },
    /// Translates the source address to that of the outgoing interface.
    Masquerade {
        /// The lowest and the highest source port; any without. `meta l4proto` has to be known.
        ports: Option<Ports>,
        /// How they are chosen.
        flags: NatFlags,
    },
    /// Translates the destination address to that of the incoming interface.
    Redirect {
        /// The ports; unchanged without. `meta l4proto` has to be known.
        ports: Option<Ports>,
        /// How they are chosen.
        flags: NatFlags,
    },
    /// Changes a set: `update @set { KEY timeout 3h : VALUE }`.
    Dynset {
        /// How.
        operation: DynsetOperation,
        /// The set, with the flag `dynamic`.
        set: Box<str>,
        /// The key.
        key: Vec<Term>,
        /// Its value in a map.
        data: Option<Term>,
        /// How long it stays, in place of the set's timeout; whole milliseconds, not 0.
        timeout: Option<Duration>,
        /// True to have a new element count.
        counter: bool,
    },
    /// Decides.
    Verdict(Verdict),
    /// Drops the packet and tells its sender.
    Reject(Reject),
    /// Counts.
    Counter(Counters),
    /// Goes on so often only.
    Limit(Limit),
    /// Writes a line to the log.
    Log(Log),
    /// Uses a named object.
    Object {
        /// `NFT_OBJECT_*`: 1 counter, 2 quota, 4 limit.
        kind: u32,
        /// Its name.
        name: Box<str>,
    },
    /// An expression that no statement here says.
    Other(Expression),
}

/// What something is set to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operand {
    /// This value, in its own byte order.
    Value(Value),
    /// What a term is.
    Term(Term),
    /// Bits of a term: `(term & mask) ^ xor`.
    Bits {
        /// Whose.
        term: Term,
        /// Bits that are kept.
        mask: Value,
        /// Bits that are turned then.
        xor: Value,
    },
    /// What a map has for a key; the packet leaves the rule where it has nothing.
    Map {
        /// The key.
        key: Vec<Term>,
        /// The map.
        map: Box<str>,
    },
}

impl Operand {
    /// The term with these bits set, as `meta mark | 0x4000`.
    pub fn with_bits(term: Term, bits: u32) -> Self {
        Self::Bits {
            term,
            mask: (!bits).into(),
            xor: bits.into(),
        }
    }

    /// The term with these bits turned, as `meta mark ^ 0x4000`.
    pub fn turning_bits(term: Term, bits: u32) -> Self {
        Self::Bits {
            term,
            mask: u32::MAX.into(),
            xor: bits.into(),
        }
    }
}

/// What an address is translated to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NatTo {
    /// One address or a range, one port or a range.
    Fixed {
        /// The lowest and the highest address, of the table's family. Unchanged without.
        addresses: Option<(IpAddr, IpAddr)>,
        /// The ports; unchanged without. `meta l4proto` has to be known.
        ports: Option<Ports>,
    },
    /// What a map has for a key; the packet leaves the rule where it has nothing.
    Map {
        /// The key.
        key: Vec<Term>,
        /// The map.
        map: Box<str>,
        /// True where its values are addresses with ports, false for addresses alone.
        with_port: bool,
    },
}

/// A range of ports, the lowest and the highest.
pub type Ports = (u16, u16);

/// What the sender of a dropped packet hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reject {
    /// An ICMP message (`ICMPv6` in a table of IPv6) of the type "unreachable", with this code.
    Icmp(u8),
    /// A TCP reset; the rule goes on with TCP only.
    TcpReset,
}

impl Reject {
    /// `reject` alone: the port is unreachable.
    pub const fn port_unreachable(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::Icmp(3),
            Family::Ipv6 => Self::Icmp(4),
        }
    }
}

impl Rule {
    /// A rule of these statements.
    pub fn new(statements: impl Into<Vec<Statement>>) -> Self {
        Self {
            statements: statements.into(),
            comment: None,
        }
    }

    /// The same rule with everything that it counted left out, so that rules compare.
    #[must_use]
    pub fn without_counts(mut self) -> Self {
        for statement in &mut self.statements {
            if let Statement::Counter(counters) = statement {
                *counters = Counters::default();
            }
        }
        self
    }

    /// The rule as it is read back from a table of this family: ports after a comparison with their
    /// protocol belong to it (`meta l4proto tcp th dport 80` is `tcp dport 80`).
    #[must_use]
    pub fn normalized(self, family: Family) -> Self {
        let is_other = |one: &Statement| matches!(one, Statement::Other(_));
        let statements = raise::statements(family, self.expressions(family));
        if statements.iter().any(is_other) {
            return self;
        }
        Self { statements, ..self }
    }

    /// Its expressions in a table of this family, with the registers that nft chooses.
    pub fn expressions(&self, family: Family) -> Vec<Expression> {
        lower::expressions(family, &self.statements)
    }

    /// The rule that these expressions make.
    ///
    /// What this crate can't say as statements, or not with the same expressions again, is
    /// [`Statement::Other`].
    pub fn of_expressions(family: Family, expressions: Vec<Expression>) -> Self {
        Self::new(raise::statements(family, expressions))
    }

    /// Appends its attributes, as [`crate::nftables::Transaction::new_rule`] takes them.
    ///
    /// Terms of a key that no register has room for are left out; the kernel takes keys up to 64
    /// bytes.
    pub fn encode(&self, family: Family, attrs: &mut AttrWriter<'_>) {
        attrs.nest(attr::EXPRESSIONS, |list| {
            for expression in self.expressions(family) {
                expression.encode(list);
            }
        });
        if let Some(comment) = &self.comment {
            attrs.bytes(
                attr::USERDATA,
                &userdata::comment(userdata::RULE_COMMENT, comment),
            );
        }
    }

    /// Reads a rule of a table of this family.
    pub fn read(family: Family, raw: &RawRule<'_>) -> Result<Self, AttrError> {
        let mut rule = Self::of_expressions(family, Expression::list(raw.expressions.clone())?);
        rule.comment = raw
            .userdata
            .and_then(|data| userdata::find_comment(data, userdata::RULE_COMMENT));
        Ok(rule)
    }
}
