//! Verdicts, limits and the log as nft prints them.

use std::fmt::{self, Display, Formatter};

use crate::nftables::native::expression::{Limit, Log, Verdict};
use crate::nftables::native::print::Quoted;

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Continue => f.write_str("continue"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

/// Units of time of a limit, seconds.
pub(in super::super) const UNITS: [(u64, &str); 5] = [
    (1, "second"),
    (60, "minute"),
    (3600, "hour"),
    (86_400, "day"),
    (604_800, "week"),
];

/// What a limit allows at once where nothing is said, packets.
pub(in super::super) const BURST: u32 = 5;

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.over {
            "limit rate over "
        } else {
            "limit rate "
        })?;
        if self.bytes {
            let (number, unit) = bytes(self.rate);
            write!(f, "{number} {unit}")?;
        } else {
            write!(f, "{}", self.rate)?;
        }
        match UNITS.iter().find(|(seconds, _)| *seconds == self.seconds) {
            Some((_, name)) => write!(f, "/{name}")?,
            None => write!(f, "/{}", self.seconds)?,
        }
        match (self.bytes, self.burst) {
            (false, BURST) | (true, 0) => Ok(()),
            (false, burst) => write!(f, " burst {burst} packets"),
            (true, burst) => {
                let (number, unit) = bytes(burst.into());
                write!(f, " burst {number} {unit}")
            }
        }
    }
}

fn bytes(number: u64) -> (u64, &'static str) {
    match number {
        0 => (0, "bytes"),
        _ if number.is_multiple_of(1 << 20) => (number >> 20, "mbytes"),
        _ if number.is_multiple_of(1 << 10) => (number >> 10, "kbytes"),
        _ => (number, "bytes"),
    }
}

/// `LOGLEVEL_*`.
pub(in super::super) const LEVELS: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug",
];

/// `NF_LOG_MASK`.
pub(in super::super) const LOG_ALL: u32 = 0x2f;

impl Display for Log {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("log")?;
        if let Some(prefix) = &self.prefix {
            write!(f, " prefix {}", Quoted(prefix))?;
        }
        if let Some(group) = self.group {
            write!(f, " group {group}")?;
        }
        if let Some(snaplen) = self.snaplen {
            write!(f, " snaplen {snaplen}")?;
        }
        if let Some(threshold) = self.threshold {
            write!(f, " queue-threshold {threshold}")?;
        }
        if let Some(level) = self.level {
            let index = usize::try_from(level).unwrap_or(usize::MAX);
            match LEVELS.get(index) {
                Some(name) => write!(f, " level {name}")?,
                None => write!(f, " level {level}")?,
            }
        }
        match self.flags {
            0 => Ok(()),
            LOG_ALL => f.write_str(" flags all"),
            flags => write!(f, " flags {flags:#x}"),
        }
    }
}
