//! What loads a register from the packet, its connection, the routing table or chance, and what
//! sets a packet's and a connection's fields.

use netlink_batch::{AttrWriter, Attrs};

use super::codec::put_register;
use super::{Expression, Found};

/// `NFTA_PAYLOAD_*`; those of a write begin at 5.
const PAYLOAD_TO: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LEN: u16 = 4;
/// `NFTA_META_*`.
const META_TO: u16 = 1;
const META_KEY: u16 = 2;
const META_FROM: u16 = 3;
/// `NFTA_CT_*`.
const CT_TO: u16 = 1;
const CT_KEY: u16 = 2;
const CT_DIRECTION: u16 = 3;
const CT_FROM: u16 = 4;
/// `NFTA_FIB_*`.
const FIB_TO: u16 = 1;
const FIB_RESULT: u16 = 2;
const FIB_FLAGS: u16 = 3;
/// `NFTA_NG_*`.
const NUMGEN_TO: u16 = 1;
const NUMGEN_MODULUS: u16 = 2;
const NUMGEN_KIND: u16 = 3;
const NUMGEN_OFFSET: u16 = 4;
/// `NFTA_HASH_*`.
const HASH_FROM: u16 = 1;
const HASH_TO: u16 = 2;
const HASH_LEN: u16 = 3;
const HASH_MODULUS: u16 = 4;
const HASH_SEED: u16 = 5;
const HASH_OFFSET: u16 = 6;
const HASH_KIND: u16 = 7;
/// `NFT_HASH_JENKINS`.
const JENKINS: u32 = 0;

pub(super) fn put(expression: &Expression, data: &mut AttrWriter<'_>) {
    match expression {
        Expression::Payload {
            to,
            base,
            offset,
            len,
        } => {
            put_register(data, PAYLOAD_TO, *to);
            data.u32_be(PAYLOAD_BASE, *base);
            data.u32_be(PAYLOAD_OFFSET, *offset);
            data.u32_be(PAYLOAD_LEN, *len);
        }
        Expression::Meta { to, key } => {
            data.u32_be(META_KEY, *key);
            put_register(data, META_TO, *to);
        }
        Expression::SetMeta { from, key } => {
            data.u32_be(META_KEY, *key);
            put_register(data, META_FROM, *from);
        }
        Expression::Ct { to, key, direction } => {
            data.u32_be(CT_KEY, *key);
            put_register(data, CT_TO, *to);
            if let Some(direction) = direction {
                data.u8(CT_DIRECTION, *direction);
            }
        }
        Expression::SetCt { from, key } => {
            data.u32_be(CT_KEY, *key);
            put_register(data, CT_FROM, *from);
        }
        Expression::Fib { to, result, flags } => {
            data.u32_be(FIB_FLAGS, *flags);
            data.u32_be(FIB_RESULT, *result);
            put_register(data, FIB_TO, *to);
        }
        Expression::Numgen {
            to,
            kind,
            modulus,
            offset,
        } => {
            put_register(data, NUMGEN_TO, *to);
            data.u32_be(NUMGEN_MODULUS, *modulus);
            data.u32_be(NUMGEN_KIND, *kind);
            data.u32_be(NUMGEN_OFFSET, *offset);
        }
        Expression::Hash {
            from,
            to,
            len,
            modulus,
            seed,
            offset,
        } => {
            put_register(data, HASH_FROM, *from);
            put_register(data, HASH_TO, *to);
            data.u32_be(HASH_LEN, *len);
            data.u32_be(HASH_MODULUS, *modulus);
            if let Some(seed) = seed {
                data.u32_be(HASH_SEED, *seed);
            }
            data.u32_be(HASH_OFFSET, *offset);
            data.u32_be(HASH_KIND, JENKINS);
        }
        _ => {}
    }
}

pub(super) fn payload(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, PAYLOAD_LEN, None)?;
    Some(Expression::Payload {
        to: found.register(PAYLOAD_TO)?,
        base: found.u32(PAYLOAD_BASE)?,
        offset: found.u32(PAYLOAD_OFFSET)?,
        len: found.u32(PAYLOAD_LEN)?,
    })
}

pub(super) fn meta(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, META_FROM, None)?;
    let key = found.u32(META_KEY)?;
    match (found.attr(META_TO), found.attr(META_FROM)) {
        (Some(_), None) => Some(Expression::Meta {
            to: found.register(META_TO)?,
            key,
        }),
        (None, Some(_)) => Some(Expression::SetMeta {
            from: found.register(META_FROM)?,
            key,
        }),
        _ => None,
    }
}

pub(super) fn ct(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, CT_FROM, None)?;
    let key = found.u32(CT_KEY)?;
    match (found.attr(CT_TO), found.attr(CT_FROM)) {
        (Some(_), None) => Some(Expression::Ct {
            to: found.register(CT_TO)?,
            key,
            direction: found.optional(CT_DIRECTION, Found::u8).ok()?,
        }),
        (None, Some(_)) if found.attr(CT_DIRECTION).is_none() => Some(Expression::SetCt {
            from: found.register(CT_FROM)?,
            key,
        }),
        _ => None,
    }
}

pub(super) fn fib(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, FIB_FLAGS, None)?;
    Some(Expression::Fib {
        to: found.register(FIB_TO)?,
        result: found.u32(FIB_RESULT)?,
        flags: found.u32(FIB_FLAGS)?,
    })
}

pub(super) fn numgen(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, NUMGEN_OFFSET, None)?;
    Some(Expression::Numgen {
        to: found.register(NUMGEN_TO)?,
        kind: found.u32(NUMGEN_KIND)?,
        modulus: found.u32(NUMGEN_MODULUS)?,
        offset: found.u32_or_0(NUMGEN_OFFSET)?,
    })
}

pub(super) fn hash(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, HASH_KIND, None)?;
    if found.u32_or_0(HASH_KIND)? != JENKINS {
        return None;
    }
    Some(Expression::Hash {
        from: found.register(HASH_FROM)?,
        to: found.register(HASH_TO)?,
        len: found.u32(HASH_LEN)?,
        modulus: found.u32(HASH_MODULUS)?,
        seed: found.optional(HASH_SEED, Found::u32).ok()?,
        offset: found.u32_or_0(HASH_OFFSET)?,
    })
}
