//! What decides on a packet, counts it, limits it and tells of it.

use netlink_batch::{Attr, AttrWriter, Attrs};

use super::codec::DATA_VERDICT;
use super::compute::{IMMEDIATE_DATA, IMMEDIATE_TO};
use super::{Expression, Found};

/// `NFTA_VERDICT_*`.
const CODE: u16 = 1;
const CHAIN: u16 = 2;
/// `NF_DROP`, `NF_ACCEPT`, `NFT_*`.
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const CONTINUE: i32 = -1;
const JUMP: i32 = -3;
const GOTO: i32 = -4;
const RETURN: i32 = -5;
/// `NFTA_COUNTER_*`.
const BYTES: u16 = 1;
const PACKETS: u16 = 2;
const COUNTER_PAD: u16 = 3;
/// `NFTA_LIMIT_*`.
const RATE: u16 = 1;
const UNIT: u16 = 2;
const BURST: u16 = 3;
const LIMIT_KIND: u16 = 4;
const LIMIT_FLAGS: u16 = 5;
const LIMIT_PAD: u16 = 6;
/// `NFT_LIMIT_F_INV`.
const OVER: u32 = 1;
/// `NFTA_LOG_*`.
const GROUP: u16 = 1;
const PREFIX: u16 = 2;
const SNAPLEN: u16 = 3;
const THRESHOLD: u16 = 4;
const LEVEL: u16 = 5;
const LOG_FLAGS: u16 = 6;
/// `NFTA_REJECT_*`.
const REJECT_KIND: u16 = 1;
const REJECT_CODE: u16 = 2;
/// `NFT_REJECT_TCP_RST`.
const RESET: u32 = 1;
/// `NFTA_OBJREF_IMM_*`.
const OBJECT_KIND: u16 = 1;
const OBJECT_NAME: u16 = 2;

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It passes this base chain.
    Accept,
    /// It is gone.
    Drop,
    /// The next rule sees it.
    Continue,
    /// The chain that jumped here goes on.
    Return,
    /// A chain sees it, then the next rule.
    Jump(Box<str>),
    /// A chain sees it in place of the following rules.
    Goto(Box<str>),
}

impl Verdict {
    pub(super) fn put_immediate(&self, data: &mut AttrWriter<'_>) {
        data.u32_be(IMMEDIATE_TO, 0);
        data.nest(IMMEDIATE_DATA, |nest| self.put(nest));
    }

    /// Appends `NFTA_DATA_VERDICT`.
    pub(in super::super) fn put(&self, data: &mut AttrWriter<'_>) {
        data.nest(DATA_VERDICT, |nest| {
            let (code, chain) = match self {
                Self::Accept => (ACCEPT, None),
                Self::Drop => (DROP, None),
                Self::Continue => (CONTINUE, None),
                Self::Return => (RETURN, None),
                Self::Jump(chain) => (JUMP, Some(chain)),
                Self::Goto(chain) => (GOTO, Some(chain)),
            };
            nest.u32_be(CODE, code.cast_unsigned());
            if let Some(chain) = chain {
                nest.str(CHAIN, chain);
            }
        });
    }

    /// Reads the nest around `NFTA_DATA_VERDICT`.
    pub(in super::super) fn read(data: Attr<'_>) -> Option<Self> {
        let mut list = data.nested();
        let attr = list.next()?.ok()?;
        if attr.kind != DATA_VERDICT || list.next().is_some() {
            return None;
        }
        let found = Found::read(attr.nested(), CHAIN, None)?;
        let chain = found.optional(CHAIN, Found::text).ok()?;
        Some(match (found.u32(CODE)?.cast_signed(), chain) {
            (ACCEPT, None) => Self::Accept,
            (DROP, None) => Self::Drop,
            (CONTINUE, None) => Self::Continue,
            (RETURN, None) => Self::Return,
            (JUMP, Some(chain)) => Self::Jump(chain),
            (GOTO, Some(chain)) => Self::Goto(chain),
            _ => return None,
        })
    }
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Bytes of them, from the network header on.
    pub bytes: u64,
}

impl Counters {
    pub(super) fn put(self, data: &mut AttrWriter<'_>) {
        // As nft: a counter that begins at 0 has no attributes.
        if self != Self::default() {
            data.u64_be(BYTES, self.bytes);
            data.u64_be(PACKETS, self.packets);
        }
    }

    pub(super) fn read(attrs: Attrs<'_>) -> Option<Self> {
        let found = Found::read(attrs, COUNTER_PAD, Some(COUNTER_PAD))?;
        Some(Self {
            packets: found
                .optional(PACKETS, Found::u64)
                .ok()?
                .unwrap_or_default(),
            bytes: found.optional(BYTES, Found::u64).ok()?.unwrap_or_default(),
        })
    }
}

/// How much goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit {
    /// So many in each unit of time.
    pub rate: u64,
    /// That unit, seconds.
    pub seconds: u64,
    /// So many more at once.
    pub burst: u32,
    /// True to limit bytes, false to limit packets.
    pub bytes: bool,
    /// True to go on where it is more, false where it is not.
    pub over: bool,
}

impl Limit {
    pub(super) fn put(self, data: &mut AttrWriter<'_>) {
        data.u64_be(RATE, self.rate);
        data.u64_be(UNIT, self.seconds);
        data.u32_be(BURST, self.burst);
        data.u32_be(LIMIT_KIND, self.bytes.into());
        data.u32_be(LIMIT_FLAGS, self.over.into());
    }

    pub(super) fn read(attrs: Attrs<'_>) -> Option<Self> {
        let found = Found::read(attrs, LIMIT_PAD, Some(LIMIT_PAD))?;
        let flag = |kind| {
            let number = found.u32_or_0(kind)?;
            (number & !OVER == 0).then_some(number == OVER)
        };
        Some(Self {
            rate: found.u64(RATE)?,
            seconds: found.u64(UNIT)?,
            burst: found.u32_or_0(BURST)?,
            bytes: flag(LIMIT_KIND)?,
            over: flag(LIMIT_FLAGS)?,
        })
    }
}

/// A line in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Log {
    /// What it begins with, at most 127 bytes.
    pub prefix: Option<Box<str>>,
    /// The group of nfnetlink that it goes to; the kernel's own log without.
    pub group: Option<u16>,
    /// Bytes of the packet that go to the group; all without.
    pub snaplen: Option<u32>,
    /// Packets that the group waits for.
    pub threshold: Option<u16>,
    /// `LOGLEVEL_*`, 0 to 7; 4 (warning) without.
    pub level: Option<u32>,
    /// `NF_LOG_*`.
    pub flags: u32,
}

/// `LOGLEVEL_WARNING`.
const WARNING: u32 = 4;

impl Log {
    pub(super) fn put(&self, data: &mut AttrWriter<'_>) {
        if let Some(prefix) = &self.prefix {
            data.str(PREFIX, prefix);
        }
        if let Some(group) = self.group {
            data.u16_be(GROUP, group);
        }
        if let Some(snaplen) = self.snaplen {
            data.u32_be(SNAPLEN, snaplen);
        }
        if let Some(threshold) = self.threshold {
            data.u16_be(THRESHOLD, threshold);
        }
        if let Some(level) = self.level {
            data.u32_be(LEVEL, level);
        }
        if self.flags != 0 {
            data.u32_be(LOG_FLAGS, self.flags);
        }
    }

    pub(super) fn read(attrs: Attrs<'_>) -> Option<Self> {
        let found = Found::read(attrs, LOG_FLAGS, None)?;
        let u16 = |kind| match found.attr(kind) {
            None => Some(None),
            Some(attr) => attr.u16_be().ok().map(Some),
        };
        let group = u16(GROUP)?;
        // The kernel tells what it takes where nothing was said.
        let level = found.optional(LEVEL, Found::u32).ok()?;
        Some(Self {
            prefix: found.optional(PREFIX, Found::text).ok()?,
            group,
            snaplen: found
                .optional(SNAPLEN, Found::u32)
                .ok()?
                .filter(|len| *len != 0),
            threshold: u16(THRESHOLD)?.filter(|threshold| *threshold != 0),
            level: level.filter(|level| *level != WARNING),
            flags: found.u32_or_0(LOG_FLAGS)?,
        })
    }
}

pub(super) fn put(expression: &Expression, data: &mut AttrWriter<'_>) {
    match expression {
        Expression::Reject { kind, code } => {
            data.u32_be(REJECT_KIND, *kind);
            data.u8(REJECT_CODE, *code);
        }
        Expression::Object { kind, name } => {
            data.u32_be(OBJECT_KIND, *kind);
            data.str(OBJECT_NAME, name);
        }
        _ => {}
    }
}

pub(super) fn reject(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, REJECT_CODE, None)?;
    let kind = found.u32(REJECT_KIND)?;
    // The kernel tells no code of a reset.
    let code = found.optional(REJECT_CODE, Found::u8).ok()?;
    let code = if kind == RESET {
        code.or(Some(0))
    } else {
        code
    }?;
    Some(Expression::Reject { kind, code })
}

/// Of a name, not of a map (`NFTA_OBJREF_SET_*`).
pub(super) fn object(attrs: Attrs<'_>) -> Option<Expression> {
    let found = Found::read(attrs, OBJECT_NAME, None)?;
    Some(Expression::Object {
        kind: found.u32(OBJECT_KIND)?,
        name: found.text(OBJECT_NAME)?,
    })
}
