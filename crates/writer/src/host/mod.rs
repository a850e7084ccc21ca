//! Settings of the machine that a Service proxy is asked to make (contract 5.2): limits and
//! timeouts of connection tracking, and this process' OOM score.
//!
//! What has its value already is not written, so a node that was set up by somebody else needs no
//! permission. What can't be set is told with what to do about it; whether that ends the program
//! is the caller's business.

mod cpus;
mod problem;

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files;
pub use problem::{Problem, Why};

/// `nf_conntrack_max` by number of processors is not raised beyond this (contract 5.2).
const MAX_BY_CORES: u64 = 1 << 20;
/// Entries of the table for each bucket of its hash, as the kernel sizes it too.
const ENTRIES_PER_BUCKET: u64 = 4;

/// What is asked for. `None`, zero and `false` leave a setting as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Tracked connections for each processor (`conntrack.maxPerCore`).
    pub max_per_core: Option<u32>,
    /// Tracked connections at least (`conntrack.min`); counts only with `max_per_core`.
    pub min: Option<u32>,
    /// How long an idle established TCP connection is tracked, whole seconds.
    pub tcp_established: Option<Duration>,
    /// How long a half-closed TCP connection is tracked, whole seconds.
    pub tcp_close_wait: Option<Duration>,
    /// Packets outside of the TCP window are not invalid.
    pub tcp_be_liberal: bool,
    /// How long an idle UDP flow without an answer is tracked, whole seconds.
    pub udp: Option<Duration>,
    /// How long an idle UDP flow with answers is tracked, whole seconds.
    pub udp_stream: Option<Duration>,
    /// This process' `oom_score_adj`, -1,000 to 1,000.
    pub oom_score_adj: Option<i32>,
}

/// The settings that [`Host::apply`] may make, without the leading slash.
const FILES: [&str; 8] = [
    "proc/sys/net/netfilter/nf_conntrack_max",
    "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established",
    "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "proc/sys/net/netfilter/nf_conntrack_udp_timeout",
    "proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream",
    "proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal",
    HASH_SIZE,
    OOM_SCORE,
];
/// Buckets of connection tracking's hash.
const HASH_SIZE: &str = "sys/module/nf_conntrack/parameters/hashsize";
/// How early this process goes when memory runs out.
const OOM_SCORE: &str = "proc/self/oom_score_adj";

/// Keeps the files of all settings of [`HostSettings`] open for writing from now on, and those of
/// `sysctls` (as `net/ipv4/ip_forward`): for a program that gives up to open others. What is not there
/// now, or can't be written, stays so for this program. Counts once.
pub fn hold(sysctls: &[&str]) {
    let sysctls = sysctls.iter().map(|path| Setting::sysctl(path).path);
    let files = FILES.iter().map(PathBuf::from).chain(sysctls);
    files::hold(files.map(|path| Path::new("/").join(path)));
}

/// A setting that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name, as `net.netfilter.nf_conntrack_max`.
    pub setting: String,
    /// What it was.
    pub from: String,
    /// What it is now.
    pub to: String,
}

/// What came of the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was changed, in the order of changing.
    pub changed: Vec<Change>,
    /// What could not be set.
    pub problems: Vec<Problem>,
}

/// The files through which the kernel is set.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

impl Default for Host {
    /// This machine, in the network namespace of the calling thread.
    fn default() -> Self {
        Self::below("/")
    }
}

/// What is written where.
pub(crate) struct Setting {
    name: String,
    path: PathBuf,
    essential: bool,
}

impl Setting {
    /// A setting below `/proc/sys` that nothing works without.
    pub(crate) fn sysctl(path: &str) -> Self {
        Self {
            name: path.replace('/', "."),
            path: Path::new("proc/sys").join(path),
            essential: true,
        }
    }
}

impl Host {
    /// The machine whose `/proc` and `/sys` are below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Makes the settings, each as far as it differs.
    pub fn apply(&self, settings: &HostSettings) -> Outcome {
        let mut outcome = Outcome::default();
        if let Some(max) = self.conntrack_max(settings) {
            self.set(&Self::conntrack("nf_conntrack_max"), max, &mut outcome);
            self.grow_hash(max / ENTRIES_PER_BUCKET, &mut outcome);
        }
        let timeouts = [
            ("tcp_timeout_established", settings.tcp_established),
            ("tcp_timeout_close_wait", settings.tcp_close_wait),
            ("udp_timeout", settings.udp),
            ("udp_timeout_stream", settings.udp_stream),
        ];
        for (name, timeout) in timeouts {
            if let Some(seconds) = timeout.map(|it| it.as_secs()).filter(|it| *it > 0) {
                let setting = Self::conntrack(&format!("nf_conntrack_{name}"));
                self.set(&setting, seconds, &mut outcome);
            }
        }
        if settings.tcp_be_liberal {
            let setting = Self::conntrack("nf_conntrack_tcp_be_liberal");
            self.set(&setting, 1, &mut outcome);
        }
        if let Some(score) = settings.oom_score_adj {
            let setting = Setting {
                name: "oom_score_adj of this process".to_owned(),
                path: OOM_SCORE.into(),
                essential: false,
            };
            self.set(&setting, score, &mut outcome);
        }
        outcome
    }

    /// Makes one setting below `/proc/sys`, as far as it differs.
    pub fn make(&self, path: &str, value: impl Display) -> Outcome {
        let mut outcome = Outcome::default();
        self.set(&Setting::sysctl(path), value, &mut outcome);
        outcome
    }

    /// What `nf_conntrack_max` is to be, if anything.
    fn conntrack_max(&self, settings: &HostSettings) -> Option<u64> {
        let per_core = settings.max_per_core.filter(|max| *max > 0)?;
        let scaled = u64::from(per_core) * cpus::count(&self.root);
        if scaled > MAX_BY_CORES {
            return Some(MAX_BY_CORES);
        }
        Some(scaled.max(settings.min.unwrap_or(0).into()))
    }

    fn conntrack(name: &str) -> Setting {
        Setting::sysctl(&format!("net/netfilter/{name}"))
    }

    pub(crate) fn set(&self, setting: &Setting, value: impl Display, outcome: &mut Outcome) {
        let value = value.to_string();
        let from = self.read(setting);
        match &from {
            Ok(from) if *from == value => return,
            _ => {}
        }
        // A setting that can't be read is not there, or hidden: writing would not say more.
        let written = from.and_then(|from| {
            files::write(&self.root.join(&setting.path), &value)?;
            Ok(from)
        });
        match written {
            Ok(from) => outcome.changed.push(Change {
                setting: setting.name.clone(),
                from,
                to: value,
            }),
            Err(error) => outcome.problems.push(Problem {
                setting: setting.name.clone(),
                wanted: value,
                current: self.read(setting).ok(),
                essential: setting.essential,
                why: Why::of(&error),
            }),
        }
    }

    /// The hash is made larger, never smaller.
    fn grow_hash(&self, buckets: u64, outcome: &mut Outcome) {
        let setting = Setting {
            name: "module parameter nf_conntrack.hashsize".to_owned(),
            path: HASH_SIZE.into(),
            // The table works with any hash, only slower.
            essential: false,
        };
        let current = self.read(&setting).ok();
        let enough = current
            .and_then(|text| text.parse::<u64>().ok())
            .is_some_and(|current| current >= buckets);
        if !enough {
            self.set(&setting, buckets, outcome);
        }
    }

    pub(crate) fn read(&self, setting: &Setting) -> io::Result<String> {
        let text = files::read(&self.root.join(&setting.path))?;
        Ok(text.trim().to_owned())
    }
}

#[cfg(test)]
mod tests;
