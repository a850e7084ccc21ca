//! Memory of a process (proc(5), /proc/PID/status).

use crate::error::{Error, Result};
use std::fs;

/// Resident memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Now, in KiB (`VmRSS`).
    pub resident_kib: u64,
    /// At most so far, in KiB (`VmHWM`).
    pub peak_kib: u64,
}

impl Memory {
    /// Reads the memory of the running process `pid`.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).map_err(Error::io(format!(
            "reading {path}, does the process still run?"
        )))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim_start_matches(':').trim().strip_suffix(" kB"))
                .and_then(|number| number.trim().parse().ok())
                .ok_or_else(|| Error::Malformed {
                    what: path.clone(),
                    why: format!("it has no {name}; has the process ended?"),
                })
        };
        Ok(Self {
            resident_kib: field("VmRSS")?,
            peak_kib: field("VmHWM")?,
        })
    }
}
