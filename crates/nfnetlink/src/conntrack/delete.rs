//! Deleting flows.

use std::net::{IpAddr, SocketAddr};

use netlink_batch::{AttrWriter, Batch, Errno, Error, Socket};

use super::uapi::{attr, ip, op, proto, tuple};
use super::{Flow, Tuple};
use crate::nfgenmsg;

/// Flows to be deleted with one system call.
#[derive(Debug)]
pub struct Deletions {
    batch: Batch<()>,
}

/// What became of deletions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// Flows deleted.
    pub deleted: u32,
    /// Flows that were gone by themselves, or replaced by another with the same tuple (ENOENT).
    pub gone: u32,
    /// Why the kernel refused another one, if it did, and how many.
    pub refused: Option<(Errno, u32)>,
}

impl Default for Deletions {
    fn default() -> Self {
        Self::new()
    }
}

impl Deletions {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            batch: Batch::new(),
        }
    }

    /// Adds a flow. The kernel deletes it only while it has the same tuples, zone and ID.
    ///
    /// The flow is looked up by its reply tuple, which tells where its packets really go; the ID
    /// stands for the original tuple and the kernel's memory (`nf_ct_get_id`). Either alone may be
    /// the same again in a later flow.
    pub fn push(&mut self, flow: &Flow) {
        // Without a tuple the kernel would flush the table: it is always there.
        let header = nfgenmsg(flow.family.number());
        self.batch.message(op::DELETE, 0, &header, |attrs| {
            name(attrs, flow);
            attrs.u32_be(attr::ID, flow.id);
        });
    }

    /// Number of flows.
    pub fn len(&self) -> u32 {
        self.batch.count()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Bytes that the next [`Deletions::send`] sends.
    pub fn bytes(&self) -> &[u8] {
        self.batch.as_bytes()
    }

    /// Deletes the flows, which are forgotten whatever happens. The memory is kept.
    pub fn send(&mut self, socket: &mut Socket) -> Result<Deleted, Error> {
        let count = self.batch.count();
        let answers = socket.send(&self.batch, |_, _| {});
        self.batch.clear();
        let answers = answers?;
        let mut result = Deleted {
            deleted: 0,
            gone: 0,
            refused: None,
        };
        for refusal in &answers.refusals {
            match refusal.errno {
                Errno::NOENT => result.gone += 1,
                Errno::PERM => {
                    return Err(Error::Permission {
                        doing: "deleting flows",
                    });
                }
                errno => {
                    let (first, count) = result.refused.unwrap_or((errno, 0));
                    result.refused = Some((first, count + 1));
                }
            }
        }
        let refused = result.refused.map_or(0, |(_, count)| count);
        result.deleted = count.saturating_sub(result.gone + refused);
        Ok(result)
    }
}

/// Writes what the kernel finds a flow by.
pub(super) fn name(attrs: &mut AttrWriter<'_>, flow: &Flow) {
    write_tuple(attrs, attr::REPLY, &flow.reply, flow.protocol);
    if let Some(zone) = flow.zone {
        attrs.u16_be(attr::ZONE, zone);
    }
}

fn write_tuple(attrs: &mut AttrWriter<'_>, kind: u16, flow: &Tuple, protocol: u8) {
    let port = |address: SocketAddr| address.port();
    attrs.nest(kind, |list| {
        list.nest(tuple::IP, |ips| {
            match (flow.source.ip(), flow.destination.ip()) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    ips.bytes(ip::V4_SRC, &source.octets());
                    ips.bytes(ip::V4_DST, &destination.octets());
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    ips.bytes(ip::V6_SRC, &source.octets());
                    ips.bytes(ip::V6_DST, &destination.octets());
                }
                // Never read from the kernel, which then says EINVAL.
                _ => {}
            }
        });
        list.nest(tuple::PROTO, |protos| {
            protos.u8(proto::NUMBER, protocol);
            protos.u16_be(proto::SRC_PORT, port(flow.source));
            protos.u16_be(proto::DST_PORT, port(flow.destination));
        });
        if let Some(zone) = flow.zone {
            list.u16_be(tuple::ZONE, zone);
        }
    });
}
