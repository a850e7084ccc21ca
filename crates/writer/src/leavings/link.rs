//! One link by name and kind (`linux/rtnetlink.h`, `linux/if_link.h`).

use netlink_batch::{Attrs, Errno, Error, Message, Socket};

const NEW: u16 = 16;
const DELETE: u16 = 17;
const GET: u16 = 18;

const NAME: u16 = 3;
const INFO: u16 = 18;
const INFO_KIND: u16 = 1;

/// No such device.
const NODEV: Errno = Errno(19);
/// Bytes of `struct ifinfomsg`.
const HEADER: usize = 16;
/// Where the index stands in it.
const INDEX_AT: usize = 4;

/// The index of the link of this name, if it is of this kind.
pub(super) fn find(socket: &mut Socket, name: &str, kind: &str) -> Result<Option<[u8; 4]>, Error> {
    let mut found = None;
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
        Err(error) if error.errno() == Some(NODEV) => Ok(None),
        result => result.map(|()| found),
    }
}

/// Removes the link of this name if it is of this kind.
pub(super) fn remove(socket: &mut Socket, name: &str, kind: &str) -> Result<(), Error> {
    let Some(index) = find(socket, name, kind)? else {
        return Ok(());
    };
    let mut header = [0; HEADER];
    header[INDEX_AT..INDEX_AT + 4].copy_from_slice(&index);
    match socket.request(DELETE, 0, &header, |_| {}, |_| Ok(())) {
        Err(error) if error.errno() == Some(NODEV) => Ok(()),
        result => result,
    }
}

fn read(message: &Message<'_>, kind: &str) -> Result<Option<[u8; 4]>, Error> {
    let (header, attrs) = message.split::<HEADER>()?;
    let [_, _, _, _, a, b, c, d, ..] = *header;
    Ok((kind_of(attrs)? == Some(kind)).then_some([a, b, c, d]))
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
                assert!(ip("link add kube-ipvs0 type bridge").status.success());
                let mut socket = Socket::open(ROUTE).unwrap();
                assert_eq!(find(&mut socket, "kube-ipvs0", "dummy").unwrap(), None);
                remove(&mut socket, "kube-ipvs0", "dummy").unwrap();
                assert!(there());
                assert_eq!(find(&mut socket, "lo", "bridge").unwrap(), None);
                assert!(find(&mut socket, "kube-ipvs0", "bridge").unwrap().is_some());
                remove(&mut socket, "kube-ipvs0", "bridge").unwrap();
                assert!(!there());
                remove(&mut socket, "kube-ipvs0", "bridge").unwrap();
            });
        });
    }
}
