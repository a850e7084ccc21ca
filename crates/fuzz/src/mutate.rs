//! Inputs made of others.

/// Numbers that follow from a seed (splitmix64).
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound; 0 where that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // A remainder of a usize fits into one.
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap_or(0)
    }

    /// A number below a power of two, more often a small one.
    fn small(&mut self, bits: usize) -> usize {
        let bound = 1 << self.below(bits);
        self.below(bound)
    }

    /// Where a piece of a text begins and ends, most of them short.
    fn piece(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = if self.below(4) == 0 { length } else { 16 };
        let end = start + self.below(longest.min(length - start) + 1);
        start..end
    }
}

/// Numbers at which something changes.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    u64::MAX,
];

/// What texts of all kinds are made of.
const WORDS: [&str; 24] = [
    "0",
    "-1",
    "65536",
    "4294967296",
    "1e999",
    "null",
    "''",
    "\"",
    "!",
    "[",
    "{",
    "}",
    "]",
    ": ",
    "- ",
    "\n---\n",
    "\n",
    "\r\n",
    "\t",
    "&a ",
    "*a",
    "\u{feff}",
    "\u{0}",
    "é",
];

/// One of the seeds with one to some changes, at most `longest` bytes.
pub(crate) fn mutated(chance: &mut Chance, seeds: &[Vec<u8>], longest: usize) -> Vec<u8> {
    let one = |chance: &mut Chance| seeds.get(chance.below(seeds.len()));
    let mut bytes = one(chance).cloned().unwrap_or_default();
    for _ in 0..=chance.small(5) {
        let other = one(chance).map_or(&[][..], Vec::as_slice);
        change(chance, &mut bytes, other);
        bytes.truncate(longest);
    }
    bytes
}

fn change(chance: &mut Chance, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = chance.below(bytes.len());
    match chance.below(10) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = chance.next().to_le_bytes()[0];
            }
        }
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(chance.piece(bytes.len()))),
        4 => {
            let piece = bytes[chance.piece(bytes.len())].to_vec();
            let times = 1 + chance.small(8);
            put(
                bytes,
                at,
                &piece.repeat(times.min(1 + 4096 / piece.len().max(1))),
            );
        }
        5 => put(bytes, at, &other[chance.piece(other.len())]),
        6 => {
            let piece = other[chance.piece(other.len())].to_vec();
            over(bytes, at, &piece);
        }
        7 => {
            let edge = EDGES[chance.below(EDGES.len())];
            let edge = edge.wrapping_add(chance.below(5) as u64).wrapping_sub(2);
            let size = 1 << chance.below(4);
            let in_order = edge.to_le_bytes()[..size].to_vec();
            let turned = in_order.iter().rev().copied().collect();
            let number = if chance.below(2) == 0 {
                in_order
            } else {
                turned
            };
            over(bytes, at, &number);
        }
        8 => length_field(chance, bytes, at),
        _ => put(bytes, at, WORDS[chance.below(WORDS.len())].as_bytes()),
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

fn over(bytes: &mut [u8], at: usize, piece: &[u8]) {
    for (old, new) in bytes.iter_mut().skip(at).zip(piece) {
        *old = *new;
    }
}

/// Makes what is most likely a length of netlink some bytes longer or shorter.
fn length_field(chance: &mut Chance, bytes: &mut [u8], at: usize) {
    let at = at / 4 * 4;
    if let Some(field) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>) {
        let by = [1, 4, 0u16.wrapping_sub(1), 0u16.wrapping_sub(4)][chance.below(4)];
        *field = u16::from_ne_bytes(*field).wrapping_add(by).to_ne_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let seeds = [b"one: 1\n".to_vec(), b"two".to_vec(), Vec::new()];
        let made = |seed| {
            let mut chance = Chance::of(seed);
            let made = (0..200).map(|_| mutated(&mut chance, &seeds, 100));
            made.collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
        assert!(made(1).iter().all(|bytes| bytes.len() <= 100));
    }
}
