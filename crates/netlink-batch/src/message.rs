//! Netlink messages: writing a header around attributes, and walking what was received
//! (`struct nlmsghdr`, `linux/netlink.h`).

use crate::attr::{AttrWriter, Attrs};

/// Bytes of a message header.
pub const HEADER_LEN: usize = 16;

/// `nlmsg_flags`.
pub mod flags {
    /// A request, as every message to the kernel is.
    pub const REQUEST: u16 = 0x1;
    /// The reply is followed by more (`NLM_F_MULTI`).
    pub const MULTI: u16 = 0x2;
    /// Say so in a message of its own when it succeeded.
    pub const ACK: u16 = 0x4;
    /// Send the created object back.
    pub const ECHO: u16 = 0x8;
    /// The dump is inconsistent: the data changed meanwhile.
    pub const DUMP_INTR: u16 = 0x10;
    /// List all objects.
    pub const DUMP: u16 = 0x300;
    /// For NEW requests: replace the object.
    pub const REPLACE: u16 = 0x100;
    /// For NEW requests: fail if it exists.
    pub const EXCL: u16 = 0x200;
    /// For NEW requests: create it if it does not exist.
    pub const CREATE: u16 = 0x400;
    /// For NEW requests: add at the end.
    pub const APPEND: u16 = 0x800;
    /// For DEL requests: refuse to delete what still holds other objects.
    pub const NONREC: u16 = 0x100;
    /// Of an error message: the refused message's payload is left out.
    pub const CAPPED: u16 = 0x100;
    /// Of an error message: attributes with text and offset follow.
    pub const ACK_TLVS: u16 = 0x200;
}

/// `nlmsg_type` values that every protocol shares.
pub mod kind {
    /// Nothing.
    pub const NOOP: u16 = 1;
    /// An error, or with code 0 an acknowledgement.
    pub const ERROR: u16 = 2;
    /// The end of a dump.
    pub const DONE: u16 = 3;
    /// Data was lost.
    pub const OVERRUN: u16 = 4;
}

/// Appends one message to `buf`: header, the family's `fixed` header and what `fill` appends.
///
/// `buf.len()` and `fixed.len()` must be multiples of 4.
pub fn write<R>(
    buf: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    seq: u32,
    fixed: &[u8],
    fill: impl FnOnce(&mut AttrWriter<'_>) -> R,
) -> R {
    let start = buf.len();
    let mut header = [0; HEADER_LEN];
    header[4..6].copy_from_slice(&kind.to_ne_bytes());
    header[6..8].copy_from_slice(&flags.to_ne_bytes());
    header[8..12].copy_from_slice(&seq.to_ne_bytes());
    buf.extend_from_slice(&header);
    buf.extend_from_slice(fixed);
    let result = fill(&mut AttrWriter::new(buf));
    let len = u32::try_from(buf.len() - start).unwrap_or(u32::MAX);
    buf[start..start + 4].copy_from_slice(&len.to_ne_bytes());
    result
}

/// What is wrong with received messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A length field points outside the buffer, or is shorter than the header.
    #[error("the message at offset {offset} says it has {len} bytes where {left} are left")]
    Length {
        /// Offset in the buffer, bytes.
        offset: usize,
        /// The length field, bytes.
        len: usize,
        /// Bytes left in the buffer.
        left: usize,
    },
    /// The payload is too short for the family's header.
    #[error("a message of type {kind:#x} has {found} bytes of payload, fewer than {expected}")]
    Payload {
        /// The message's type.
        kind: u16,
        /// Bytes found.
        found: usize,
        /// Bytes expected at least.
        expected: usize,
    },
}

/// One received message.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`, see [`flags`].
    pub flags: u16,
    /// `nlmsg_seq`: of the request that this answers.
    pub seq: u32,
    /// `nlmsg_pid`: port of the socket that asked for the change; 0 is the kernel itself.
    pub port: u32,
    /// What follows the header, padding removed.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Splits the payload into the family's fixed header of `N` bytes and the attributes.
    pub fn split<const N: usize>(&self) -> Result<(&'a [u8; N], Attrs<'a>), MessageError> {
        let (fixed, rest) = self
            .payload
            .split_first_chunk::<N>()
            .ok_or(MessageError::Payload {
                kind: self.kind,
                found: self.payload.len(),
                expected: N,
            })?;
        Ok((fixed, Attrs::new(rest)))
    }
}

/// Iterates over the messages of one datagram. Stops after the first error.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Messages<'a> {
    /// Reads the messages that fill `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, MessageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self
            .bytes
            .get(self.offset..)
            .filter(|rest| !rest.is_empty())?;
        let offset = self.offset;
        let mut bad = |len| {
            self.offset = self.bytes.len();
            Some(Err(MessageError::Length {
                offset,
                len,
                left: rest.len(),
            }))
        };
        let Some((head, _)) = rest.split_first_chunk::<HEADER_LEN>() else {
            return bad(HEADER_LEN);
        };
        let len = u32_at(head, 0) as usize;
        let Some(payload) = rest.get(HEADER_LEN..len) else {
            return bad(len);
        };
        self.offset += len.next_multiple_of(4);
        Some(Ok(Message {
            kind: u16_at(head, 4),
            flags: u16_at(head, 6),
            seq: u32_at(head, 8),
            port: u32_at(head, 12),
            payload,
        }))
    }
}

fn u16_at(head: &[u8; HEADER_LEN], at: usize) -> u16 {
    u16::from_ne_bytes([head[at], head[at + 1]])
}

fn u32_at(head: &[u8; HEADER_LEN], at: usize) -> u32 {
    u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    // strace -e write=all iptables-nft -t nat -S
    const GETGEN: [u8; 20] = [
        0x14, 0, 0, 0, 0x10, 0x0a, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // nlmsghdr
        0, 0, 0, 0, // nfgenmsg
    ];

    #[test]
    fn writes_what_iptables_writes() {
        let mut buf = Vec::new();
        write(&mut buf, 0x0a10, flags::REQUEST, 0, &[0; 4], |_| {});
        assert_eq!(buf, GETGEN);
    }

    #[test]
    fn reads_back_several_messages() {
        let mut buf = Vec::new();
        for seq in 1..=3 {
            write(
                &mut buf,
                0x0a00,
                flags::REQUEST,
                seq,
                &[2, 0, 0, 0],
                |attrs| {
                    attrs.str(1, "nat");
                },
            );
        }
        let seqs: Vec<u32> = Messages::new(&buf)
            .map(|message| {
                let message = message.unwrap();
                let (fixed, mut attrs) = message.split::<4>().unwrap();
                assert_eq!((message.kind, fixed), (0x0a00, &[2, 0, 0, 0]));
                assert_eq!(attrs.next().unwrap().unwrap().str(), Ok("nat"));
                message.seq
            })
            .collect();
        assert_eq!(seqs, [1, 2, 3]);
    }

    #[test]
    fn bad_lengths_are_errors_once() {
        let mut short = GETGEN;
        short[0] = 3;
        let mut long = GETGEN;
        long[0] = 21;
        for bytes in [&short[..], &long[..], &GETGEN[..7]] {
            let mut messages = Messages::new(bytes);
            assert!(matches!(
                messages.next(),
                Some(Err(MessageError::Length { offset: 0, .. }))
            ));
            assert!(messages.next().is_none());
        }
    }

    #[test]
    fn a_short_payload_is_an_error() {
        let message = Messages::new(&GETGEN).next().unwrap().unwrap();
        let error = message.split::<8>().unwrap_err();
        assert_eq!(
            error,
            MessageError::Payload {
                kind: 0x0a10,
                found: 4,
                expected: 8
            }
        );
    }
}
