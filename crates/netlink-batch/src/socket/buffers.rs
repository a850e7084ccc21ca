//! Sizes of the kernel's buffers for a socket.

use super::Socket;
use crate::error::Error;

/// What a new socket asks to be allowed to send at once, bytes. It is a limit, no memory is taken.
pub(super) const SEND: usize = 256 << 20;
/// What a new socket asks to be allowed to have waiting, bytes.
pub(super) const RECEIVE: usize = 8 << 20;
/// What the kernel keeps of `SO_SNDBUF` for itself (`netlink_sendmsg`).
const SEND_OVERHEAD: usize = 32;
/// The kernel doubles an int.
const MAX_ASKED: usize = (i32::MAX / 2) as usize;

impl Socket {
    /// The largest batch that can be sent at once now, bytes.
    pub fn send_capacity(&self) -> usize {
        self.send_capacity
    }

    /// Asks for batches of up to `bytes` at once and returns what was granted.
    ///
    /// `SO_SNDBUFFORCE` grants any size but needs `CAP_NET_ADMIN` in the initial user namespace.
    /// Without it the limit is twice `net.core.wmem_max`: 416 KiB by default before Linux 6.18.
    pub fn allow_send(&mut self, bytes: usize) -> Result<usize, Error> {
        let asked = (bytes.saturating_add(SEND_OVERHEAD))
            .div_ceil(2)
            .min(MAX_ASKED);
        let granted = self.inner.allow_send(asked)?;
        self.send_capacity = granted.saturating_sub(SEND_OVERHEAD);
        Ok(self.send_capacity)
    }

    /// Asks for room for `bytes` of answers or notifications and returns what was granted.
    ///
    /// The kernel counts its own bookkeeping too: an `nf_tables` notification of 200 bytes takes
    /// about 1 KiB. Privileges as for [`Socket::allow_send`], with `net.core.rmem_max`.
    pub fn allow_receive(&mut self, bytes: usize) -> Result<usize, Error> {
        let asked = bytes.div_ceil(2).min(MAX_ASKED);
        self.inner.allow_receive(asked)
    }
}
