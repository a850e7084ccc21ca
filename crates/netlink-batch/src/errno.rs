//! Error numbers as the kernel sends them.

use std::fmt;

use nix::errno::Errno as Named;

/// An error number of the kernel, positive.
///
/// It prints as its name and meaning, as in `EPERM: Operation not permitted`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// Not allowed; a capability is missing.
    pub const PERM: Self = Self(Named::EPERM as i32);
    /// No such object.
    pub const NOENT: Self = Self(Named::ENOENT as i32);
    /// No memory.
    pub const NOMEM: Self = Self(Named::ENOMEM as i32);
    /// In use or referenced.
    pub const BUSY: Self = Self(Named::EBUSY as i32);
    /// Exists already.
    pub const EXIST: Self = Self(Named::EEXIST as i32);
    /// A value the kernel does not take.
    pub const INVAL: Self = Self(Named::EINVAL as i32);
    /// Too many links; `nf_tables` says so of jumps that are nested too deep or loop.
    pub const MLINK: Self = Self(Named::EMLINK as i32);
    /// A loop; `nf_tables` of Linux 5.10 says so of jumps.
    pub const LOOP: Self = Self(Named::ELOOP as i32);
    /// Restart; `nf_tables` says so where the generation has moved.
    pub const RESTART: Self = Self(Named::ERESTART as i32);
    /// The message is larger than the socket's send buffer.
    pub const MSGSIZE: Self = Self(Named::EMSGSIZE as i32);
    /// The kernel has no such netlink protocol.
    pub const PROTONOSUPPORT: Self = Self(Named::EPROTONOSUPPORT as i32);
    /// The kernel has no such operation, table family or hook.
    pub const OPNOTSUPP: Self = Self(Named::EOPNOTSUPP as i32);
    /// The kernel has no such address family.
    pub const AFNOSUPPORT: Self = Self(Named::EAFNOSUPPORT as i32);
    /// The receive buffer was full and messages were lost.
    pub const NOBUFS: Self = Self(Named::ENOBUFS as i32);

    /// The error number as `errno.h` has it.
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The error number of a failed system call, 0 where the error has none.
    pub fn of(error: &std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(0))
    }

    /// True where the number says that this kernel lacks the thing asked for
    /// (EOPNOTSUPP, EPROTONOSUPPORT, EAFNOSUPPORT), as against a wrong request.
    pub const fn is_unsupported(self) -> bool {
        matches!(
            self,
            Self::OPNOTSUPP | Self::PROTONOSUPPORT | Self::AFNOSUPPORT
        )
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Named::from_raw(self.0) {
            // ENOTSUPP never leaves the kernel by intent, so that libc has no name for it.
            Named::UnknownErrno if self.0 == 524 => write!(f, "ENOTSUPP: Not supported"),
            Named::UnknownErrno => write!(f, "error {}", self.0),
            named => write!(f, "{named}"),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Named::from_raw(self.0) {
            Named::UnknownErrno => write!(f, "Errno({})", self.0),
            named => write!(f, "{named:?}"),
        }
    }
}
