//! Registers of rules.

use super::value::WORD;

/// `NFT_REG32_00`: the first of the registers with 4 bytes.
const FIRST_WORD: u32 = 8;
/// Words that a packet's registers hold.
const WORDS: u8 = 16;

/// Where a value lies while a rule is evaluated: the index of its first 32-bit word, 0 to 15.
///
/// The kernel has two numbers for the same place: `NFT_REG_1` to `NFT_REG_4` for 16 bytes each,
/// and `NFT_REG32_00` to `NFT_REG32_15` for 4. Here they are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Register(u8);

impl Register {
    /// The register at this word; `None` beyond the last one.
    pub const fn at(word: u8) -> Option<Self> {
        if word < WORDS { Some(Self(word)) } else { None }
    }

    /// Its first word.
    pub const fn word(self) -> u8 {
        self.0
    }

    /// The number in messages, as the kernel and nft choose it (`enum nft_registers`).
    pub(super) fn number(self) -> u32 {
        let word = u32::from(self.0);
        if self.0.is_multiple_of(4) {
            1 + word / 4
        } else {
            FIRST_WORD + word
        }
    }

    /// The register of this number; `None` for the verdict's (0) and for what is none.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        match number {
            1..=4 => u8::try_from((number - 1) * 4).ok().and_then(Self::at),
            FIRST_WORD.. => u8::try_from(number - FIRST_WORD).ok().and_then(Self::at),
            _ => None,
        }
    }
}

/// Words that so many bytes take.
pub(super) const fn words(len: usize) -> usize {
    len.div_ceil(WORD)
}
