//! Links and addresses in memory (`net/core/rtnetlink.c`, `net/ipv4/devinet.c`,
//! `net/ipv6/addrconf.c`), as far as a service proxy uses them. Messages have fewer attributes than
//! the kernel's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netlink_batch::message::flags::{ACK, CREATE, DUMP, EXCL, MULTI};
use netlink_batch::socket::ROUTE;
use netlink_batch::{AttrWriter, Batch, Errno, Message};

use super::Sender;
use super::answer::{Answered, Delivery, Refused, To, reply};
use super::fields::Request;
use super::listing::Objects;

/// `RTM_*`.
const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
/// `RTNLGRP_*`.
const LINKS: u32 = 1;
const IPV4_ADDRESSES: u32 = 5;
const IPV6_ADDRESSES: u32 = 9;

/// Bytes of `struct ifinfomsg` and `struct ifaddrmsg`.
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
/// `IFLA_IFNAME`, `IFLA_LINKINFO`, `IFLA_INFO_KIND`.
const NAME: u16 = 3;
const INFO: u16 = 18;
const INFO_KIND: u16 = 1;
/// `IFA_ADDRESS`, `IFA_LOCAL`.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const IPV4: u8 = 2;
const IPV6: u8 = 10;

const NO_DEVICE: Errno = Errno(19);
const NO_ADDRESS: Errno = Errno(99);
/// Kinds of links that a kernel has.
const KINDS: [&str; 3] = ["dummy", "bridge", "veth"];

/// A link.
#[derive(Debug, Clone)]
struct Link {
    name: String,
    /// `None` for a link that no driver of virtual links made.
    kind: Option<String>,
}

/// An address on a link: its number, the address and the length of its prefix.
type Assigned = (u32, IpAddr, u8);

/// All links of a network namespace.
#[derive(Debug, Clone)]
pub(super) struct Links {
    all: BTreeMap<u32, Link>,
    addresses: Vec<Assigned>,
    last: u32,
    /// A number that every change raises.
    pub(super) version: u64,
}

impl Default for Links {
    fn default() -> Self {
        let loopback = Link {
            name: "lo".to_owned(),
            kind: None,
        };
        Self {
            all: BTreeMap::from([(1, loopback)]),
            addresses: Vec::new(),
            last: 1,
            version: 0,
        }
    }
}

/// True for a message that is to change a link or an address.
pub(super) fn is_change(message: &Message<'_>) -> bool {
    [NEW_LINK, DEL_LINK, NEW_ADDRESS, DEL_ADDRESS].contains(&message.kind)
}

impl Links {
    /// The addresses of the link of this name and kind; `None` where there is none.
    pub(super) fn addresses_of(
        &self,
        name: &str,
        kind: &str,
    ) -> Option<impl Iterator<Item = (IpAddr, u8)>> {
        let is = |link: &Link| link.name == name && link.kind.as_deref() == Some(kind);
        let (index, _) = self.all.iter().find(|(_, link)| is(link))?;
        let of = self.addresses.iter().filter(move |it| it.0 == *index);
        Some(of.map(|(_, address, prefix)| (*address, *prefix)))
    }

    /// The number of the link of this name.
    pub(super) fn index_of(&self, name: &str) -> Option<u32> {
        let mut links = self.all.iter();
        links.find(|(_, it)| it.name == name).map(|it| *it.0)
    }

    /// Answers a message that is no listing.
    pub(super) fn request(
        &mut self,
        sender: &Sender,
        request: &Request<'_>,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<Answered, Refused> {
        match request.kind {
            NEW_LINK => self.new_link(sender, request, deliveries)?,
            DEL_LINK => {
                let index = self.find(request)?;
                self.delete_link(sender, request.seq, index, deliveries);
            }
            GET_LINK => {
                let index = self.find(request)?;
                let datagram = self.link(sender.port, request.seq, NEW_LINK, 0, index);
                deliveries.push(Delivery::answer(sender.port, datagram));
                return Ok(Answered::Done);
            }
            NEW_ADDRESS | DEL_ADDRESS => self.change_address(sender, request, deliveries)?,
            _ => return Err(Refused::errno(Errno::OPNOTSUPP)),
        }
        Ok(Answered::Done)
    }

    /// True for what is answered by a listing.
    pub(super) fn lists(request: &Request<'_>) -> bool {
        [GET_LINK, GET_ADDRESS].contains(&request.kind) && request.flags & DUMP == DUMP
    }

    /// What a listing has.
    pub(super) fn objects(&self, port: u32, seq: u32, request: &Request<'_>) -> Objects {
        let messages = if request.kind == GET_LINK {
            let links = self.all.keys();
            links
                .map(|index| self.link(port, seq, NEW_LINK, MULTI, *index))
                .collect()
        } else {
            let family = request.family();
            let is = |it: &&Assigned| family == 0 || family == family_of(it.1);
            let addresses = self.addresses.iter().filter(is);
            addresses
                .map(|it| address(port, seq, NEW_ADDRESS, MULTI, *it))
                .collect()
        };
        let version = Some(self.version);
        Objects { messages, version }
    }

    /// The number of the link that a request names.
    fn find(&self, request: &Request<'_>) -> Result<u32, Refused> {
        let index = index(request.payload);
        let name = request.fields_behind(LINK_HEADER)?.get(NAME);
        let found = match (index, name) {
            (0, Some(name)) => self.index_of(name.text()?),
            (0, None) => return Err(Refused::errno(Errno::INVAL)),
            (index, _) => self.all.contains_key(&index).then_some(index),
        };
        found.ok_or(Refused::errno(NO_DEVICE))
    }

    fn new_link(
        &mut self,
        sender: &Sender,
        request: &Request<'_>,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<(), Refused> {
        if self.find(request).is_ok() {
            return if request.flags & EXCL != 0 {
                Err(Refused::errno(Errno::EXIST))
            } else {
                // Up or down: nobody asks.
                Ok(())
            };
        }
        if request.flags & CREATE == 0 {
            return Err(Refused::errno(NO_DEVICE));
        }
        let fields = request.fields_behind(LINK_HEADER)?;
        let name = fields.need(NAME)?.text()?.to_owned();
        let info = fields.need(INFO)?.fields()?;
        let kind = info.need(INFO_KIND)?.text()?.to_owned();
        if !KINDS.contains(&kind.as_str()) {
            return Err(Refused::errno(Errno::OPNOTSUPP));
        }
        self.last += 1;
        let kind = Some(kind);
        self.all.insert(self.last, Link { name, kind });
        self.version += 1;
        let told = self.link(sender.port, request.seq, NEW_LINK, 0, self.last);
        deliveries.push(tell(LINKS, told));
        Ok(())
    }

    fn delete_link(
        &mut self,
        sender: &Sender,
        seq: u32,
        index: u32,
        deliveries: &mut Vec<Delivery>,
    ) {
        self.version += 1;
        let (gone, left) = self.addresses.iter().partition(|it| it.0 == index);
        self.addresses = left;
        let gone: Vec<Assigned> = gone;
        for it in gone {
            deliveries.push(tell(group(it.1), address(0, 0, DEL_ADDRESS, 0, it)));
        }
        let told = self.link(sender.port, seq, DEL_LINK, 0, index);
        self.all.remove(&index);
        deliveries.push(tell(LINKS, told));
    }

    fn change_address(
        &mut self,
        sender: &Sender,
        request: &Request<'_>,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<(), Refused> {
        let &[family, prefix, _, _, a, b, c, d, ..] = request.payload else {
            return Err(Refused::errno(Errno::INVAL));
        };
        let index = u32::from_ne_bytes([a, b, c, d]);
        let fields = request.fields_behind(ADDRESS_HEADER)?;
        let field = fields.get(LOCAL).or(fields.get(ADDRESS));
        let payload = field.ok_or(Refused::errno(Errno::INVAL))?.payload;
        let found = address_of(family, payload).ok_or(Refused::errno(Errno::INVAL))?;
        if !self.all.contains_key(&index) {
            return Err(Refused::errno(NO_DEVICE));
        }
        let it = (index, found, prefix);
        let place = self.addresses.iter().position(|other| *other == it);
        if request.kind == NEW_ADDRESS {
            if place.is_some() {
                return if request.flags & EXCL == 0 {
                    Ok(())
                } else {
                    Err(Refused::errno(Errno::EXIST))
                };
            }
            self.addresses.push(it);
        } else {
            let place = place.ok_or(Refused::errno(NO_ADDRESS))?;
            self.addresses.remove(place);
        }
        self.version += 1;
        // Of IPv6 the kernel does not say who did it.
        let (port, seq) = if family == IPV4 {
            (sender.port, request.seq)
        } else {
            (0, 0)
        };
        let told = address(port, seq, request.kind, 0, it);
        deliveries.push(tell(group(found), told));
        Ok(())
    }

    fn link(&self, port: u32, seq: u32, kind: u16, flags: u16, index: u32) -> Vec<u8> {
        let mut header = [0; LINK_HEADER];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        reply(port, seq, kind, flags, &header, |attrs| {
            let Some(link) = self.all.get(&index) else {
                return;
            };
            attrs.str(NAME, &link.name);
            if let Some(kind) = &link.kind {
                let mut info = Vec::new();
                AttrWriter::new(&mut info).str(INFO_KIND, kind);
                attrs.bytes(INFO, &info);
            }
        })
    }
}

/// Asks for an address without others beside it to go.
pub(super) fn delete_address(batch: &mut Batch<()>, link: u32, address: IpAddr) {
    let [a, b, c, d] = link.to_ne_bytes();
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    let header = [family_of(address), prefix, 0, 0, a, b, c, d];
    batch.message(DEL_ADDRESS, ACK, &header, |attrs| match address {
        IpAddr::V4(address) => attrs.bytes(LOCAL, &address.octets()),
        IpAddr::V6(address) => attrs.bytes(ADDRESS, &address.octets()),
    });
}

/// Asks for a link to go.
pub(super) fn delete_link(batch: &mut Batch<()>, link: u32) {
    let mut header = [0; LINK_HEADER];
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    batch.message(DEL_LINK, ACK, &header, |_| {});
}

fn address(port: u32, seq: u32, kind: u16, flags: u16, it: Assigned) -> Vec<u8> {
    let (index, address, prefix) = it;
    let [a, b, c, d] = index.to_ne_bytes();
    let header = [family_of(address), prefix, 0, 0, a, b, c, d];
    reply(port, seq, kind, flags, &header, |attrs| match address {
        IpAddr::V4(address) => {
            attrs.bytes(ADDRESS, &address.octets());
            attrs.bytes(LOCAL, &address.octets());
        }
        IpAddr::V6(address) => attrs.bytes(ADDRESS, &address.octets()),
    })
}

fn tell(group: u32, datagram: Vec<u8>) -> Delivery {
    Delivery {
        to: To::Group {
            protocol: ROUTE,
            group,
            except: None,
        },
        datagram,
    }
}

fn group(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => IPV4_ADDRESSES,
        IpAddr::V6(_) => IPV6_ADDRESSES,
    }
}

fn family_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => IPV4,
        IpAddr::V6(_) => IPV6,
    }
}

fn address_of(family: u8, payload: &[u8]) -> Option<IpAddr> {
    match family {
        IPV4 => <[u8; 4]>::try_from(payload).ok().map(IpAddr::from),
        IPV6 => <[u8; 16]>::try_from(payload).ok().map(IpAddr::from),
        _ => None,
    }
}

fn index(payload: &[u8]) -> u32 {
    let bytes = payload.get(4..8).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_ne_bytes)
}
