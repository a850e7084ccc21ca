//! Requests about whole sets.

use netlink_batch::message::flags;
use netlink_batch::{AttrWriter, Errno, Message, Socket};

use super::{
    DATA, Error, FAMILY, Kind, NAME, NAME2, NET_ORDER, PROTOCOL, REVISION, SUBSYSTEM, Spec, TYPE,
    VERSION, check_name,
};
use crate::{Family, nfgenmsg};

const ASK_PROTOCOL: u16 = SUBSYSTEM | 1;
const CREATE: u16 = SUBSYSTEM | 2;
const DESTROY: u16 = SUBSYSTEM | 3;
const FLUSH: u16 = SUBSYSTEM | 4;
const RENAME: u16 = SUBSYSTEM | 5;
const SWAP: u16 = SUBSYSTEM | 6;
const ASK_TYPE: u16 = SUBSYSTEM | 0xd;

/// `IPSET_ATTR_PROTOCOL_MIN` and `IPSET_ATTR_REVISION_MIN`.
const LOWEST: u16 = 10;
/// Attributes of what a set is made with.
pub(super) const PORT_FROM: u16 = 4;
pub(super) const PORT_TO: u16 = 5;
pub(super) const HASH_SIZE: u16 = 18;
pub(super) const MAX_ELEMENTS: u16 = 19;
/// `hashsize`: buckets to begin with; the kernel adds more as the set fills.
pub(super) const HASH_SIZE_AT_FIRST: u32 = 1024;

/// Versions of the protocol that the kernel speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// The oldest.
    pub min: u8,
    /// The newest: 6 before Linux 4.20, 7 since.
    pub max: u8,
}

/// Which versions of the protocol the kernel speaks.
pub fn protocol(socket: &mut Socket) -> Result<Protocol, Error> {
    let fill = |attrs: &mut AttrWriter<'_>| attrs.u8(PROTOCOL, VERSION);
    let (mut max, mut min) = (None, None);
    let result = socket.request(ASK_PROTOCOL, 0, &nfgenmsg(2), fill, |message| {
        if message.kind == ASK_PROTOCOL {
            (max, min) = bytes(&message, PROTOCOL)?;
        }
        Ok(())
    });
    result.map_err(Error::unsupported)?;
    let max = max.ok_or_else(|| missing("protocol", "version"))?;
    // Kernels before Linux 4.20 name no lowest version: they speak one.
    Ok(Protocol {
        min: min.unwrap_or(max),
        max,
    })
}

/// The newest revision of a type that both the kernel and this crate know.
///
/// The error [`Error::NoKind`] says that the kernel has no such type, or none of this family.
pub fn revision(socket: &mut Socket, kind: Kind, family: Option<Family>) -> Result<u8, Error> {
    let fill = |attrs: &mut AttrWriter<'_>| {
        attrs.u8(PROTOCOL, VERSION);
        attrs.str(TYPE, kind.name());
        attrs.u8(FAMILY, family.map_or(0, Family::number));
    };
    let (mut max, mut min) = (None, None);
    let result = socket.request(ASK_TYPE, 0, &nfgenmsg(2), fill, |message| {
        if message.kind == ASK_TYPE {
            (max, min) = bytes(&message, REVISION)?;
        }
        Ok(())
    });
    result.map_err(|error| Error::of_kind(kind, error))?;
    let max = max.ok_or_else(|| missing("set type", "revision"))?;
    Ok(max.min(kind.newest_revision()).max(min.unwrap_or(0)))
}

/// Makes a set without elements. One that exists and is made with the same `spec` stays as it is.
///
/// [`Error::Differs`] says that the name is taken by a set that is made with something else.
pub fn create(socket: &mut Socket, name: &str, spec: &Spec) -> Result<(), Error> {
    check_name(name)?;
    let (kind, family) = (spec.kind(), spec.family());
    let revision = revision(socket, kind, family)?;
    let fill = |attrs: &mut AttrWriter<'_>| put_spec(attrs, name, *spec, revision);
    let result = socket.request(CREATE, flags::CREATE, &nfgenmsg(2), fill, |_| Ok(()));
    result.map_err(|error| Error::of(name, error))
}

pub(super) fn put_spec(attrs: &mut AttrWriter<'_>, name: &str, spec: Spec, revision: u8) {
    attrs.u8(PROTOCOL, VERSION);
    attrs.str(NAME, name);
    attrs.str(TYPE, spec.kind().name());
    attrs.u8(REVISION, revision);
    attrs.u8(FAMILY, spec.family().map_or(0, Family::number));
    attrs.nest(DATA, |data| match spec {
        Spec::Hash { max_elements, .. } => {
            data.u32_be(HASH_SIZE | NET_ORDER, HASH_SIZE_AT_FIRST);
            data.u32_be(MAX_ELEMENTS | NET_ORDER, max_elements);
        }
        Spec::Ports { first, last } => {
            data.u16_be(PORT_FROM | NET_ORDER, first);
            data.u16_be(PORT_TO | NET_ORDER, last);
        }
    });
}

/// Destroys a set with all its elements; false if it does not exist.
pub fn destroy(socket: &mut Socket, name: &str) -> Result<bool, Error> {
    one(socket, DESTROY, name)
}

/// Removes all elements of a set; false if it does not exist.
pub fn flush(socket: &mut Socket, name: &str) -> Result<bool, Error> {
    one(socket, FLUSH, name)
}

/// Gives a set another name. The kernel renames no set that a rule uses: [`Error::Busy`].
pub fn rename(socket: &mut Socket, name: &str, new_name: &str) -> Result<(), Error> {
    check_name(name)?;
    check_name(new_name)?;
    two(socket, RENAME, name, new_name).map_err(|error| {
        if Error::is_about_second(&error) {
            Error::Exists {
                name: new_name.to_owned(),
            }
        } else {
            Error::of_two(name, new_name, error)
        }
    })
}

/// Exchanges the contents of two sets of the same type and family, at one stroke: what refers to
/// the one has the other's elements, size and other settings from then on.
pub fn swap(socket: &mut Socket, name: &str, other: &str) -> Result<(), Error> {
    check_name(name)?;
    check_name(other)?;
    two(socket, SWAP, name, other).map_err(|error| {
        if Error::is_about_second(&error) {
            Error::Missing {
                name: other.to_owned(),
            }
        } else {
            Error::of_two(name, other, error)
        }
    })
}

fn one(socket: &mut Socket, command: u16, name: &str) -> Result<bool, Error> {
    check_name(name)?;
    let fill = |attrs: &mut AttrWriter<'_>| {
        attrs.u8(PROTOCOL, VERSION);
        attrs.str(NAME, name);
    };
    match socket.request(command, flags::EXCL, &nfgenmsg(2), fill, |_| Ok(())) {
        Ok(()) => Ok(true),
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(false),
        Err(error) => Err(Error::of(name, error)),
    }
}

fn two(
    socket: &mut Socket,
    command: u16,
    name: &str,
    other: &str,
) -> Result<(), netlink_batch::Error> {
    let fill = |attrs: &mut AttrWriter<'_>| {
        attrs.u8(PROTOCOL, VERSION);
        attrs.str(NAME, name);
        attrs.str(NAME2, other);
    };
    socket.request(command, flags::EXCL, &nfgenmsg(2), fill, |_| Ok(()))
}

/// The attributes `highest` and [`LOWEST`] of an answer.
fn bytes(
    message: &Message<'_>,
    highest: u16,
) -> Result<(Option<u8>, Option<u8>), netlink_batch::Error> {
    let mut found = (None, None);
    for attr in message.split::<4>()?.1 {
        let attr = attr?;
        if attr.kind == highest {
            found.0 = Some(attr.u8()?);
        } else if attr.kind == LOWEST {
            found.1 = Some(attr.u8()?);
        }
    }
    Ok(found)
}

fn missing(object: &'static str, attribute: &'static str) -> Error {
    Error::Netlink(netlink_batch::Error::Missing { object, attribute })
}
