//! Named packet counters (`linux/netfilter/nfnetlink_acct.h`), which rules feed with
//! `-m nfacct --nfacct-name`.
//!
//! ```no_run
//! use nfnetlink::netlink_batch::{Socket, socket};
//! use nfnetlink::nfacct;
//!
//! let mut socket = Socket::open(socket::NETFILTER)?;
//! nfacct::ensure(&mut socket, "dropped")?;
//! if let Some(counter) = nfacct::get(&mut socket, "dropped")? {
//!     println!("{} packets, {} bytes", counter.packets, counter.bytes);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use netlink_batch::message::flags::{CREATE, EXCL};
use netlink_batch::{AttrError, Attrs, Errno, Error as Netlink, Socket};

use crate::nfgenmsg;

/// `NFNL_SUBSYS_ACCT` in the high byte of a message type.
const SUBSYSTEM: u16 = 7 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 3;

const NAME: u16 = 1;
const PACKETS: u16 = 2;
const BYTES: u16 = 3;

/// Bytes of a counter's name at most (`NFACCT_NAME_MAX` without the NUL).
pub const NAME_MAX: usize = 31;

/// What a counter has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A failed request for a counter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no nfacct; it refuses rules with `-m nfacct` as well.
    #[error("this kernel has no nfacct counters (CONFIG_NETFILTER_NETLINK_ACCT)")]
    NotSupported,
    /// The name is empty, holds a NUL or is longer than [`NAME_MAX`] bytes.
    #[error("{name:?} is no name for an nfacct counter: it takes 1 to {NAME_MAX} bytes")]
    Name {
        /// The name.
        name: String,
    },
    /// Rules still use the counter.
    #[error("nfacct counter {name} is still used by a rule; delete the rule first")]
    Busy {
        /// The counter's name.
        name: String,
    },
    /// Any other failure.
    #[error("nfacct counter {name}")]
    Netlink {
        /// The counter's name.
        name: String,
        /// What failed.
        #[source]
        source: Netlink,
    },
}

/// Creates the counter if it does not exist; one that exists keeps its count.
pub fn ensure(socket: &mut Socket, name: &str) -> Result<(), Error> {
    match ask(socket, NEW, CREATE | EXCL, name).map(|_| ()) {
        // Old kernels answer EBUSY where the counter is in use.
        Err(Error::Netlink { source, .. }) if source.errno() == Some(Errno::EXIST) => Ok(()),
        Err(Error::Busy { .. }) => Ok(()),
        result => result,
    }
}

/// What the counter has counted; `None` if it does not exist.
pub fn get(socket: &mut Socket, name: &str) -> Result<Option<Counter>, Error> {
    match ask(socket, GET, 0, name) {
        Err(Error::Netlink { source, .. }) if source.errno() == Some(Errno::NOENT) => Ok(None),
        result => result,
    }
}

/// Deletes the counter; false if it did not exist.
pub fn delete(socket: &mut Socket, name: &str) -> Result<bool, Error> {
    match ask(socket, DELETE, 0, name) {
        Err(Error::Netlink { source, .. }) if source.errno() == Some(Errno::NOENT) => Ok(false),
        result => result.map(|_| true),
    }
}

fn ask(socket: &mut Socket, op: u16, flags: u16, name: &str) -> Result<Option<Counter>, Error> {
    if name.is_empty() || name.len() > NAME_MAX || name.contains('\0') {
        return Err(Error::Name { name: name.into() });
    }
    let mut counter = None;
    let fill = |attrs: &mut netlink_batch::AttrWriter<'_>| attrs.str(NAME, name);
    let result = socket.request(op, flags, &nfgenmsg(0), fill, |message| {
        if message.kind == NEW {
            let (_, attrs) = message.split::<4>()?;
            counter = Some(read(attrs)?);
        }
        Ok(())
    });
    match result {
        Ok(()) => Ok(counter),
        Err(source) => Err(match source.errno() {
            // A subsystem that is not there answers EINVAL, and our request itself is valid.
            Some(Errno::INVAL) => Error::NotSupported,
            Some(errno) if errno.is_unsupported() => Error::NotSupported,
            Some(Errno::BUSY) => Error::Busy { name: name.into() },
            _ => Error::Netlink {
                name: name.into(),
                source,
            },
        }),
    }
}

fn read(attrs: Attrs<'_>) -> Result<Counter, AttrError> {
    let mut counter = Counter::default();
    for attr in attrs {
        let attr = attr?;
        match attr.kind {
            PACKETS => counter.packets = attr.u64_be()?,
            BYTES => counter.bytes = attr.u64_be()?,
            _ => {}
        }
    }
    Ok(counter)
}
