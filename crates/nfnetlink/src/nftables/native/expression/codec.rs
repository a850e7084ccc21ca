//! Attributes of one expression, and what most of them hold.

use netlink_batch::{Attr, AttrWriter, Attrs};

use super::super::{Register, Value};

/// `NFTA_DATA_VALUE` and `NFTA_DATA_VERDICT`.
pub(in super::super) const DATA_VALUE: u16 = 1;
pub(in super::super) const DATA_VERDICT: u16 = 2;

/// An attribute that is not as its writer would have it.
#[derive(Debug)]
pub(super) struct Unlike;

/// Attributes of one kind of expression by type.
///
/// All reading functions return `None` for what is not as its writer would have it, and whoever
/// reads an expression then keeps it as it came. So nothing of a foreign expression is lost, and
/// none of them is taken for another one.
pub(super) struct Found<'a> {
    attrs: [Option<Attr<'a>>; 16],
}

impl<'a> Found<'a> {
    /// Reads attributes of the types 1 to `highest`; `None` where there is another one, or one twice.
    /// Type `pad` holds nothing (`NFTA_*_PAD`).
    pub(super) fn read(attrs: Attrs<'a>, highest: u16, pad: Option<u16>) -> Option<Self> {
        let mut found = [None; 16];
        for attr in attrs {
            let attr = attr.ok()?;
            if Some(attr.kind) == pad {
                continue;
            }
            if attr.kind == 0 || attr.kind > highest {
                return None;
            }
            let slot = found.get_mut(usize::from(attr.kind) - 1)?;
            if slot.replace(attr).is_some() {
                return None;
            }
        }
        Some(Self { attrs: found })
    }

    /// The attribute of this type.
    pub(super) fn attr(&self, kind: u16) -> Option<Attr<'a>> {
        self.attrs.get(usize::from(kind).checked_sub(1)?).copied()?
    }

    pub(super) fn u8(&self, kind: u16) -> Option<u8> {
        self.attr(kind)?.u8().ok()
    }

    pub(super) fn u32(&self, kind: u16) -> Option<u32> {
        self.attr(kind)?.u32_be().ok()
    }

    pub(super) fn u64(&self, kind: u16) -> Option<u64> {
        self.attr(kind)?.u64_be().ok()
    }

    /// The number, or 0 where there is none.
    pub(super) fn u32_or_0(&self, kind: u16) -> Option<u32> {
        let number = self.optional(kind, Self::u32).ok()?;
        Some(number.unwrap_or_default())
    }

    /// What `read` makes of the attribute where there is one.
    pub(super) fn optional<T>(
        &self,
        kind: u16,
        read: impl FnOnce(&Self, u16) -> Option<T>,
    ) -> Result<Option<T>, Unlike> {
        match self.attr(kind) {
            None => Ok(None),
            Some(_) => read(self, kind).map(Some).ok_or(Unlike),
        }
    }

    /// A name: text with nothing behind its NUL.
    pub(super) fn text(&self, kind: u16) -> Option<Box<str>> {
        let attr = self.attr(kind)?;
        let text = attr.str().ok()?;
        (text.len() + 1 == attr.payload.len()).then(|| text.into())
    }

    pub(super) fn register(&self, kind: u16) -> Option<Register> {
        Register::from_number(self.u32(kind)?)
    }

    pub(super) fn value(&self, kind: u16) -> Option<Value> {
        value(self.attr(kind)?)
    }
}

/// `NFTA_DATA_VALUE` of a nest.
pub(in super::super) fn value(data: Attr<'_>) -> Option<Value> {
    let mut list = data.nested();
    let attr = list.next()?.ok()?;
    (attr.kind == DATA_VALUE && list.next().is_none() && attr.payload.len() <= 64)
        .then(|| Value::new(attr.payload))
}

pub(in super::super) fn put_value(attrs: &mut AttrWriter<'_>, kind: u16, value: &[u8]) {
    attrs.nest(kind, |data| data.bytes(DATA_VALUE, value));
}

pub(super) fn put_register(attrs: &mut AttrWriter<'_>, kind: u16, register: Register) {
    attrs.u32_be(kind, register.number());
}
