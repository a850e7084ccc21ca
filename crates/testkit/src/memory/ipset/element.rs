//! Elements, several in a message: those before a refused one stay as they were changed.

use std::net::IpAddr;

use netlink_batch::message::{HEADER_LEN, flags::EXCL, kind};
use netlink_batch::{Attrs, Errno};
use nfnetlink::ipset::{Entry, IpPort, Kind};

use super::uapi::{self, attr, command};
use super::{Content, Sets, Size};
use crate::memory::answer::{Answered, Delivery, Refused, reply};
use crate::memory::fields::{Field, Fields, Request};

impl Sets {
    pub(super) fn elements(
        &mut self,
        port: u32,
        request: &Request<'_>,
        fields: &Fields<'_>,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<Answered, Refused> {
        let alone = fields.get(attr::DATA);
        let several = fields.get(attr::ELEMENTS);
        let line = fields.get(attr::LINE);
        // One of both, and several with a line to tell the refused one by.
        if alone.is_some() == several.is_some() || (several.is_some() && line.is_none()) {
            return Err(uapi::protocol());
        }
        let index = self.named(fields)?;
        let Some(set) = self.sets.get_mut(&index) else {
            return Err(Refused::errno(Errno::NOENT));
        };
        let list: Vec<Field<'_>> = match (alone, several) {
            (Some(alone), _) => vec![alone],
            (_, Some(several)) => several.fields()?.iter().collect(),
            _ => Vec::new(),
        };
        let adds = request.kind & 0xff == command::ADD;
        let strict = request.flags & EXCL != 0;
        for element in list {
            let data = element.fields()?;
            // What can't be parsed is told of the whole message.
            if !data.iter().all(|it| knows(set.content.kind, it.kind)) {
                return Err(uapi::protocol());
            }
            let result = set.content.change(element, adds, strict);
            let Err(errno) = result else { continue };
            if let (Some(line), Some(number)) = (line, data.get(attr::LINE)) {
                let refused = judged(port, request, errno, line, number.payload);
                deliveries.push(Delivery::answer(port, refused));
                // No other verdict comes.
                return Ok(Answered::Dumping);
            }
            return Err(Refused::errno(errno));
        }
        Ok(Answered::Done)
    }
}

/// A refusal with the whole message, the refused element's line written into it.
fn judged(
    port: u32,
    request: &Request<'_>,
    errno: Errno,
    line: Field<'_>,
    number: &[u8],
) -> Vec<u8> {
    let mut fixed = (-errno.raw()).to_ne_bytes().to_vec();
    fixed.extend_from_slice(&request.header);
    fixed.extend_from_slice(request.payload);
    let at = 4 + line.offset + 4;
    if let Some(place) = fixed.get_mut(at..at + number.len()) {
        place.copy_from_slice(number);
    }
    let len = fixed.len().next_multiple_of(4);
    fixed.resize(len, 0);
    debug_assert!(line.offset >= HEADER_LEN, "behind the header");
    reply(port, request.seq, kind::ERROR, 0, &fixed, |_| {})
}

impl Content {
    fn change(&mut self, element: Field<'_>, adds: bool, strict: bool) -> Result<(), Errno> {
        let shape = uapi::protocol().errno;
        let entry = Entry::read(self.kind, Attrs::new(element.payload));
        let entry = entry.ok().flatten().filter(|it| self.takes(it));
        let entry = entry.ok_or(shape)?;
        let entry = self.check(entry)?;
        if !adds {
            return if self.elements.remove(&entry) || !strict {
                Ok(())
            } else {
                Err(uapi::EXIST)
            };
        }
        if self.elements.contains(&entry) {
            return if strict { Err(uapi::EXIST) } else { Ok(()) };
        }
        if let Size::Hash { most, .. } = self.size
            && self.elements.len() >= most as usize
        {
            return Err(uapi::FULL_OR_RANGE);
        }
        self.elements.insert(entry);
        Ok(())
    }

    /// True where the element's addresses are of the set's family.
    fn takes(&self, entry: &Entry) -> bool {
        let is = |address: IpAddr| address.is_ipv6() == (self.family == 10);
        match entry {
            Entry::Port(_) => self.kind == Kind::BitmapPort,
            Entry::Ip(address) => is(*address),
            Entry::Net(net) => is(net.addr()),
            Entry::IpPort(it) => is(it.address),
            Entry::IpPortIp(it, address) => is(it.address) && is(*address),
            Entry::IpPortNet(it, net) => is(it.address) && is(net.addr()),
            _ => false,
        }
    }

    /// The element as the kernel keeps it.
    fn check(&self, entry: Entry) -> Result<Entry, Errno> {
        let net = |prefix| {
            if prefix == 0 {
                Err(uapi::INVALID_PREFIX)
            } else {
                Ok(())
            }
        };
        match (entry, self.size) {
            (Entry::Port(port), Size::Ports { first, last }) if !(first..=last).contains(&port) => {
                return Err(uapi::FULL_OR_RANGE);
            }
            (Entry::Net(it) | Entry::IpPortNet(_, it), _) => net(it.prefix_len())?,
            _ => {}
        }
        Ok(match entry {
            Entry::IpPort(it) => Entry::IpPort(transport(it)?),
            Entry::IpPortIp(it, address) => Entry::IpPortIp(transport(it)?, address),
            Entry::IpPortNet(it, net) => Entry::IpPortNet(transport(it)?, net),
            entry => entry,
        })
    }
}

/// True for an attribute that elements of the type have.
fn knows(kind: Kind, attribute: u16) -> bool {
    const IP: u16 = 1;
    const CIDR: u16 = 3;
    const PORT: u16 = 4;
    const PROTO: u16 = 7;
    const IP2: u16 = 20;
    const CIDR2: u16 = 21;
    let of_kind: &[u16] = match kind {
        Kind::BitmapPort => &[PORT],
        Kind::HashIp | Kind::HashNet => &[IP, CIDR],
        Kind::HashIpPort => &[IP, CIDR, PORT, PROTO],
        Kind::HashIpPortIp => &[IP, CIDR, PORT, PROTO, IP2],
        Kind::HashIpPortNet => &[IP, CIDR, PORT, PROTO, IP2, CIDR2],
        _ => &[],
    };
    attribute == attr::LINE || of_kind.contains(&attribute)
}

/// Only these protocols have ports, or types in their place.
fn transport(it: IpPort) -> Result<IpPort, Errno> {
    match it.protocol {
        0 => Err(uapi::INVALID_PROTO),
        1 | 6 | 17 | 58 | 132 | 136 => Ok(it),
        _ => Ok(IpPort { port: 0, ..it }),
    }
}
