//! Requests taken apart, with the place of every attribute: refusals point at one.

use netlink_batch::attr::NESTED;
use netlink_batch::message::{HEADER_LEN, flags};
use netlink_batch::{Attrs, Errno, Messages};

use super::answer::Refused;

/// One message of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) header: [u8; HEADER_LEN],
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) seq: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn is_dump(&self) -> bool {
        self.flags & flags::DUMP == flags::DUMP
    }

    /// The family in `nfgenmsg`.
    pub(super) fn family(&self) -> u8 {
        self.payload.first().copied().unwrap_or(0)
    }

    /// The attributes behind `nfgenmsg` or `genlmsghdr`.
    pub(super) fn fields(&self) -> Result<Fields<'a>, Refused> {
        self.fields_behind(4)
    }

    /// The attributes behind a header of so many bytes.
    pub(super) fn fields_behind(&self, header: usize) -> Result<Fields<'a>, Refused> {
        let attrs = self.payload.get(header..).unwrap_or_default();
        Fields::read(attrs, HEADER_LEN + header)
    }
}

/// All messages of a datagram, in order, whatever their kind.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Request<'_>> {
    Messages::new(datagram)
        .map_while(Result::ok)
        .map(|message| Request {
            header: header(&message),
            kind: message.kind,
            flags: message.flags,
            seq: message.seq,
            payload: message.payload,
        })
}

fn header(message: &netlink_batch::Message<'_>) -> [u8; HEADER_LEN] {
    let len = u32::try_from(HEADER_LEN + message.payload.len()).unwrap_or(u32::MAX);
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&len.to_ne_bytes());
    header[4..6].copy_from_slice(&message.kind.to_ne_bytes());
    header[6..8].copy_from_slice(&message.flags.to_ne_bytes());
    header[8..12].copy_from_slice(&message.seq.to_ne_bytes());
    header[12..].copy_from_slice(&message.port.to_ne_bytes());
    header
}

/// One attribute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) kind: u16,
    pub(super) payload: &'a [u8],
    /// Bytes from the message's header on.
    pub(super) offset: usize,
    /// It says that it is a list of attributes.
    pub(super) nested: bool,
}

impl<'a> Field<'a> {
    pub(super) fn text(&self) -> Result<&'a str, Refused> {
        let end = self.payload.iter().position(|byte| *byte == 0);
        let text = &self.payload[..end.unwrap_or(self.payload.len())];
        std::str::from_utf8(text).map_err(|_| self.refuse(Errno::INVAL))
    }

    pub(super) fn u16_be(&self) -> Result<u16, Refused> {
        self.number().map(u16::from_be_bytes)
    }

    pub(super) fn u32_be(&self) -> Result<u32, Refused> {
        self.number().map(u32::from_be_bytes)
    }

    pub(super) fn u64_be(&self) -> Result<u64, Refused> {
        self.number().map(u64::from_be_bytes)
    }

    /// The attributes in it.
    pub(super) fn fields(&self) -> Result<Fields<'a>, Refused> {
        Fields::read(self.payload, self.offset + 4)
    }

    pub(super) fn refuse(&self, errno: Errno) -> Refused {
        Refused::at(errno, Some(self.offset))
    }

    fn number<const N: usize>(&self) -> Result<[u8; N], Refused> {
        self.payload
            .try_into()
            .map_err(|_| self.refuse(Errno::INVAL))
    }
}

/// A list of attributes.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields<'a>(Vec<Field<'a>>);

impl<'a> Fields<'a> {
    fn read(bytes: &'a [u8], offset: usize) -> Result<Self, Refused> {
        let base = bytes.as_ptr().addr();
        let mut fields = Vec::new();
        for attr in Attrs::new(bytes) {
            let attr = attr.map_err(|_| Refused::errno(Errno::INVAL))?;
            let at = attr.payload.as_ptr().addr() - base - 4;
            let flags = bytes.get(at + 3).copied().unwrap_or(0);
            fields.push(Field {
                kind: attr.kind,
                payload: attr.payload,
                offset: offset + at,
                nested: u16::from_ne_bytes([0, flags]) & NESTED != 0,
            });
        }
        Ok(Self(fields))
    }

    /// The attribute of this type; the last one counts.
    pub(super) fn get(&self, kind: u16) -> Option<Field<'a>> {
        self.0
            .iter()
            .rev()
            .find(|field| field.kind == kind)
            .copied()
    }

    /// The attribute of this type, or a refusal that names none.
    pub(super) fn need(&self, kind: u16) -> Result<Field<'a>, Refused> {
        self.get(kind).ok_or(Refused::errno(Errno::INVAL))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Field<'a>> + '_ {
        self.0.iter().copied()
    }
}
