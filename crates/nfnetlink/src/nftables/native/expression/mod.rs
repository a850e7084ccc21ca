//! Expressions: the instructions that a rule is made of in the kernel.

mod act;
pub(super) mod codec;
mod compute;
mod load;
mod nat;
mod sets;

use netlink_batch::attr::NESTED;
use netlink_batch::{AttrError, AttrWriter, Attrs};

pub use self::act::{Counters, Limit, Log, Verdict};
use self::codec::Found;
pub use self::compute::Relation;
pub use self::nat::{NatExpression, NatFlags, NatKind, PortExpression};
pub(super) use self::sets::milliseconds;
pub use self::sets::{DynsetExpression, DynsetOperation};
use super::{Register, Value};

/// `NFTA_LIST_ELEM`, `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
const LIST_ELEM: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;

/// One instruction of a rule, with the registers that it reads and writes.
///
/// [`Statement`](super::Statement) is the same without registers; rules are better made of those.
/// Numbers that the kernel may add to (keys, bases, flags) are kept as they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Expression {
    /// Loads bytes of the packet.
    Payload {
        /// Where they go.
        to: Register,
        /// `NFT_PAYLOAD_*`: 0 link layer, 1 network, 2 transport header.
        base: u32,
        /// First byte, counted from the header on.
        offset: u32,
        /// Number of bytes.
        len: u32,
    },
    /// Loads something about the packet.
    Meta {
        /// Where it goes.
        to: Register,
        /// `NFT_META_*`.
        key: u32,
    },
    /// Sets something about the packet.
    SetMeta {
        /// What it is set to.
        from: Register,
        /// `NFT_META_*`.
        key: u32,
    },
    /// Loads something about the packet's connection.
    Ct {
        /// Where it goes.
        to: Register,
        /// `NFT_CT_*`.
        key: u32,
        /// `IP_CT_DIR_*`, for keys that differ by direction.
        direction: Option<u8>,
    },
    /// Sets something about the packet's connection.
    SetCt {
        /// What it is set to.
        from: Register,
        /// `NFT_CT_*`.
        key: u32,
    },
    /// Loads what the routing table says of an address.
    Fib {
        /// Where it goes.
        to: Register,
        /// `NFT_FIB_RESULT_*`: 1 interface index, 2 its name, 3 the address's type.
        result: u32,
        /// `NFTA_FIB_F_*`: 1 source, 2 destination, 4 mark, 8 input, 16 output interface, 32 present.
        flags: u32,
    },
    /// Draws or counts a number.
    Numgen {
        /// Where it goes, in host byte order.
        to: Register,
        /// `NFT_NG_*`: 0 counts, 1 draws.
        kind: u32,
        /// Numbers are below this.
        modulus: u32,
        /// Added to the number.
        offset: u32,
    },
    /// Hashes bytes of registers (Jenkins).
    Hash {
        /// The first register that is hashed.
        from: Register,
        /// Where the hash goes, in host byte order.
        to: Register,
        /// Bytes that are hashed.
        len: u32,
        /// Hashes are below this.
        modulus: u32,
        /// What the hash begins with; the kernel draws one where there is none.
        seed: Option<u32>,
        /// Added to the hash.
        offset: u32,
    },
    /// Goes on only if a register compares.
    Cmp {
        /// What is compared.
        from: Register,
        /// How.
        relation: Relation,
        /// With what.
        value: Value,
    },
    /// Goes on only if a register is inside or outside of a range.
    Range {
        /// What is compared.
        from: Register,
        /// True to go on outside of the range.
        not: bool,
        /// The lowest value in it.
        low: Value,
        /// The highest value in it.
        high: Value,
    },
    /// `to = (from & mask) ^ xor`.
    Bitwise {
        /// What is taken.
        from: Register,
        /// Where the result goes.
        to: Register,
        /// Bytes of it, which `mask` and `xor` have as well.
        len: u32,
        /// Bits that are kept.
        mask: Value,
        /// Bits that are turned then.
        xor: Value,
    },
    /// Changes the byte order.
    Byteorder {
        /// What is taken.
        from: Register,
        /// Where the result goes.
        to: Register,
        /// `NFT_BYTEORDER_*`: 0 from network to host order, 1 from host to network order.
        operation: u32,
        /// Bytes that are changed.
        len: u32,
        /// Bytes of a number.
        size: u32,
    },
    /// Goes on only if a set has, or has not, a key, and loads its value from a map.
    Lookup {
        /// The set.
        set: Box<str>,
        /// The first register of the key.
        from: Register,
        /// Where the value goes.
        to: Option<Register>,
        /// True to go on if the key is not there.
        not: bool,
    },
    /// Lets a map decide (`vmap`).
    LookupVerdict {
        /// The map.
        map: Box<str>,
        /// The first register of the key.
        from: Register,
    },
    /// Changes a set.
    Dynset(DynsetExpression),
    /// Translates addresses.
    Nat(NatExpression),
    /// Translates the source address to that of the outgoing interface.
    Masquerade(PortExpression),
    /// Translates the destination address to that of the incoming interface.
    Redirect(PortExpression),
    /// Loads a value.
    Immediate {
        /// Where it goes.
        to: Register,
        /// The value.
        value: Value,
    },
    /// Decides.
    Verdict(Verdict),
    /// Goes on so often only.
    Limit(Limit),
    /// Writes a line to the log.
    Log(Log),
    /// Drops the packet and tells its sender.
    Reject {
        /// `NFT_REJECT_*`: 0 ICMP of the family, 1 TCP reset, 2 ICMP of any family.
        kind: u32,
        /// The ICMP code; 0 with a reset.
        code: u8,
    },
    /// Counts.
    Counter(Counters),
    /// Uses a named object.
    Object {
        /// `NFT_OBJECT_*`: 1 counter, 2 quota, 4 limit.
        kind: u32,
        /// Its name.
        name: Box<str>,
    },
    /// One that this crate has no type for, or that has something which the type has not.
    Other {
        /// Its name.
        name: Box<str>,
        /// Its attributes (`NFTA_EXPR_DATA`).
        data: Box<[u8]>,
    },
}

impl Expression {
    /// Appends an element of a list of expressions.
    pub(super) fn encode(&self, list: &mut AttrWriter<'_>) {
        list.nest(LIST_ELEM, |one| self.put(one));
    }

    /// Appends name and data.
    pub(super) fn put(&self, one: &mut AttrWriter<'_>) {
        if let Self::Other { name, data } = self {
            one.str(NAME, name);
            one.bytes(DATA | NESTED, data);
            return;
        }
        one.str(NAME, self.name());
        one.nest(DATA, |data| match self {
            Self::Dynset(dynset) => dynset.put(data),
            Self::Nat(nat) => nat.put(data),
            Self::Masquerade(ports) => ports.put_masquerade(data),
            Self::Redirect(ports) => ports.put_redirect(data),
            Self::Verdict(verdict) => verdict.put_immediate(data),
            Self::Limit(limit) => limit.put(data),
            Self::Log(log) => log.put(data),
            Self::Counter(counters) => counters.put(data),
            Self::Lookup { .. } | Self::LookupVerdict { .. } => sets::put_lookup(self, data),
            Self::Reject { .. } | Self::Object { .. } => act::put(self, data),
            Self::Cmp { .. }
            | Self::Range { .. }
            | Self::Bitwise { .. }
            | Self::Byteorder { .. }
            | Self::Immediate { .. } => compute::put(self, data),
            _ => load::put(self, data),
        });
    }

    /// The kernel's name for it.
    pub fn name(&self) -> &str {
        match self {
            Self::Payload { .. } => "payload",
            Self::Meta { .. } | Self::SetMeta { .. } => "meta",
            Self::Ct { .. } | Self::SetCt { .. } => "ct",
            Self::Fib { .. } => "fib",
            Self::Numgen { .. } => "numgen",
            Self::Hash { .. } => "hash",
            Self::Cmp { .. } => "cmp",
            Self::Range { .. } => "range",
            Self::Bitwise { .. } => "bitwise",
            Self::Byteorder { .. } => "byteorder",
            Self::Lookup { .. } | Self::LookupVerdict { .. } => "lookup",
            Self::Dynset(_) => "dynset",
            Self::Nat(_) => "nat",
            Self::Masquerade(_) => "masq",
            Self::Redirect(_) => "redir",
            Self::Immediate { .. } | Self::Verdict(_) => "immediate",
            Self::Limit(_) => "limit",
            Self::Log(_) => "log",
            Self::Reject { .. } => "reject",
            Self::Counter(_) => "counter",
            Self::Object { .. } => "objref",
            Self::Other { name, .. } => name,
        }
    }

    /// Reads an element of a list. What has no type here is [`Expression::Other`]; an error says
    /// that the attributes around it are broken, or that it has no name.
    pub(super) fn read(element: Attrs<'_>) -> Result<Self, AttrError> {
        let (mut name, mut data) = ("", &[][..]);
        for attr in element {
            let attr = attr?;
            match attr.kind {
                NAME => name = attr.str()?,
                DATA => data = attr.payload,
                _ => {}
            }
        }
        let attrs = || Attrs::new(data);
        let known = match name {
            "payload" => load::payload(attrs()),
            "meta" => load::meta(attrs()),
            "ct" => load::ct(attrs()),
            "fib" => load::fib(attrs()),
            "numgen" => load::numgen(attrs()),
            "hash" => load::hash(attrs()),
            "cmp" => compute::cmp(attrs()),
            "range" => compute::range(attrs()),
            "bitwise" => compute::bitwise(attrs()),
            "byteorder" => compute::byteorder(attrs()),
            "immediate" => compute::immediate(attrs()),
            "lookup" => sets::lookup(attrs()),
            "dynset" => DynsetExpression::read(attrs()).map(Self::Dynset),
            "nat" => NatExpression::read(attrs()).map(Self::Nat),
            "masq" => PortExpression::masquerade(attrs()).map(Self::Masquerade),
            "redir" => PortExpression::redirect(attrs()).map(Self::Redirect),
            "limit" => Limit::read(attrs()).map(Self::Limit),
            "log" => Log::read(attrs()).map(Self::Log),
            "reject" => act::reject(attrs()),
            "counter" => Counters::read(attrs()).map(Self::Counter),
            "objref" => act::object(attrs()),
            _ => None,
        };
        Ok(known.unwrap_or_else(|| Self::Other {
            name: name.into(),
            data: data.into(),
        }))
    }

    /// Reads a list of expressions (`NFTA_RULE_EXPRESSIONS`).
    pub fn list(list: Attrs<'_>) -> Result<Vec<Self>, AttrError> {
        list.map(|element| Self::read(element?.nested())).collect()
    }
}
