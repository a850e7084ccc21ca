//! What the kernel sends, and to whom.

use netlink_batch::message::{self, HEADER_LEN, flags, kind};
use netlink_batch::{AttrWriter, Errno};

use super::fields::Request;

/// `NLMSGERR_ATTR_OFFS`.
const OFFSET: u16 = 2;

/// Who gets a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    Port(u32),
    Group {
        protocol: isize,
        group: u32,
        except: Option<u32>,
    },
}

/// One datagram on its way out.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) to: To,
    pub(super) datagram: Vec<u8>,
}

impl Delivery {
    pub(super) fn answer(port: u32, datagram: Vec<u8>) -> Self {
        Self {
            to: To::Port(port),
            datagram,
        }
    }

    pub(super) fn is_to(&self, port: u32) -> bool {
        self.to == To::Port(port)
    }
}

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) errno: Errno,
    /// Offset of the attribute to blame, bytes from the message's header on.
    pub(super) offset: Option<usize>,
}

impl Refused {
    pub(super) fn errno(errno: Errno) -> Self {
        Self {
            errno,
            offset: None,
        }
    }

    pub(super) fn at(errno: Errno, offset: Option<usize>) -> Self {
        Self { errno, offset }
    }
}

/// What comes of a request besides its replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// It is acknowledged if it asks for that.
    Done,
    /// A dump answers, to its end.
    Dumping,
}

/// Appends the verdict on a request that is no part of a batch.
pub(super) fn verdict(
    port: u32,
    request: &Request<'_>,
    answered: Result<Answered, Refused>,
    deliveries: &mut Vec<Delivery>,
) {
    let refused = match answered {
        Ok(Answered::Dumping) => return,
        Ok(Answered::Done) if request.flags & flags::ACK == 0 => return,
        Ok(Answered::Done) => None,
        Err(refused) => Some(refused),
    };
    deliveries.push(Delivery::answer(port, ack(port, &request.header, refused)));
}

/// `netlink_ack` to a socket with `NETLINK_CAP_ACK` and `NETLINK_EXT_ACK`.
pub(super) fn ack(port: u32, judged: &[u8; HEADER_LEN], refused: Option<Refused>) -> Vec<u8> {
    let code = refused.map_or(0, |refused| -refused.errno.raw());
    let offset = refused.and_then(|refused| refused.offset);
    let flags = flags::CAPPED | if offset.is_some() { flags::ACK_TLVS } else { 0 };
    let mut fixed = [0; 4 + HEADER_LEN];
    fixed[..4].copy_from_slice(&code.to_ne_bytes());
    fixed[4..].copy_from_slice(judged);
    let seq = u32::from_ne_bytes([judged[8], judged[9], judged[10], judged[11]]);
    reply(port, seq, kind::ERROR, flags, &fixed, |attrs| {
        if let Some(offset) = offset.and_then(|offset| u32::try_from(offset).ok()) {
            attrs.u32_ne(OFFSET, offset);
        }
    })
}

/// One message of the kernel in a datagram of its own.
pub(super) fn reply(
    port: u32,
    seq: u32,
    kind: u16,
    flags: u16,
    fixed: &[u8],
    fill: impl FnOnce(&mut AttrWriter<'_>),
) -> Vec<u8> {
    let mut datagram = Vec::new();
    append(&mut datagram, port, seq, kind, flags, fixed, fill);
    datagram
}

/// Appends one message of the kernel.
pub(super) fn append(
    datagram: &mut Vec<u8>,
    port: u32,
    seq: u32,
    kind: u16,
    flags: u16,
    fixed: &[u8],
    fill: impl FnOnce(&mut AttrWriter<'_>),
) {
    let start = datagram.len();
    message::write(datagram, kind, flags, seq, fixed, fill);
    datagram[start + 12..start + 16].copy_from_slice(&port.to_ne_bytes());
}
