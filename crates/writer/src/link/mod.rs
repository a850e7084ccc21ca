//! Links by name and kind, and the addresses on them (`linux/rtnetlink.h`, `linux/if_link.h`).

pub(crate) mod address;

use std::num::NonZeroU32;

use netlink_batch::message::flags;
use netlink_batch::{Attrs, Errno, Error, Message, Socket};

pub(crate) const NEW: u16 = 16;
pub(crate) const DELETE: u16 = 17;
const GET: u16 = 18;

const NAME: u16 = 3;
const INFO: u16 = 18;
const INFO_KIND: u16 = 1;

/// No such device.
pub(crate) const NODEV: Errno = Errno(19);
/// Bytes of `struct ifinfomsg`.
const HEADER: usize = 16;
/// Where the index stands in it.
const INDEX_AT: usize = 4;

/// A link's number in its network namespace.
pub(crate) type Index = NonZeroU32;

/// The link of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is none.
    Nothing,
    /// It is of the kind that was asked for.
    Link(Index),
    /// It is of another kind, so it is somebody else's.
    OtherKind,
}

/// Looks for the link of this name and kind.
pub(crate) fn find(socket: &mut Socket, name: &str, kind: &str) -> Result<Found, Error> {
    let mut found = Found::Nothing;
    let result = socket.request(
        GET,
        0,
        &[0; HEADER],
        |attrs| attrs.str(NAME, name),
        |message| {
            if message.kind == NEW {
                found = read(&message, kind)?;
            }
            Ok(())
        },
    );
    match result {
        Err(error) if error.errno() == Some(NODEV) => Ok(Found::Nothing),
        result => result.map(|()| found),
    }
}

/// Makes a link that needs nothing but a name and a kind. It is down.
pub(crate) fn create(socket: &mut Socket, name: &str, kind: &str) -> Result<(), Error> {
    let fill = |attrs: &mut netlink_batch::AttrWriter<'_>| {
        attrs.str(NAME, name);
        attrs.nest(INFO, |info| info.str(INFO_KIND, kind));
    };
    let flags = flags::CREATE | flags::EXCL;
    socket.request(NEW, flags, &[0; HEADER], fill, |_| Ok(()))
}

/// Removes the link of this name if it is of this kind.
pub(crate) fn remove(socket: &mut Socket, name: &str, kind: &str) -> Result<(), Error> {
    let Found::Link(index) = find(socket, name, kind)? else {
        return Ok(());
    };
    let mut header = [0; HEADER];
    header[INDEX_AT..INDEX_AT + 4].copy_from_slice(&index.get().to_ne_bytes());
    match socket.request(DELETE, 0, &header, |_| {}, |_| Ok(())) {
        Err(error) if error.errno() == Some(NODEV) => Ok(()),
        result => result,
    }
}

/// The index and the name that a message about a link tells.
pub(crate) fn told<'a>(message: &Message<'a>) -> Result<(u32, Option<&'a str>), Error> {
    let (header, attrs) = message.split::<HEADER>()?;
    let mut name = None;
    for attr in attrs {
        let attr = attr?;
        if attr.kind == NAME {
            name = Some(attr.str()?);
        }
    }
    Ok((index_in(header), name))
}

fn read(message: &Message<'_>, kind: &str) -> Result<Found, Error> {
    let (header, attrs) = message.split::<HEADER>()?;
    let index = Index::new(index_in(header));
    Ok(match index {
        Some(index) if kind_of(attrs)? == Some(kind) => Found::Link(index),
        _ => Found::OtherKind,
    })
}

fn index_in(header: &[u8; HEADER]) -> u32 {
    let [_, _, _, _, a, b, c, d, ..] = *header;
    u32::from_ne_bytes([a, b, c, d])
}

/// Links that no driver made, such as network cards, have no kind.
fn kind_of(attrs: Attrs<'_>) -> Result<Option<&str>, Error> {
    for attr in attrs {
        let attr = attr?;
        if attr.kind == INFO {
            for attr in attr.nested() {
                let attr = attr?;
                if attr.kind == INFO_KIND {
                    return Ok(Some(attr.str()?));
                }
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use netlink_batch::socket::ROUTE;
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn only_a_link_of_the_right_kind_is_found_and_removed() {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).unwrap();
                let ip = |line: &str| Command::new("ip").args(line.split(' ')).output().unwrap();
                let there = || ip("link show kube-ipvs0").status.success();
                let mut socket = Socket::open(ROUTE).unwrap();
                let mut found = |kind| find(&mut socket, "kube-ipvs0", kind).unwrap();
                assert_eq!(found("dummy"), Found::Nothing);
                assert!(ip("link add kube-ipvs0 type bridge").status.success());
                assert_eq!(found("dummy"), Found::OtherKind);
                assert!(matches!(found("bridge"), Found::Link(_)));
                remove(&mut socket, "kube-ipvs0", "dummy").unwrap();
                assert!(there());
                let lo = find(&mut socket, "lo", "bridge").unwrap();
                assert_eq!(lo, Found::OtherKind);
                remove(&mut socket, "kube-ipvs0", "bridge").unwrap();
                assert!(!there());
                remove(&mut socket, "kube-ipvs0", "bridge").unwrap();
                create(&mut socket, "kube-ipvs0", "bridge").unwrap();
                assert!(there());
                let again = create(&mut socket, "kube-ipvs0", "bridge").unwrap_err();
                assert_eq!(again.errno(), Some(Errno::EXIST));
            });
        });
    }
}
