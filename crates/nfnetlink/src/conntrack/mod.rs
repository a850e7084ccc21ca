//! Connection tracking over ctnetlink (`linux/netfilter/nfnetlink_conntrack.h`): reading the table
//! with the kernel's filters, and deleting exactly the flows that were read.
//!
//! The kernel knows the filters in steps: address family always, `CTA_FILTER` on tuples since
//! Linux 5.8, `CTA_STATUS` in dumps since 5.15. Older kernels ignore what they don't know, so every
//! flow is held against the filter here as well, and [`Dumped::by_kernel`] tells whether they were
//! sent in vain.

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
