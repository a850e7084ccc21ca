//! Settings that can't be made.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// A setting that could not be made, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its name, as `net.netfilter.nf_conntrack_max`.
    pub setting: String,
    /// What it was to be.
    pub wanted: String,
    /// What it is, where that can be read.
    pub current: Option<String>,
    /// False where all works without it as well, if not as well.
    pub essential: bool,
    /// Why.
    pub why: Why,
}

/// Why a setting could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The file system is read-only, as in containers that aren't privileged (EROFS).
    ReadOnly,
    /// Not permitted here: a capability is missing, or the setting belongs to another network
    /// namespace (EPERM, EACCES).
    NotPermitted,
    /// The kernel lacks it, or its module is not loaded (ENOENT).
    Missing,
    /// The kernel does not take the value (EINVAL, ERANGE).
    Invalid,
    /// Anything else.
    Other(String),
}

impl Why {
    pub(super) fn of(error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EROFS) => Self::ReadOnly,
            Some(Errno::EPERM | Errno::EACCES) => Self::NotPermitted,
            Some(Errno::ENOENT) => Self::Missing,
            Some(Errno::EINVAL | Errno::ERANGE) => Self::Invalid,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting, wanted, ..
        } = self;
        write!(f, "{setting} can't be set to {wanted}")?;
        if let Some(current) = &self.current {
            write!(f, ", it is {current}")?;
        }
        f.write_str(": ")?;
        match &self.why {
            Why::ReadOnly => write!(
                f,
                "its file system is read-only here; run privileged, set it on the host, or leave \
                 it out of the configuration"
            ),
            Why::NotPermitted => write!(
                f,
                "not permitted; it takes root in the host's own namespaces, or CAP_SYS_RESOURCE for \
                 the OOM score; set it on the host, or leave it out of the configuration"
            ),
            Why::Missing => {
                let module = if setting.starts_with("net.ipv4.vs.") {
                    "ip_vs"
                } else {
                    "nf_conntrack"
                };
                write!(
                    f,
                    "this kernel has no such setting, or its module is not loaded; load {module}, \
                     or leave it out of the configuration"
                )
            }
            Why::Invalid => write!(
                f,
                "the kernel does not take the value; correct it in the configuration"
            ),
            Why::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Problem {}
