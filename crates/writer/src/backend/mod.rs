//! Which of the kernel's two iptables a node uses: nf_tables or legacy xtables.

mod choose;
pub(crate) mod compat;
mod evidence;
mod writer;

pub use choose::{Choice, choose};
pub use writer::HostWriter;

use std::fmt;

/// One of the kernel's two iptables. A packet passes both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// `iptables-nft`: nf_tables, written over netlink.
    Nft,
    /// `iptables-legacy`: written by the host's program.
    Legacy,
}

impl Backend {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Nft => Self::Legacy,
            Self::Legacy => Self::Nft,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        })
    }
}
