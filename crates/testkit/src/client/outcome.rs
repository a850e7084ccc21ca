//! What became of one attempt.

use crate::error::Error;
use crate::wire::Answer;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// One attempt and how long it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Who answered, or why nobody did.
    pub result: Result<Answer, Failure>,
    /// From the first system call to the last byte of the answer or to the failure.
    pub elapsed: Duration,
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// RST on SYN, or an ICMP port or protocol unreachable: nothing listens, or REJECT.
    Refused,
    /// Nothing came back in time: dropped on the way.
    TimedOut,
    /// An open connection was reset.
    Reset,
    /// The connection was closed in order before an answer.
    Closed,
    /// No route, here or on the way (ICMP host or network unreachable, administratively prohibited).
    Unreachable,
    /// The answer came and was nonsense.
    Garbled(String),
    /// Any other error of the socket, in the kernel's words.
    Other(String),
}

impl Attempt {
    pub(super) fn measure(attempt: impl FnOnce() -> Result<Answer, Failure>) -> Self {
        let start = Instant::now();
        let result = attempt();
        Self {
            result,
            elapsed: start.elapsed(),
        }
    }

    /// Whether somebody answered.
    pub fn is_answered(&self) -> bool {
        self.result.is_ok()
    }

    /// The failure, if it failed.
    pub fn failure(&self) -> Option<&Failure> {
        self.result.as_ref().err()
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::TimedOut,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => Self::Reset,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Garbled(error.to_string())
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Reset => f.write_str("reset"),
            Self::Closed => f.write_str("closed without an answer"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Garbled(why) | Self::Other(why) => f.write_str(why),
        }
    }
}
