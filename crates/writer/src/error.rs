//! Errors of writers.

use std::error::Error;
use std::sync::Arc;

use viprule_dataplane::Scope;

use crate::Tag;

/// The kernel can't be read or written at all.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The process lacks a capability.
    #[error("{operation}: not permitted; run as root or with the capability {capability}")]
    Permission {
        /// What was tried.
        operation: String,
        /// The missing capability.
        capability: &'static str,
    },
    /// The kernel or the host lacks a part.
    #[error("{operation}: this node lacks {part}")]
    Missing {
        /// What was tried.
        operation: String,
        /// The kernel option or module, or the program.
        part: String,
    },
    /// Anything else. Its text has that of the cause and of all causes behind it, so it gives none as
    /// its source: whoever prints sources would print them twice.
    #[error("{operation}: {}", chain(&**cause))]
    Failed {
        /// What was tried.
        operation: String,
        /// Why that failed; a text where that is what a program or the kernel said.
        cause: Arc<dyn Error + Send + Sync>,
    },
}

impl WriteError {
    /// True for what time does not heal.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Permission { .. } | Self::Missing { .. })
    }

    /// What was tried failed because of this error or text.
    pub fn failed(
        operation: impl Into<String>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Failed {
            operation: operation.into(),
            cause: cause.into().into(),
        }
    }

    /// An error of the netlink socket while doing `operation` on `nf_tables`.
    pub(crate) fn netlink(operation: &str, error: netlink_batch::Error) -> Self {
        Self::of(operation, error, "nf_tables (CONFIG_NF_TABLES)")
    }

    /// An error of the netlink socket while doing `operation` on tracked flows.
    pub(crate) fn conntrack(operation: &str, error: netlink_batch::Error) -> Self {
        // A subsystem that is not there answers EINVAL, and our requests themselves are valid.
        let missing = error.errno() == Some(netlink_batch::Errno::INVAL);
        let part = "ctnetlink (CONFIG_NF_CT_NETLINK)";
        if missing {
            return Self::Missing {
                operation: operation.to_owned(),
                part: part.to_owned(),
            };
        }
        Self::of(operation, error, part)
    }

    /// An error of the netlink socket while doing `operation`, which takes this part of the kernel.
    pub(crate) fn of(operation: &str, error: netlink_batch::Error, part: &str) -> Self {
        let operation = operation.to_owned();
        match error {
            netlink_batch::Error::Permission { .. } => Self::Permission {
                operation,
                capability: "CAP_NET_ADMIN",
            },
            error if error.is_unsupported() => Self::Missing {
                operation,
                part: part.to_owned(),
            },
            error => Self::failed(operation, error),
        }
    }
}

/// An error with its causes, as one line. A cause that the text ends with already is not repeated.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let of_next = next.to_string();
        if !text.ends_with(&of_next) {
            text.push_str(": ");
            text.push_str(&of_next);
        }
        cause = next.source();
    }
    text
}

/// Why a transaction was not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApplyError<P> {
    /// Somebody else changed these pieces since they were read.
    #[error("somebody else changed our objects in the meantime")]
    Foreign(Scope<P>),
    /// The kernel refused it.
    #[error("the kernel refused: {}", refusals.first().map_or("no reason given", |r| &r.reason))]
    Refused {
        /// What was refused.
        refusals: Vec<Refusal>,
        /// True where earlier parts of the same transaction were applied.
        partly: bool,
    },
    /// It isn't known how much was written: look again.
    #[error("it is not known what was written: {0}")]
    Unknown(String),
    /// The kernel can't be written at all.
    #[error(transparent)]
    Failed(#[from] WriteError),
}

/// One refused message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it belongs to, where the kernel tells.
    pub tag: Option<Tag>,
    /// What the kernel said.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use std::io;

    use nfnetlink::xtables::DecodeError;

    use super::*;

    /// Printed by itself, and as the cause of something else with all causes, as the log and the
    /// command line do.
    #[track_caller]
    fn assert_prints(error: WriteError, line: &str) {
        assert_eq!(format!("{error}"), line);
        assert_eq!(format!("{error:#}"), line);
        let error = anyhow::Error::from(ApplyError::<()>::from(error));
        assert_eq!(format!("{error}"), line);
        assert_eq!(format!("{error:#}"), line);
        let error = error.context("syncing");
        assert_eq!(format!("{error:#}"), format!("syncing: {line}"));
    }

    fn refused() -> io::Error {
        io::Error::from_raw_os_error(13)
    }

    #[test]
    fn a_failure_prints_every_cause_once() {
        let netlink = netlink_batch::Error::Io {
            doing: "receiving",
            source: refused(),
        };
        assert_prints(
            WriteError::netlink("reading", netlink),
            "reading: receiving: Permission denied (os error 13)",
        );
        // Its own text has its cause's.
        let decode = DecodeError::from(netlink_batch::AttrError::Text { kind: 7 });
        let line = format!("reading: {decode}");
        assert_prints(WriteError::failed("reading", decode), &line);
        assert_prints(WriteError::failed("running", "it hung"), "running: it hung");
    }

    #[test]
    fn a_failure_keeps_what_it_is_of() {
        let error = WriteError::failed("opening", refused());
        let WriteError::Failed { cause, .. } = error.clone() else {
            panic!("{error}");
        };
        let cause = cause.downcast_ref::<io::Error>();
        assert_eq!(
            cause.map(io::Error::kind),
            Some(io::ErrorKind::PermissionDenied)
        );
    }
}
