//! The one error of the test kit. Its `Debug` is its `Display`, so that `unwrap()` and `?` in a
//! test print a sentence.

use std::fmt;
use std::io;
use std::time::Duration;

/// A result of the test kit.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong while preparing or driving a test.
#[derive(thiserror::Error)]
pub enum Error {
    /// Namespaces can't be made by this user.
    #[error(
        "these tests need network namespaces of their own ({source}): run them as root, or as \
         `unshare -rUn --map-root-user cargo test …`; in a container add CAP_SYS_ADMIN, \
         CAP_NET_ADMIN, CAP_NET_RAW and a writable /proc/sys"
    )]
    Privileges {
        /// What the kernel answered.
        source: io::Error,
    },
    /// A system call or file operation failed.
    #[error("{what}: {source}")]
    Io {
        /// The operation and its object.
        what: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A program could be started but failed.
    #[error("`{command}` failed in namespace {namespace} ({status}): {stderr}")]
    Command {
        /// Program and arguments.
        command: String,
        /// Where it ran.
        namespace: String,
        /// Its exit status in words.
        status: String,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// A world was asked for something that its builder wasn't told of.
    #[error("the test world has no {what}; declare it on the builder before build()")]
    NotInWorld {
        /// The missing object.
        what: String,
    },
    /// An address doesn't fit where it was put.
    #[error("{what} isn't usable here: {why}")]
    Address {
        /// The text or address.
        what: String,
        /// The rule that it breaks.
        why: String,
    },
    /// A peer sent something unreadable.
    #[error("{what}: {why}")]
    Malformed {
        /// What was read.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The API server refused or couldn't be asked.
    #[error("{what}: {source}")]
    Api {
        /// The request and its object.
        what: String,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// A real component isn't there.
    #[error(
        "no {program} in {searched}; run `VIPRULE_COMPONENTS=$(scripts/components)` first and \
         export it"
    )]
    NoComponent {
        /// The missing program.
        program: String,
        /// Where it was looked for.
        searched: String,
    },
    /// The viprule program isn't there.
    #[error("no viprule binary in {searched}; run `cargo build -p viprule` or set VIPRULE_BIN")]
    NoBinary {
        /// Paths that were looked at.
        searched: String,
    },
    /// Something that was waited for didn't happen.
    #[error("waited {waited:?} for {what}, in vain{context}")]
    Deadline {
        /// What was expected.
        what: String,
        /// How long.
        waited: Duration,
        /// The last that was seen, on lines of its own; empty if nothing.
        context: String,
    },
}

impl Error {
    /// Names the operation that an I/O error belongs to; used as `map_err(Error::io("…"))`.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Same for requests to the API server.
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api {
            what,
            source: Box::new(source),
        }
    }

    /// Same for errors of the `nix` crate.
    pub(crate) fn errno(what: impl Into<String>) -> impl FnOnce(nix::Error) -> Self {
        let what = what.into();
        move |errno| Self::Io {
            what,
            source: errno.into(),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
