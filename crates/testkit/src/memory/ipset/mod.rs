//! IP sets in memory (`net/netfilter/ipset/ip_set_core.c`), of the types that the agent uses.
//!
//! Not modelled: timeouts, counters and other extensions, and options of hashes but their size.

mod element;
mod list;
mod uapi;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use netlink_batch::Message;
use netlink_batch::message::flags::DUMP;
use nfnetlink::ipset::{Entry, Kind};

use super::Sender;
use super::answer::{Answered, Delivery, Refused};
use super::fields::{Fields, Request};
use super::listing::Objects;
use uapi::{attr, command};

/// All sets of a network namespace.
#[derive(Debug, Clone, Default)]
pub(super) struct Sets {
    /// By number.
    sets: BTreeMap<u16, Set>,
    /// A number that every change raises.
    pub(super) version: u64,
}

/// A set.
#[derive(Debug, Clone)]
struct Set {
    name: String,
    content: Content,
}

/// What a swap exchanges.
#[derive(Debug, Clone)]
struct Content {
    kind: Kind,
    family: u8,
    revision: u8,
    size: Size,
    elements: BTreeSet<Entry>,
}

/// What a set is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Hash { buckets: u32, most: u32 },
    Ports { first: u16, last: u16 },
}

/// How many rules use a set, by its number.
pub(super) type References = BTreeMap<u16, u32>;

/// True for a message that is to change a set or an element.
pub(super) fn is_change(message: &Message<'_>) -> bool {
    let changes = [
        command::CREATE,
        command::DESTROY,
        command::FLUSH,
        command::RENAME,
        command::SWAP,
        command::ADD,
        command::DELETE,
    ];
    let (subsystem, command) = (message.kind & 0xff00, message.kind & 0xff);
    subsystem == uapi::SUBSYSTEM && changes.contains(&command)
}

impl Sets {
    /// True where there is a set with this number.
    pub(super) fn has(&self, index: u16) -> bool {
        self.sets.contains_key(&index)
    }

    /// The name of the set with this number.
    pub(super) fn name(&self, index: u16) -> Option<&str> {
        self.sets.get(&index).map(|set| set.name.as_str())
    }

    /// Names and elements of all sets.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &BTreeSet<Entry>)> {
        let sets = self.sets.values();
        sets.map(|set| (set.name.as_str(), &set.content.elements))
    }

    /// True where the set of this name has this element.
    pub(super) fn has_element(&self, name: &str, element: &Entry) -> bool {
        let set = self.find(name).and_then(|index| self.sets.get(&index));
        set.is_some_and(|set| set.content.elements.contains(element))
    }

    fn find(&self, name: &str) -> Option<u16> {
        let mut sets = self.sets.iter();
        sets.find(|(_, set)| set.name == name)
            .map(|(index, _)| *index)
    }

    /// The number of the set that a request names.
    fn named(&self, fields: &Fields<'_>) -> Result<u16, Refused> {
        let name = fields.get(attr::NAME).ok_or(uapi::protocol())?.text()?;
        self.find(name)
            .ok_or(Refused::errno(netlink_batch::Errno::NOENT))
    }

    /// Answers a message that is no listing.
    pub(super) fn request(
        &mut self,
        sender: &Sender,
        request: &Request<'_>,
        references: &References,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<Answered, Refused> {
        let fields = request.fields()?;
        let version = fields.get(attr::PROTOCOL).ok_or(uapi::protocol())?;
        let &[version @ 6..=7] = version.payload else {
            return Err(uapi::protocol());
        };
        let command = request.kind & 0xff;
        match command {
            command::PROTOCOL | command::TYPE | command::GET_BY_NAME | command::GET_BY_INDEX => {
                let datagram = self.ask(sender.port, request, version, &fields)?;
                deliveries.push(Delivery::answer(sender.port, datagram));
                return Ok(Answered::Done);
            }
            command::CREATE => self.create(request, &fields)?,
            command::DESTROY => self.destroy(&fields, references)?,
            command::FLUSH => self.flush(&fields)?,
            command::RENAME => self.rename(&fields, references)?,
            command::SWAP => self.swap(&fields)?,
            command::ADD | command::DELETE => {
                self.version += 1;
                return self.elements(sender.port, request, &fields, deliveries);
            }
            _ => return Err(Refused::errno(netlink_batch::Errno::INVAL)),
        }
        self.version += 1;
        Ok(Answered::Done)
    }

    /// True for what is answered by a listing.
    pub(super) fn lists(request: &Request<'_>) -> bool {
        request.kind == uapi::SUBSYSTEM | command::LIST && request.flags & DUMP == DUMP
    }

    /// Refuses a listing of what is not there.
    pub(super) fn may_list(&self, request: &Request<'_>) -> Result<(), Refused> {
        let fields = request.fields()?;
        match fields.get(attr::NAME) {
            Some(_) => self.named(&fields).map(drop),
            None => Ok(()),
        }
    }

    /// What a listing has.
    pub(super) fn objects(
        &self,
        port: u32,
        seq: u32,
        request: &Request<'_>,
        references: &References,
    ) -> Objects {
        let messages = self.listed(port, seq, request, references);
        let version = None;
        Objects { messages, version }
    }
}
