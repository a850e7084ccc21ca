//! IP sets (`linux/netfilter/ipset/ip_set.h`): listing them by name and type, and destroying them.
//!
//! A set is referred to by rules; the kernel destroys none that a rule still uses.

use netlink_batch::message::flags;
use netlink_batch::{AttrWriter, Errno, Error as Netlink, Message, Socket};

use crate::nfgenmsg;

/// `NFNL_SUBSYS_IPSET` in the high byte of a message type.
const SUBSYSTEM: u16 = 6 << 8;
const DESTROY: u16 = SUBSYSTEM | 3;
const LIST: u16 = SUBSYSTEM | 7;

const PROTOCOL: u16 = 1;
const NAME: u16 = 2;
const TYPE: u16 = 3;
const FLAGS: u16 = 6;

/// `IPSET_PROTOCOL_MIN`: what every kernel speaks.
const VERSION: u8 = 6;
/// `IPSET_FLAG_LIST_HEADER`: without the elements.
const HEADERS_ONLY: u32 = 1 << 2;
/// `IPSET_ERR_BUSY`.
const BUSY: Errno = Errno(4100);

/// Bytes of a set's name at most (`IPSET_MAXNAMELEN` without the NUL).
pub const NAME_MAX: usize = 31;

/// A set as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type, such as `hash:ip,port`.
    pub kind: &'a str,
}

impl<'a> Set<'a> {
    /// Reads an answer to a listing. A set's elements may come in several: only the first one has
    /// the type, so the others are `None`.
    pub fn read(message: &Message<'a>) -> Result<Option<Self>, Netlink> {
        let (_, attrs) = message.split::<4>()?;
        let (mut name, mut kind) = (None, None);
        for attr in attrs {
            let attr = attr?;
            match attr.kind {
                NAME => name = Some(attr.str()?),
                TYPE => kind = Some(attr.str()?),
                _ => {}
            }
        }
        Ok(name.zip(kind).map(|(name, kind)| Self { name, kind }))
    }
}

/// A failed request about sets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has no IP sets.
    #[error("this kernel has no IP sets (CONFIG_IP_SET)")]
    NotSupported,
    /// A rule or another set still uses the set.
    #[error("IP set {name} is still used by a rule or another set; delete that first")]
    Busy {
        /// The set's name.
        name: String,
    },
    /// Any other failure.
    #[error(transparent)]
    Netlink(#[from] Netlink),
}

/// Hands each set to `each`, without its elements.
pub fn sets(socket: &mut Socket, mut each: impl FnMut(Set<'_>)) -> Result<(), Error> {
    let fill = |attrs: &mut AttrWriter<'_>| {
        attrs.u8(PROTOCOL, VERSION);
        attrs.u32_be(FLAGS, HEADERS_ONLY);
    };
    let result = socket.dump(LIST, &nfgenmsg(2), fill, |message| {
        if message.kind == LIST
            && let Some(set) = Set::read(&message)?
        {
            each(set);
        }
        Ok(())
    });
    result.map_err(unsupported)
}

/// Destroys a set with all its elements; false if it does not exist.
pub fn destroy(socket: &mut Socket, name: &str) -> Result<bool, Error> {
    // Without a name the kernel would destroy every set.
    if name.is_empty() || name.len() > NAME_MAX || name.contains('\0') {
        return Ok(false);
    }
    let fill = |attrs: &mut AttrWriter<'_>| {
        attrs.u8(PROTOCOL, VERSION);
        attrs.str(NAME, name);
    };
    match socket.request(DESTROY, flags::EXCL, &nfgenmsg(2), fill, |_| Ok(())) {
        Ok(()) => Ok(true),
        Err(error) => match error.errno() {
            Some(Errno::NOENT) => Ok(false),
            Some(BUSY | Errno::BUSY) => Err(Error::Busy { name: name.into() }),
            _ => Err(unsupported(error)),
        },
    }
}

fn unsupported(error: Netlink) -> Error {
    match error.errno() {
        // A subsystem that is not there answers EINVAL, and our request itself is valid.
        Some(Errno::INVAL) => Error::NotSupported,
        Some(errno) if errno.is_unsupported() => Error::NotSupported,
        _ => Error::Netlink(error),
    }
}
