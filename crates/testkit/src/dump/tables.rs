//! Which iptables a kernel has.

use std::process::Command;
use std::sync::OnceLock;

/// What the iptables programs write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// `nf_tables`.
    Nft,
    /// Legacy tables: what a kernel offers that has no `nft_compat`, such as User-Mode Linux.
    Legacy,
}

impl Tables {
    /// `nf_tables` wherever rules of iptables can be written there.
    pub fn of_this_kernel() -> Self {
        static FOUND: OnceLock<Tables> = OnceLock::new();
        *FOUND.get_or_init(|| {
            // In a namespace of its own, which goes with the program.
            let probe = Command::new("unshare")
                .args(["--net", "iptables-nft", "-t", "nat", "-A", "POSTROUTING"])
                .args(["-m", "comment", "--comment", "probe", "-j", "MASQUERADE"])
                .output();
            match probe {
                Ok(output) if !output.status.success() => Self::Legacy,
                _ => Self::Nft,
            }
        })
    }

    /// The name in programs: `iptables-NAME-save`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        }
    }
}
