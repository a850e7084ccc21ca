//! The API server as a process.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::Context as _;

const NAME: &str = "kube-apiserver";
/// `USER_HZ`, the same on every machine that Rust's std supports on Linux.
const TICK: Duration = Duration::from_millis(10);

/// An API server that this process started.
#[derive(Debug)]
pub(crate) struct Server {
    pid: u32,
}

/// What `/proc/PID/stat` says (proc(5)).
struct Stat {
    name: String,
    parent: u32,
    /// User and system time.
    time: Duration,
}

impl Server {
    /// Looks for it among the processes that come from this one.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let mut processes = BTreeMap::new();
        for entry in fs::read_dir("/proc")? {
            let pid = entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            // Others end at any time.
            if let Some(pid) = pid
                && let Ok(stat) = stat(pid)
            {
                processes.insert(pid, stat);
            }
        }
        let is_ours = |pid: &&u32| {
            let mut at = **pid;
            while let Some(stat) = processes.get(&at) {
                if stat.parent == std::process::id() {
                    return true;
                }
                at = stat.parent;
            }
            false
        };
        let mut servers = processes.iter().filter(|(_, stat)| stat.name == NAME);
        let pid = servers.find_map(|(pid, _)| Some(pid).filter(is_ours));
        let pid = *pid.with_context(|| format!("no {NAME} comes from this process"))?;
        Ok(Self { pid })
    }

    /// Processor time so far.
    pub(crate) fn time(&self) -> anyhow::Result<Duration> {
        Ok(stat(self.pid)?.time)
    }
}

fn stat(pid: u32) -> anyhow::Result<Stat> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let (name, fields) = text.rsplit_once(") ").with_context(|| path.clone())?;
    let (_, name) = name.split_once('(').with_context(|| path.clone())?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let number = |index: usize| -> anyhow::Result<u32> {
        Ok(fields.get(index).with_context(|| path.clone())?.parse()?)
    };
    Ok(Stat {
        name: name.to_owned(),
        parent: number(1)?,
        time: TICK * (number(11)? + number(12)?),
    })
}
