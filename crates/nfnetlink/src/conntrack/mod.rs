//! Connection tracking over ctnetlink (`linux/netfilter/nfnetlink_conntrack.h`): reading the table
//! with the kernel's filters, and deleting exactly the flows that were read.
//!
//! The kernel knows the filters in steps: address family always, `CTA_FILTER` on tuples since
//! Linux 5.8, `CTA_STATUS` in dumps since 5.15. Older kernels ignore what they don't know, so every
//! flow is held against the filter here as well, and [`Dumped::by_kernel`] tells whether they were
//! sent in vain.
//!
//! ```no_run
//! use nfnetlink::Family;
//! use nfnetlink::conntrack::{self, Deletions, Filter};
//! use nfnetlink::netlink_batch::{Socket, socket};
//!
//! let mut socket = Socket::open(socket::NETFILTER)?;
//! // UDP flows to a name server's address that lead to a machine which is gone.
//! let gone = std::net::IpAddr::from([10, 244, 0, 5]);
//! let to = Filter::udp(Family::Ipv4).to_address([10, 1, 0, 20].into()).to_port(53).only_dnat();
//! let mut stale = Deletions::new();
//! conntrack::dump(&mut socket, &to, |flow| {
//!     if flow.reply.source.ip() == gone {
//!         stale.push(flow);
//!     }
//! })?;
//! // A flow that was replaced by another one meanwhile stays.
//! let done = stale.send(&mut socket)?;
//! println!("{} deleted, {} gone by themselves", done.deleted, done.gone);
//! # Ok::<(), nfnetlink::netlink_batch::Error>(())
//! ```

mod delete;
mod dump;
mod filter;
mod flow;
mod uapi;

pub use delete::{Deleted, Deletions};
pub use dump::{Dumped, dump, lookup};
pub use filter::Filter;
pub use flow::{Flow, Tuple, protocol, status, tcp_state};

#[cfg(test)]
mod tests;
