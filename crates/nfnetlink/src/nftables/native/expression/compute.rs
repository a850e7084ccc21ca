//! What compares and changes registers, and what loads a value.

use netlink_batch::{AttrWriter, Attrs};

use super::codec::{put_register, put_value};
use super::{Expression, Found, Verdict};

/// `NFTA_CMP_*`; `NFTA_RANGE_*` begins alike.
const FROM: u16 = 1;
const OPERATION: u16 = 2;
const CMP_DATA: u16 = 3;
const RANGE_LOW: u16 = 3;
const RANGE_HIGH: u16 = 4;
/// `NFTA_BITWISE_*` and `NFTA_BYTEORDER_*`.
const TO: u16 = 2;
const BITWISE_LEN: u16 = 3;
const BITWISE_MASK: u16 = 4;
const BITWISE_XOR: u16 = 5;
const BITWISE_OPERATION: u16 = 6;
const BYTEORDER_OPERATION: u16 = 3;
const BYTEORDER_LEN: u16 = 4;
const BYTEORDER_SIZE: u16 = 5;
/// `NFTA_IMMEDIATE_*`.
pub(super) const IMMEDIATE_TO: u16 = 1;
pub(super) const IMMEDIATE_DATA: u16 = 2;

/// How values compare, as byte strings (`NFT_CMP_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Relation {
    /// Equal.
    Eq = 0,
    /// Not equal.
    Ne = 1,
    /// Less than.
    Lt = 2,
    /// Less than or equal.
    Le = 3,
    /// Greater than.
    Gt = 4,
    /// Greater than or equal.
    Ge = 5,
}

impl Relation {
    fn from_number(number: u32) -> Option<Self> {
        const ALL: [Relation; 6] = [
            Relation::Eq,
            Relation::Ne,
            Relation::Lt,
            Relation::Le,
            Relation::Gt,
            Relation::Ge,
        ];
        ALL.into_iter().find(|one| *one as u32 == number)
    }
}

pub(super) fn put(expression: &Expression, data: &mut AttrWriter<'_>) {
    match expression {
        Expression::Cmp {
            from,
            relation,
            value,
        } => {
            put_register(data, FROM, *from);
            data.u32_be(OPERATION, *relation as u32);
            put_value(data, CMP_DATA, value.as_bytes());
        }
        Expression::Range {
            from,
            not,
            low,
            high,
        } => {
            put_register(data, FROM, *from);
            data.u32_be(OPERATION, u32::from(*not));
            put_value(data, RANGE_LOW, low.as_bytes());
            put_value(data, RANGE_HIGH, high.as_bytes());
        }
        Expression::Bitwise {
            from,
            to,
            len,
            mask,
            xor,
        } => {
            put_register(data, FROM, *from);
            put_register(data, TO, *to);
            data.u32_be(BITWISE_LEN, *len);
            put_value(data, BITWISE_MASK, mask.as_bytes());
            put_value(data, BITWISE_XOR, xor.as_bytes());
        }
        Expression::Byteorder {
            from,
            to,
            operation,
            len,
            size,
        } => {
            put_register(data, FROM, *from);
            put_register(data, TO, *to);
            data.u32_be(BYTEORDER_OPERATION, *operation);
            data.u32_be(BYTEORDER_LEN, *len);
            data.u32_be(BYTEORDER_SIZE, *size);
        }
        Expression::Immediate { to, value } => {
            put_register(data, IMMEDIATE_TO, *to);
            put_value(data, IMMEDIATE_DATA, value.as_bytes());
        }
        _ => {}
    }
}

pub(super) fn cmp(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, CMP_DATA, None)?;
    Some(Expression::Cmp {
        from: found.register(FROM)?,
        relation: Relation::from_number(found.u32(OPERATION)?)?,
        value: found.value(CMP_DATA)?,
    })
}

pub(super) fn range(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, RANGE_HIGH, None)?;
    let operation = found.u32(OPERATION)?;
    Some(Expression::Range {
        from: found.register(FROM)?,
        not: (operation <= 1).then_some(operation == 1)?,
        low: found.value(RANGE_LOW)?,
        high: found.value(RANGE_HIGH)?,
    })
}

/// Masks only: shifts (`NFT_BITWISE_LSHIFT`, `_RSHIFT`) and operations on two registers are not
/// read.
pub(super) fn bitwise(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, BITWISE_OPERATION, None)?;
    if found.u32_or_0(BITWISE_OPERATION)? != 0 {
        return None;
    }
    Some(Expression::Bitwise {
        from: found.register(FROM)?,
        to: found.register(TO)?,
        len: found.u32(BITWISE_LEN)?,
        mask: found.value(BITWISE_MASK)?,
        xor: found.value(BITWISE_XOR)?,
    })
}

pub(super) fn byteorder(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, BYTEORDER_SIZE, None)?;
    Some(Expression::Byteorder {
        from: found.register(FROM)?,
        to: found.register(TO)?,
        operation: found.u32(BYTEORDER_OPERATION)?,
        len: found.u32(BYTEORDER_LEN)?,
        size: found.u32(BYTEORDER_SIZE)?,
    })
}

pub(super) fn immediate(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, IMMEDIATE_DATA, None)?;
    if found.u32(IMMEDIATE_TO)? == 0 {
        return Verdict::read(found.attr(IMMEDIATE_DATA)?).map(Expression::Verdict);
    }
    Some(Expression::Immediate {
        to: found.register(IMMEDIATE_TO)?,
        value: found.value(IMMEDIATE_DATA)?,
    })
}
