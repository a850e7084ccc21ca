//! What the kernel says about a message: `NLMSG_ERROR` with its extended acknowledgement.

use crate::attr::Attrs;
use crate::errno::Errno;
use crate::message::{HEADER_LEN, Message, flags, kind};

/// `NLMSGERR_ATTR_MSG`: why, in words.
const TEXT: u16 = 1;
/// `NLMSGERR_ATTR_OFFS`: where in the refused message.
const OFFSET: u16 = 2;

/// The kernel's verdict on one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict<'a> {
    /// Sequence number of the message judged.
    pub seq: u32,
    /// `None` where the message was accepted.
    pub errno: Option<Errno>,
    /// The kernel's own words, where it has any.
    pub text: Option<&'a str>,
    /// Offset of the bad attribute in the judged message, bytes from its header on.
    pub offset: Option<u32>,
    /// The judged message's payload, where the kernel sent it back: without `NETLINK_CAP_ACK`, and
    /// from subsystems that write something into it. Empty otherwise.
    pub judged: &'a [u8],
}

impl<'a> Verdict<'a> {
    /// Reads `NLMSG_ERROR` and `NLMSG_DONE`; `None` for any other message and for one too short
    /// to hold an error number.
    pub fn read(message: &Message<'a>) -> Option<Self> {
        let (code, rest) = message.payload.split_first_chunk::<4>()?;
        let code = i32::from_ne_bytes(*code);
        let (seq, sent_back, extended) = match message.kind {
            kind::ERROR => {
                let (judged, rest) = rest.split_first_chunk::<HEADER_LEN>()?;
                let len = u32::from_ne_bytes([judged[0], judged[1], judged[2], judged[3]]);
                let seq = u32::from_ne_bytes([judged[8], judged[9], judged[10], judged[11]]);
                // Without NETLINK_CAP_ACK the refused payload stands between header and attributes.
                let sent_back = if message.flags & flags::CAPPED == 0 && code != 0 {
                    (len as usize).saturating_sub(HEADER_LEN)
                } else {
                    0
                };
                let skip = sent_back.next_multiple_of(4);
                (
                    seq,
                    rest.get(..sent_back).unwrap_or_default(),
                    rest.get(skip..).unwrap_or_default(),
                )
            }
            kind::DONE => (message.seq, Default::default(), rest),
            _ => return None,
        };
        let errno = (code != 0).then(|| Errno(code.saturating_abs()));
        let mut verdict = Self {
            seq,
            errno,
            text: None,
            offset: None,
            judged: sent_back,
        };
        if message.flags & flags::ACK_TLVS != 0 {
            for attr in Attrs::new(extended).map_while(Result::ok) {
                match attr.kind {
                    TEXT => verdict.text = attr.str().ok(),
                    OFFSET => verdict.offset = attr.payload.try_into().ok().map(u32::from_ne_bytes),
                    _ => {}
                }
            }
        }
        Some(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Messages;

    fn read(bytes: &[u8]) -> Verdict<'_> {
        Verdict::read(&Messages::new(bytes).next().unwrap().unwrap()).unwrap()
    }

    #[test]
    fn reads_an_error_with_its_offset() {
        // Linux 6.18 on DELCHAIN of a chain that is jumped to; strace -e read=all.
        let bytes = [
            0x2c, 0, 0, 0, 2, 0, 0, 3, 5, 0, 0, 0, 0x60, 0x6f, 0, 0, // nlmsghdr
            0xf0, 0xff, 0xff, 0xff, // -EBUSY
            0x24, 0, 0, 0, 5, 0x0a, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, // the judged header
            8, 0, 2, 0, 0x1c, 0, 0, 0, // NLMSGERR_ATTR_OFFS
        ];
        let errno = Some(Errno::BUSY);
        assert_eq!(
            read(&bytes),
            Verdict {
                seq: 5,
                errno,
                text: None,
                offset: Some(28),
                judged: &[],
            }
        );
    }

    #[test]
    fn reads_an_error_with_its_text() {
        // Linux 6.18 on RTM_NEWADDR with an IPv4 prefix of 33 bits; strace -e read=all.
        let mut bytes = vec![
            0x44, 0, 0, 0, 2, 0, 0, 3, 2, 0, 0, 0, 0x71, 0x6f, 0, 0, // nlmsghdr
            0xea, 0xff, 0xff, 0xff, // -EINVAL
            0x20, 0, 0, 0, 0x14, 0, 5, 4, 2, 0, 0, 0, 0, 0, 0, 0, // the judged header
            0x20, 0, 1, 0, // NLMSGERR_ATTR_MSG
        ];
        bytes.extend(b"ipv4: Invalid prefix length\0");
        let (errno, text) = (Some(Errno::INVAL), Some("ipv4: Invalid prefix length"));
        assert_eq!(
            read(&bytes),
            Verdict {
                seq: 2,
                errno,
                text,
                offset: None,
                judged: &[],
            }
        );
    }

    #[test]
    fn skips_the_payload_of_an_uncapped_error() {
        // nft delete rule ip nat KUBE-A handle 999, on Linux 6.18 without NETLINK_CAP_ACK.
        let bytes = [
            0x50, 0, 0, 0, 2, 0, 0, 2, 1, 0, 0, 0, 0x98, 0x7d, 0, 0, // nlmsghdr
            0xfe, 0xff, 0xff, 0xff, // -ENOENT
            0x34, 0, 0, 0, 8, 0x0a, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, // the judged header
            2, 0, 0, 0, 8, 0, 1, 0, 0x6e, 0x61, 0x74, 0, // and payload
            0x0b, 0, 2, 0, 0x4b, 0x55, 0x42, 0x45, 0x2d, 0x41, 0, 0, //
            0x0c, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0xe7, //
            8, 0, 2, 0, 0x28, 0, 0, 0, // NLMSGERR_ATTR_OFFS
        ];
        let errno = Some(Errno::NOENT);
        assert_eq!(
            read(&bytes),
            Verdict {
                seq: 1,
                errno,
                text: None,
                offset: Some(40),
                judged: &bytes[36..72],
            }
        );
    }

    #[test]
    fn an_acknowledgement_has_no_error_number() {
        // Linux 6.18 on a GETCHAIN of iptables-nft -C.
        let bytes = [
            0x24, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0, 0x4f, 0x4a, 0, 0, // nlmsghdr
            0, 0, 0, 0, // no error
            0x28, 0, 0, 0, 4, 0x0a, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, // the judged header
        ];
        assert_eq!(
            read(&bytes),
            Verdict {
                seq: 0,
                errno: None,
                text: None,
                offset: None,
                judged: &[],
            }
        );
    }

    #[test]
    fn other_messages_are_not_verdicts() {
        let bytes = [
            0x14, 0, 0, 0, 0x0f, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        assert_eq!(Verdict::read(&message), None);
    }
}
