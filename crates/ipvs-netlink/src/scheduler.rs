//! Schedulers and persistence engines.

use std::fmt;
use std::str::FromStr;

use crate::name::{NAME_MAX, Name};

/// A scheduler by its name, such as `rr`. A module may add others, so any valid name is one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scheduler(pub(crate) Name);

/// Not a scheduler's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a scheduler's name: 1 to {NAME_MAX} letters, digits, '-' or '_'")]
pub struct SchedulerError {
    /// What was given.
    pub name: String,
}

impl Scheduler {
    /// Round robin.
    pub const RR: Self = Self(Name::known(b"rr"));
    /// Weighted round robin.
    pub const WRR: Self = Self(Name::known(b"wrr"));
    /// Least connections.
    pub const LC: Self = Self(Name::known(b"lc"));
    /// Weighted least connections.
    pub const WLC: Self = Self(Name::known(b"wlc"));
    /// Source hashing.
    pub const SH: Self = Self(Name::known(b"sh"));
    /// Maglev hashing.
    pub const MH: Self = Self(Name::known(b"mh"));

    /// Those of Linux (net/netfilter/ipvs).
    ///
    /// For a name that it does not have, the kernel loads a module called `ip_vs_NAME`, whatever
    /// that is: ask it for these only where the name comes from somebody who may not load modules.
    pub const LINUX: &[Self] = &[
        Self::RR,
        Self::WRR,
        Self::LC,
        Self::WLC,
        Self(Name::known(b"fo")),
        Self(Name::known(b"ovf")),
        Self(Name::known(b"lblc")),
        Self(Name::known(b"lblcr")),
        Self(Name::known(b"dh")),
        Self::SH,
        Self::MH,
        Self(Name::known(b"sed")),
        Self(Name::known(b"nq")),
        Self(Name::known(b"twos")),
    ];

    /// True for one of [`Self::LINUX`].
    pub fn is_linux(&self) -> bool {
        Self::LINUX.contains(self)
    }

    /// The names of [`Self::LINUX`], as a list in a sentence.
    pub fn linux_names() -> String {
        let names: Vec<_> = Self::LINUX.iter().map(Self::as_str).collect();
        names.join(", ")
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Scheduler {
    type Err = SchedulerError;

    fn from_str(text: &str) -> Result<Self, SchedulerError> {
        Name::checked(text).map(Self).ok_or_else(|| SchedulerError {
            name: text.to_owned(),
        })
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A persistence engine by its name: what else than its address tells a client (`sip`: the
/// Call-ID).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Engine(pub(crate) Name);

/// Not a persistence engine's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a persistence engine's name: 1 to {NAME_MAX} letters, digits, '-' or '_'")]
pub struct EngineError {
    /// What was given.
    pub name: String,
}

impl Engine {
    /// By the Call-ID of SIP; for UDP.
    pub const SIP: Self = Self(Name::known(b"sip"));

    /// Those of Linux; see [`Scheduler::LINUX`].
    pub const LINUX: &[Self] = &[Self::SIP];

    /// True for one of [`Self::LINUX`].
    pub fn is_linux(&self) -> bool {
        Self::LINUX.contains(self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Engine {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self, EngineError> {
        Name::checked(text).map(Self).ok_or_else(|| EngineError {
            name: text.to_owned(),
        })
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
