//! Which notifications the kernel needs not deliver.

use socket2::SockFilter;

use super::Socket;
use crate::error::Error;

/// Instructions of classic BPF (`linux/bpf_common.h`): load a word of the packet, jump where it
/// equals a constant, return how much of the packet to keep.
const LOAD_WORD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// Where a message says which port caused it (`nlmsg_pid`), bytes.
const PORT_AT: u32 = 12;

impl Socket {
    /// Has the kernel drop what the socket with this port caused, in place of delivering it here.
    /// It looks at the first message of a datagram: nfnetlink puts those of one cause into each.
    pub fn ignore(&self, port: u32) -> Result<(), Error> {
        // Words are loaded in network order, and the port stands in the host's.
        let word = u32::from_be_bytes(port.to_ne_bytes());
        let program = [
            SockFilter::new(LOAD_WORD, 0, 0, PORT_AT),
            SockFilter::new(JUMP_IF_EQUAL, 0, 1, word),
            SockFilter::new(RETURN, 0, 0, 0),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
        ];
        self.inner
            .ignore(port, &program)
            .map_err(|source| Error::io("attaching a socket filter", source))
    }
}
