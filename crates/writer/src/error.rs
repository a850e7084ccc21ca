//! Errors of writers.

use std::fmt;

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
    /// Anything else.
    #[error("{operation}: {reason}")]
    Failed {
        /// What was tried.
        operation: String,
        /// What the kernel said.
        reason: String,
    },
}

impl WriteError {
    /// True for what time does not heal.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Permission { .. } | Self::Missing { .. })
    }

    /// What was tried failed, for this reason.
    pub(crate) fn failed(operation: impl Into<String>, reason: &dyn fmt::Display) -> Self {
        Self::Failed {
            operation: operation.into(),
            reason: reason.to_string(),
        }
    }

    /// An error of the netlink socket while doing `operation` on `nf_tables`.
    pub(crate) fn netlink(operation: &str, error: &netlink_batch::Error) -> Self {
        Self::of(operation, error, "nf_tables (CONFIG_NF_TABLES)")
    }

    /// An error of the netlink socket while doing `operation` on tracked flows.
    pub(crate) fn conntrack(operation: &str, error: &netlink_batch::Error) -> Self {
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
    pub(crate) fn of(operation: &str, error: &netlink_batch::Error, part: &str) -> Self {
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
            error => Self::Failed {
                operation,
                reason: chain(error),
            },
        }
    }
}

/// An error with its causes, as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
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
