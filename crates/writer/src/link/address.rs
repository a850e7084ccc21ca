//! Addresses on links (`linux/if_addr.h`).

use std::net::IpAddr;

use netlink_batch::message::flags;
use netlink_batch::{Batch, Errno, Error, Message, Socket};

use super::Index;

pub(crate) const NEW: u16 = 20;
pub(crate) const DELETE: u16 = 21;
const GET: u16 = 22;

/// IPv4: the peer, which is the address itself but on point-to-point links. IPv6: the address.
const ADDRESS: u16 = 1;
/// The address.
const LOCAL: u16 = 2;

const INET: u8 = 2;
const INET6: u8 = 10;

/// Bytes of `struct ifaddrmsg`.
const HEADER: usize = 8;

/// `EADDRNOTAVAIL`: the address is not there.
const NOT_THERE: Errno = Errno(99);
/// `ENXIO`, as some kernels say in its place.
const NXIO: Errno = Errno(6);

/// An address on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assigned {
    /// The link.
    pub(crate) link: u32,
    /// The address.
    pub(crate) address: IpAddr,
    /// The length of its prefix.
    pub(crate) prefix: u8,
}

impl Assigned {
    /// True for an address without others beside it: /32 or /128.
    pub(crate) const fn is_host(&self) -> bool {
        self.prefix == host_prefix(&self.address)
    }

    /// Reads a message about an address. `None` where it is about one of another family.
    pub(crate) fn read(message: &Message<'_>) -> Result<Option<Self>, Error> {
        let (header, attrs) = message.split::<HEADER>()?;
        let [family, prefix, _, _, a, b, c, d] = *header;
        let (mut address, mut local) = (None, None);
        for attr in attrs {
            let attr = attr?;
            match attr.kind {
                ADDRESS => address = address_of(family, attr.payload),
                LOCAL => local = address_of(family, attr.payload),
                _ => {}
            }
        }
        let link = u32::from_ne_bytes([a, b, c, d]);
        Ok(local.or(address).map(|address| Self {
            link,
            address,
            prefix,
        }))
    }
}

/// Adds a message that gives a link an address without others beside it. The kernel answers
/// EEXIST where it has it, ENODEV where there is no such link.
pub(crate) fn add<T>(batch: &mut Batch<T>, link: Index, address: &IpAddr, ack: u16) {
    write(batch, NEW, flags::CREATE | flags::EXCL | ack, link, address);
}

/// Adds a message that takes such an address away; see [`is_gone`].
pub(crate) fn delete<T>(batch: &mut Batch<T>, link: Index, address: &IpAddr, ack: u16) {
    write(batch, DELETE, ack, link, address);
}

/// True where the kernel's answer to a deletion says that there is nothing to delete.
pub(crate) fn is_gone(errno: Errno) -> bool {
    [NOT_THERE, NXIO, super::NODEV].contains(&errno)
}

/// Hands all addresses on all links to `each`.
pub(crate) fn list(socket: &mut Socket, mut each: impl FnMut(Assigned)) -> Result<(), Error> {
    socket.dump(
        GET,
        &[0; HEADER],
        |_| {},
        |message| {
            if message.kind == NEW
                && let Some(assigned) = Assigned::read(&message)?
            {
                each(assigned);
            }
            Ok(())
        },
    )
}

fn write<T>(batch: &mut Batch<T>, kind: u16, flags: u16, link: Index, address: &IpAddr) {
    let [a, b, c, d] = link.get().to_ne_bytes();
    let family = match address {
        IpAddr::V4(_) => INET,
        IpAddr::V6(_) => INET6,
    };
    let header = [family, host_prefix(address), 0, 0, a, b, c, d];
    batch.message(kind, flags, &header, |attrs| match address {
        IpAddr::V4(address) => attrs.bytes(LOCAL, &address.octets()),
        IpAddr::V6(address) => attrs.bytes(LOCAL, &address.octets()),
    });
}

const fn host_prefix(address: &IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn address_of(family: u8, payload: &[u8]) -> Option<IpAddr> {
    match family {
        INET => <[u8; 4]>::try_from(payload).ok().map(IpAddr::from),
        INET6 => <[u8; 16]>::try_from(payload).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut batch = Batch::<()>::new();
        let link = Index::new(7).unwrap();
        let addresses = ["10.1.0.20", "fd00:10:1::80"].map(|text| text.parse().unwrap());
        for address in &addresses {
            add(&mut batch, link, address, 0);
            delete(&mut batch, link, address, flags::ACK);
        }
        let read = batch.messages().map(|message| {
            let assigned = Assigned::read(&message).unwrap().unwrap();
            assert!(assigned.is_host() && assigned.link == 7);
            (message.kind, assigned.address)
        });
        let [v4, v6] = addresses;
        assert_eq!(
            read.collect::<Vec<_>>(),
            [(NEW, v4), (DELETE, v4), (NEW, v6), (DELETE, v6)]
        );
    }
}
