//! Sockets.

use netlink_batch::{Socket, socket::NETFILTER};

use crate::WriteError;

/// A socket to the kernel's netfilter.
pub(crate) fn netfilter() -> Result<Socket, WriteError> {
    Socket::open(NETFILTER).map_err(|error| WriteError::netlink("opening a netlink socket", error))
}
