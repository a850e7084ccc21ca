//! What looks into sets and changes them.

use std::time::Duration;

use netlink_batch::{AttrWriter, Attrs};

use super::codec::put_register;
use super::{Expression, Found};
use crate::nftables::native::Register;

/// `NFTA_LOOKUP_*`; 4 is the set's number in a transaction.
const LOOKUP_SET: u16 = 1;
const LOOKUP_FROM: u16 = 2;
const LOOKUP_TO: u16 = 3;
const LOOKUP_FLAGS: u16 = 5;
/// `NFT_LOOKUP_F_INV`.
const INVERTED: u32 = 1;
/// `NFTA_DYNSET_*`; 2 is the set's number in a transaction.
const DYNSET_SET: u16 = 1;
const DYNSET_OPERATION: u16 = 3;
const DYNSET_KEY: u16 = 4;
const DYNSET_DATA: u16 = 5;
const DYNSET_TIMEOUT: u16 = 6;
const DYNSET_EXPRESSION: u16 = 7;
const DYNSET_PAD: u16 = 8;
const DYNSET_FLAGS: u16 = 9;
const DYNSET_EXPRESSIONS: u16 = 10;
/// `NFT_DYNSET_F_EXPR`: the list of expressions is taken as given.
const WITH_EXPRESSIONS: u32 = 2;

/// What becomes of the key in the set (`NFT_DYNSET_OP_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum DynsetOperation {
    /// It is added if it is not there.
    Add = 0,
    /// It is added, and its timeout begins anew. The value that it has in a map stays.
    Update = 1,
    /// It is removed.
    Delete = 2,
}

/// Changes a set in the packet's path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DynsetExpression {
    /// What becomes of the key.
    pub operation: DynsetOperation,
    /// The set.
    pub set: Box<str>,
    /// The first register of the key.
    pub key: Register,
    /// The first register of its value in a map.
    pub data: Option<Register>,
    /// How long it stays, in place of the set's timeout; whole milliseconds.
    pub timeout: Option<Duration>,
    /// What a new element carries, such as a counter.
    pub expressions: Vec<Expression>,
}

impl DynsetExpression {
    pub(super) fn put(&self, data: &mut AttrWriter<'_>) {
        put_register(data, DYNSET_KEY, self.key);
        if let Some(register) = self.data {
            put_register(data, DYNSET_DATA, register);
        }
        data.u32_be(DYNSET_OPERATION, self.operation as u32);
        if let Some(timeout) = self.timeout {
            data.u64_be(DYNSET_TIMEOUT, milliseconds(timeout));
        }
        data.str(DYNSET_SET, &self.set);
        match self.expressions.as_slice() {
            [] => {}
            [one] => data.nest(DYNSET_EXPRESSION, |nest| one.put(nest)),
            list => {
                data.nest(DYNSET_EXPRESSIONS, |nest| {
                    for one in list {
                        one.encode(nest);
                    }
                });
                data.u32_be(DYNSET_FLAGS, WITH_EXPRESSIONS);
            }
        }
    }

    pub(super) fn read(attrs: Attrs<'_>) -> Option<Self> {
        let found = Found::read(attrs, DYNSET_EXPRESSIONS, Some(DYNSET_PAD))?;
        if found.u32_or_0(DYNSET_FLAGS)? & !WITH_EXPRESSIONS != 0 {
            return None;
        }
        let operation = match found.u32(DYNSET_OPERATION)? {
            0 => DynsetOperation::Add,
            1 => DynsetOperation::Update,
            2 => DynsetOperation::Delete,
            _ => return None,
        };
        let expressions = match (
            found.attr(DYNSET_EXPRESSION),
            found.attr(DYNSET_EXPRESSIONS),
        ) {
            (None, None) => Vec::new(),
            (Some(one), None) => vec![Expression::read(one.nested()).ok()?],
            (None, Some(list)) => Expression::list(list.nested()).ok()?,
            (Some(_), Some(_)) => return None,
        };
        Some(Self {
            operation,
            set: found.text(DYNSET_SET)?,
            key: found.register(DYNSET_KEY)?,
            data: found.optional(DYNSET_DATA, Found::register).ok()?,
            timeout: found
                .optional(DYNSET_TIMEOUT, Found::u64)
                .ok()?
                .map(Duration::from_millis)
                .filter(|timeout| !timeout.is_zero()),
            expressions,
        })
    }
}

/// Milliseconds as the kernel takes them.
pub(in crate::nftables::native) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn put_lookup(expression: &Expression, data: &mut AttrWriter<'_>) {
    match expression {
        Expression::Lookup { set, from, to, not } => {
            put_register(data, LOOKUP_FROM, *from);
            if let Some(to) = to {
                put_register(data, LOOKUP_TO, *to);
            }
            data.str(LOOKUP_SET, set);
            if *not {
                data.u32_be(LOOKUP_FLAGS, INVERTED);
            }
        }
        Expression::LookupVerdict { map, from } => {
            put_register(data, LOOKUP_FROM, *from);
            data.u32_be(LOOKUP_TO, 0);
            data.str(LOOKUP_SET, map);
        }
        _ => {}
    }
}

/// The number that a set has in the transaction that makes it is not kept: sets have names here.
pub(super) fn lookup(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, LOOKUP_FLAGS, None)?;
    let flags = found.u32_or_0(LOOKUP_FLAGS)?;
    if flags & !INVERTED != 0 {
        return None;
    }
    let (set, from) = (found.text(LOOKUP_SET)?, found.register(LOOKUP_FROM)?);
    if found.u32(LOOKUP_TO) == Some(0) {
        return (flags == 0).then_some(Expression::LookupVerdict { map: set, from });
    }
    Some(Expression::Lookup {
        set,
        from,
        to: found.optional(LOOKUP_TO, Found::register).ok()?,
        not: flags & INVERTED != 0,
    })
}
