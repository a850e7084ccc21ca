//! `-m set` (`linux/netfilter/xt_set.h`): whether a packet is in an IP set.

use std::fmt::{self, Display, Formatter};

use crate::ipset::SetIndex;

/// `xt_set_info_match_v4`: index 0, dimensions 2, flags 3; behind them how counters of elements
/// are compared, all zero where they aren't.
pub(in crate::xtables) const LEN: usize = 48;
const DIMENSIONS: usize = 2;
const FLAGS: usize = 3;
/// `IPSET_INV_MATCH`. Bit n of the flags is that dimension n, counted from 1, is the source.
const INVERTED: u8 = 1;

/// Which address or port of a packet is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// `src`.
    Src,
    /// `dst`.
    Dst,
}

/// The sides of a packet that a set's dimensions are looked up with, as in `dst,dst,src`: 1 to
/// [`Directions::MAX`] of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Directions {
    len: u8,
    /// Bit n: dimension n, counted from 0, is the source.
    sources: u8,
}

impl Directions {
    /// Dimensions at most (`IPSET_DIM_MAX`).
    pub const MAX: usize = 6;
    /// `src`.
    pub const SRC: Self = Self::one(Direction::Src);
    /// `dst`.
    pub const DST: Self = Self::one(Direction::Dst);
    /// `src,dst`.
    pub const SRC_DST: Self = Self {
        len: 2,
        sources: 0b01,
    };
    /// `dst,dst`.
    pub const DST_DST: Self = Self { len: 2, sources: 0 };
    /// `dst,dst,src`.
    pub const DST_DST_SRC: Self = Self {
        len: 3,
        sources: 0b100,
    };

    const fn one(direction: Direction) -> Self {
        Self {
            len: 1,
            sources: matches!(direction, Direction::Src) as u8,
        }
    }

    /// These directions; `None` for none and for more than [`Directions::MAX`].
    pub fn new(directions: &[Direction]) -> Option<Self> {
        let len = u8::try_from(directions.len()).ok()?;
        let sources = directions.iter().enumerate();
        (1..=Self::MAX).contains(&directions.len()).then(|| Self {
            len,
            sources: sources
                .filter(|(_, direction)| **direction == Direction::Src)
                .fold(0, |bits, (dimension, _)| bits | 1 << dimension),
        })
    }

    /// The directions in order.
    pub fn iter(self) -> impl Iterator<Item = Direction> {
        (0..self.len).map(move |dimension| {
            if self.sources >> dimension & 1 == 1 {
                Direction::Src
            } else {
                Direction::Dst
            }
        })
    }
}

/// As `iptables-save` prints them: `dst,dst,src`.
impl Display for Directions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, direction) in self.iter().enumerate() {
            f.write_str(match (index, direction) {
                (0, Direction::Src) => "src",
                (0, Direction::Dst) => "dst",
                (_, Direction::Src) => ",src",
                (_, Direction::Dst) => ",dst",
            })?;
        }
        Ok(())
    }
}

/// The data of a match, of revision 4.
pub(in crate::xtables) fn put(info: &mut [u8], not: bool, set: SetIndex, dirs: Directions) {
    info[..2].copy_from_slice(&set.0.to_ne_bytes());
    info[DIMENSIONS] = dirs.len;
    info[FLAGS] = dirs.sources << 1 | if not { INVERTED } else { 0 };
}

/// Reads the data of a match of this revision; `None` where it asks for more than membership.
pub(in crate::xtables) fn read(revision: u32, info: &[u8]) -> Option<(bool, SetIndex, Directions)> {
    let (head, rest) = info.split_first_chunk::<4>()?;
    let [low, high, len, flags] = *head;
    let plain = match revision {
        // Behind the head is padding.
        1 | 2 => true,
        // Revision 3 has the counters' operators in other places, but none is zero as well.
        3 | 4 => info.len() >= LEN && rest.iter().all(|byte| *byte == 0),
        _ => false,
    };
    let sources = flags >> 1;
    let known = (1..=Directions::MAX).contains(&len.into()) && sources >> len == 0;
    (plain && known).then(|| {
        (
            flags & INVERTED != 0,
            SetIndex(u16::from_ne_bytes([low, high])),
            Directions { len, sources },
        )
    })
}
