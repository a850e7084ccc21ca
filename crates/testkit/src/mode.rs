//! The proxy mode that a run of the tests is about.

use std::env;
use std::fmt;

use crate::dump::Tables;

/// The variable that names it.
pub const VARIABLE: &str = "VIPRULE_MODE";

/// A proxy mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// iptables chains.
    Iptables,
    /// IPVS, which needs a kernel that has it: see `scripts/vm`.
    Ipvs,
    /// Sets of nf_tables.
    Nftables,
}

impl Mode {
    /// From `$VIPRULE_MODE`; iptables if it isn't set.
    ///
    /// # Panics
    ///
    /// If it is set to the name of no mode: the tests would prove something else than was asked.
    #[expect(clippy::panic, reason = "a test of the wrong mode must not pass")]
    pub fn of_this_run() -> Self {
        match env::var(VARIABLE).as_deref() {
            Err(env::VarError::NotPresent) | Ok("iptables") => Self::Iptables,
            Ok("ipvs") => Self::Ipvs,
            Ok("nftables") => Self::Nftables,
            other => panic!("{VARIABLE}={other:?} is no mode: iptables, ipvs, nftables"),
        }
    }

    /// What tells the program to use this mode on this kernel.
    pub fn flags(self) -> Vec<String> {
        let mut flags = vec![format!("--proxy-mode={self}")];
        if Tables::of_this_kernel() == Tables::Legacy {
            flags.push("--iptables-backend=legacy".to_owned());
        }
        flags
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iptables => "iptables",
            Self::Ipvs => "ipvs",
            Self::Nftables => "nftables",
        })
    }
}
