//! What can go wrong between us and the kernel.

use std::io;

use crate::attr::AttrError;
use crate::errno::Errno;
use crate::message::MessageError;

/// A failed exchange with the kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no such netlink protocol (EPROTONOSUPPORT).
    #[error(
        "this kernel has no netlink protocol {protocol}; load its module or enable it in the kernel"
    )]
    NoProtocol {
        /// The protocol's number, as `NETLINK_NETFILTER`.
        protocol: isize,
    },
    /// A capability is missing (EPERM).
    #[error(
        "{doing}: not permitted; run as root or with CAP_NET_ADMIN in the user namespace that owns \
         this network namespace"
    )]
    Permission {
        /// What was tried.
        doing: &'static str,
    },
    /// The kernel refused the request.
    #[error("the kernel refused the request: {errno}{}", Explained { text: text.as_deref(), offset: *offset })]
    Refused {
        /// Why, as a number.
        errno: Errno,
        /// Why, in the kernel's words, where it has any.
        text: Option<Box<str>>,
        /// Offset of the bad attribute in the request, bytes.
        offset: Option<u32>,
    },
    /// The messages are larger than the socket can send at once (EMSGSIZE). Nothing was sent.
    #[error(
        "{bytes} bytes are too many for one send of at most {capacity}; send smaller parts, or \
         raise net.core.wmem_max"
    )]
    TooLarge {
        /// Bytes that were to be sent.
        bytes: usize,
        /// Bytes that can be sent at once.
        capacity: usize,
    },
    /// A message has an attribute of 64 KiB or more, which netlink can't express. Nothing was sent.
    #[error("message {index} of the batch has an attribute of 64 KiB or more; nothing was sent")]
    Oversized {
        /// The message's number in the batch, counted from 0.
        index: u32,
    },
    /// What was being read changed meanwhile (`NLM_F_DUMP_INTR`): what was read is no consistent
    /// state. Read it again.
    #[error("the kernel's objects changed while they were read; read them again")]
    Interrupted,
    /// Messages were lost (ENOBUFS): what is known about the kernel is out of date. Read it again.
    #[error(
        "the kernel dropped messages because the receive buffer was full; read the state again"
    )]
    Resync,
    /// The kernel did not answer.
    #[error("the kernel did not answer within {seconds} s")]
    NoAnswer {
        /// How long we waited, seconds.
        seconds: u64,
    },
    /// The kernel sent a message that can't be read.
    #[error("unreadable message from the kernel")]
    Message(#[from] MessageError),
    /// The kernel sent an attribute that can't be read.
    #[error("unreadable attribute from the kernel")]
    Attribute(#[from] AttrError),
    /// The kernel left out an attribute that it always sends.
    #[error("the kernel's {object} has no {attribute}")]
    Missing {
        /// Which object.
        object: &'static str,
        /// Which attribute.
        attribute: &'static str,
    },
    /// A system call failed.
    #[error("{doing}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(doing: &'static str, source: io::Error) -> Self {
        match Errno::of(&source) {
            Errno::PERM => Self::Permission { doing },
            Errno::NOBUFS => Self::Resync,
            _ => Self::Io { doing, source },
        }
    }

    /// The kernel's error number, where there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::NoProtocol { .. } => Some(Errno::PROTONOSUPPORT),
            Self::Permission { .. } => Some(Errno::PERM),
            Self::Refused { errno, .. } => Some(*errno),
            Self::TooLarge { .. } => Some(Errno::MSGSIZE),
            Self::Resync => Some(Errno::NOBUFS),
            Self::Io { source, .. } => source.raw_os_error().map(Errno),
            _ => None,
        }
    }

    /// True where this kernel lacks the thing asked for.
    pub fn is_unsupported(&self) -> bool {
        self.errno().is_some_and(Errno::is_unsupported)
    }

    /// True where reading again is all that is needed.
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Interrupted | Self::Resync)
    }
}

/// Prints the extended acknowledgement behind an error number.
pub(crate) struct Explained<'a> {
    pub(crate) text: Option<&'a str>,
    pub(crate) offset: Option<u32>,
}

impl std::fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(text) = self.text {
            write!(f, " ({text})")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        Ok(())
    }
}

/// Reads until it succeeds with a consistent state, at most `attempts` times.
///
/// `read` starts from nothing each time. The last error is returned as it is, and any error that
/// reading again doesn't mend is returned at once.
pub fn retry_stale<R>(
    attempts: u32,
    mut read: impl FnMut() -> Result<R, Error>,
) -> Result<R, Error> {
    let mut left = attempts.max(1);
    loop {
        left -= 1;
        match read() {
            Err(error) if error.is_stale() && left > 0 => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_reads_are_retried_and_bounded() {
        let mut calls = 0;
        let result = retry_stale(5, || {
            calls += 1;
            if calls < 3 {
                Err(Error::Interrupted)
            } else {
                Ok(calls)
            }
        });
        assert_eq!(result.unwrap(), 3);

        let mut calls = 0;
        let result: Result<(), _> = retry_stale(4, || {
            calls += 1;
            Err(Error::Resync)
        });
        assert!(matches!(result, Err(Error::Resync)));
        assert_eq!(calls, 4);
    }

    #[test]
    fn other_errors_are_not_retried() {
        let mut calls = 0;
        let result: Result<(), _> = retry_stale(4, || {
            calls += 1;
            Err(Error::Permission { doing: "reading" })
        });
        assert!(result.is_err());
        assert_eq!(calls, 1);
    }

    #[test]
    fn messages_say_what_to_do() {
        let permission = Error::io("opening", io::Error::from_raw_os_error(Errno::PERM.raw()));
        assert!(
            permission.to_string().contains("CAP_NET_ADMIN"),
            "{permission}"
        );
        let refused = Error::Refused {
            errno: Errno::NOENT,
            text: Some("Could not process rule".into()),
            offset: Some(36),
        };
        assert_eq!(
            refused.to_string(),
            "the kernel refused the request: ENOENT: No such file or directory (Could not process \
             rule) at byte 36"
        );
        let unsupported = Error::Refused {
            errno: Errno::OPNOTSUPP,
            text: None,
            offset: None,
        };
        assert!(unsupported.is_unsupported() && !refused.is_unsupported());
        assert!(Error::NoProtocol { protocol: 12 }.is_unsupported());
    }
}
