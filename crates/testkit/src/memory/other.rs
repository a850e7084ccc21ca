//! Other parts of netfilter: answered as by a kernel that lacks it, or has it empty.

use netlink_batch::Errno;
use netlink_batch::message::{flags, kind};

use super::Sender;
use super::answer::{Answered, Delivery, Refused, reply};
use super::fields::Request;

/// `NFNL_SUBSYS_CTNETLINK`, `NFNL_SUBSYS_NFT_COMPAT`.
const CONNTRACK: u16 = 1;
const COMPAT: u16 = 11;

/// Answers a message. Extensions of iptables are all there, flows are none, and no other part is
/// there at all.
pub(super) fn request(
    sender: &Sender,
    request: &Request<'_>,
    deliveries: &mut Vec<Delivery>,
) -> Result<Answered, Refused> {
    let missing = match request.kind >> 8 {
        COMPAT => {
            // The kernel repeats name, revision and type.
            let (port, seq) = (sender.port, request.seq);
            let mut datagram = reply(port, seq, request.kind, 0, &[2, 0, 0, 0], |_| {});
            datagram.extend_from_slice(request.payload.get(4..).unwrap_or_default());
            let len = u32::try_from(datagram.len()).unwrap_or(u32::MAX);
            datagram[..4].copy_from_slice(&len.to_ne_bytes());
            deliveries.push(Delivery::answer(port, datagram));
            return Ok(Answered::Done);
        }
        CONNTRACK if !request.is_dump() => Errno::NOENT,
        CONNTRACK => return Ok(nothing(sender, request, deliveries)),
        // A subsystem that is not there.
        _ => Errno::INVAL,
    };
    Err(Refused::errno(missing))
}

/// A listing of nothing.
fn nothing(sender: &Sender, request: &Request<'_>, deliveries: &mut Vec<Delivery>) -> Answered {
    let (port, seq) = (sender.port, request.seq);
    let done = reply(port, seq, kind::DONE, flags::MULTI, &[0; 4], |_| {});
    deliveries.push(Delivery::answer(port, done));
    Answered::Dumping
}
