//! Listings of what has no generation of its own, in several datagrams: each goes on behind so many
//! objects, whatever came or went meanwhile (`netlink_dump`).

use netlink_batch::message::{flags, kind};

use super::Sender;
use super::answer::append;
use super::fields::Request;

/// Bytes of objects in a datagram.
const ROOM: usize = 3776;

/// A listing on its way.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) sender: Sender,
    seq: u32,
    /// What was asked.
    pub(super) request: Vec<u8>,
    next: usize,
    /// The version that the last message told of, where listings tell of changes.
    told: Option<u64>,
}

/// What is to be listed now.
pub(super) struct Objects {
    /// A message for each, complete.
    pub(super) messages: Vec<Vec<u8>>,
    /// A number that every change raises; `None` where changes meanwhile are not told.
    pub(super) version: Option<u64>,
}

impl Listing {
    pub(super) fn new(sender: &Sender, request: &Request<'_>) -> Self {
        Self {
            sender: sender.clone(),
            seq: request.seq,
            request: [&request.header, request.payload].concat(),
            next: 0,
            told: None,
        }
    }

    /// The next datagram; false where it is the last one.
    pub(super) fn go_on(&mut self, objects: &Objects) -> (Vec<u8>, bool) {
        let mut datagram = Vec::new();
        for message in objects.messages.iter().skip(self.next) {
            if !datagram.is_empty() && datagram.len() + message.len() > ROOM {
                break;
            }
            datagram.extend_from_slice(message);
            self.next += 1;
        }
        let more = !datagram.is_empty();
        if !more {
            let flags = flags::MULTI;
            let (port, seq) = (self.sender.port, self.seq);
            append(&mut datagram, port, seq, kind::DONE, flags, &[0; 4], |_| {});
        }
        if let Some(version) = objects.version {
            let told = self.told.replace(version);
            if told.is_some_and(|told| told != version)
                && let Some(byte) = datagram.get_mut(6)
            {
                *byte |= flags::DUMP_INTR.to_ne_bytes()[0];
            }
        }
        (datagram, more)
    }
}
