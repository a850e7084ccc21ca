//! Parts of nft's text that more than one object has.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;
use std::time::Duration;

use super::expression::Counters;
use super::{Term, datatype};
use crate::Family;

/// A concatenation of terms.
pub(super) struct Terms<'t> {
    family: Family,
    terms: &'t [Term],
}

impl<'t> Terms<'t> {
    pub(super) const fn new(family: Family, terms: &'t [Term]) -> Self {
        Self { family, terms }
    }
}

impl Display for Terms<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            if index > 0 {
                f.write_str(" . ")?;
            }
            match term {
                Term::SourceAddress => write!(f, "{} saddr", self.family)?,
                Term::DestinationAddress => write!(f, "{} daddr", self.family)?,
                Term::SourcePort(transport) => write!(f, "{} sport", transport.name())?,
                Term::DestinationPort(transport) => write!(f, "{} dport", transport.name())?,
                Term::Meta(key) => key.write(f)?,
                Term::Ct(key) => write!(f, "ct {}", key.name())?,
                Term::SourceType => f.write_str("fib saddr type")?,
                Term::DestinationType => f.write_str("fib daddr type")?,
                Term::Numgen(numgen) => {
                    let kind = if numgen.random { "random" } else { "inc" };
                    write!(f, "numgen {kind} mod {}", numgen.modulus)?;
                    offset(f, numgen.offset)?;
                }
                Term::Hash(hash) => {
                    let of = Self::new(self.family, &hash.of);
                    write!(f, "jhash {of} mod {}", hash.modulus)?;
                    if let Some(seed) = hash.seed {
                        write!(f, " seed {seed:#x}")?;
                    }
                    offset(f, hash.offset)?;
                }
            }
        }
        Ok(())
    }
}

fn offset(f: &mut Formatter<'_>, offset: u32) -> fmt::Result {
    match offset {
        0 => Ok(()),
        _ => write!(f, " offset {offset}"),
    }
}

/// An address.
pub(super) struct Address(pub(super) IpAddr);

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        datatype::address(f, self.0)
    }
}

/// Text in quotes. There is no way to say a quote in it.
pub(super) struct Quoted<'t>(pub(super) &'t str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// A time, such as `1d2h3m4s5ms`.
pub(super) struct Time(pub(super) Duration);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        let parts = [
            (seconds / 86_400, "d"),
            (seconds % 86_400 / 3600, "h"),
            (seconds % 3600 / 60, "m"),
            (seconds % 60, "s"),
            (millis.into(), "ms"),
        ];
        let mut begun = false;
        for (number, unit) in parts {
            if number > 0 {
                write!(f, "{number}{unit}")?;
                begun = true;
            }
        }
        if begun { Ok(()) } else { f.write_str("0s") }
    }
}

impl Display for Counters {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "counter packets {} bytes {}", self.packets, self.bytes)
    }
}
