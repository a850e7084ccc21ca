//! What a process has given up (proc(5), /proc/PID/task/TID/status).

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What a thread has given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confinement {
    /// `Seccomp`: 0 is nothing, 2 is filters.
    pub seccomp: u32,
    /// `Seccomp_filters`: how many of them, those of whoever started it included.
    pub filters: u32,
    /// `NoNewPrivs`.
    pub no_new_privs: u32,
}

impl Confinement {
    /// Of each thread of the running process `pid`, by thread.
    pub fn of(pid: u32) -> Result<BTreeMap<u32, Self>> {
        let folder = format!("/proc/{pid}/task");
        let tasks = fs::read_dir(&folder).map_err(Error::io(format!(
            "reading {folder}, does the process still run?"
        )))?;
        let mut threads = BTreeMap::new();
        for task in tasks {
            let task = task.map_err(Error::io(format!("reading {folder}")))?;
            let id = task.file_name().to_string_lossy().parse();
            // One that has ended meanwhile has given up everything.
            if let (Ok(id), Ok(status)) = (id, fs::read_to_string(task.path().join("status"))) {
                threads.insert(id, Self::parse(&task.path(), &status)?);
            }
        }
        Ok(threads)
    }

    /// Of this thread.
    pub fn of_this_thread() -> Result<Self> {
        let path = Path::new("/proc/thread-self/status");
        let status = fs::read_to_string(path).map_err(Error::io("reading this thread's status"))?;
        Self::parse(path, &status)
    }

    fn parse(path: &Path, status: &str) -> Result<Self> {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.strip_prefix(':')?.trim().parse().ok());
            number.ok_or_else(|| Error::Malformed {
                what: path.display().to_string(),
                why: format!("it has no {name}; has this kernel CONFIG_SECCOMP_FILTER?"),
            })
        };
        Ok(Self {
            seccomp: field("Seccomp")?,
            filters: field("Seccomp_filters")?,
            no_new_privs: field("NoNewPrivs")?,
        })
    }
}
