//! Why the kernel refuses requests.

use std::fmt;

use netlink_batch::Errno;

use crate::uapi::command;

/// `ESRCH`: how the kernel says that there is no such virtual server.
pub(crate) const NO_SERVER: Errno = Errno(3);
/// `ERANGE`.
const OUT_OF_RANGE: Errno = Errno(34);

/// Why the kernel refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The virtual server or destination exists already (EEXIST).
    Exists,
    /// There is no such virtual server (ESRCH).
    NoServer,
    /// The virtual server has no such destination (ENOENT).
    NoDestination,
    /// The kernel has no such scheduler or persistence engine, or can't load it (ENOENT).
    NoModule,
    /// The kernel's IPVS has no such IP family (EAFNOSUPPORT).
    NoFamily,
    /// A value that the kernel doesn't take (EINVAL, ERANGE): a destination that is no unicast
    /// address, any IPv4 destination where the network namespace's loopback was never up.
    Invalid,
    /// `CAP_NET_ADMIN` is missing (EPERM).
    Permission,
    /// Anything else.
    Other(Errno),
}

impl Reason {
    /// What an error number means as an answer to this command.
    pub(crate) fn of(errno: Errno, command: Option<u8>) -> Self {
        match (errno, command) {
            (Errno::EXIST, _) => Self::Exists,
            (NO_SERVER, _) => Self::NoServer,
            (Errno::NOENT, Some(command::SET_DEST | command::DEL_DEST)) => Self::NoDestination,
            (Errno::NOENT, Some(command::NEW_SERVICE | command::SET_SERVICE)) => Self::NoModule,
            (Errno::AFNOSUPPORT, _) => Self::NoFamily,
            (Errno::INVAL | OUT_OF_RANGE, _) => Self::Invalid,
            (Errno::PERM, _) => Self::Permission,
            (errno, _) => Self::Other(errno),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exists => "it exists already",
            Self::NoServer => "there is no such virtual server",
            Self::NoDestination => "the virtual server has no such destination",
            Self::NoModule => {
                "the kernel has no such scheduler or persistence engine; load its module, as with \
                 modprobe ip_vs_SCHEDULER"
            }
            Self::NoFamily => "this kernel's IPVS has no such IP family",
            Self::Invalid => {
                "the kernel does not take one of its values; destinations are unicast addresses, \
                 and loopback must have been up"
            }
            Self::Permission => "CAP_NET_ADMIN is missing",
            Self::Other(errno) => return errno.fmt(f),
        })
    }
}
