//! Many netlink messages in one send, with every verdict mapped back to its message.
//!
//! The crate knows no message of its own: it writes attributes into one growing buffer, sends
//! the buffer, and hands back what the kernel said about each message. Message types live in
//! crates such as `nfnetlink`.
//!
//! Everything is blocking and synchronous, as the kernel's side of netlink is: when a send
//! returns, the kernel has done the work and its answers wait in the receive buffer.

pub mod attr;
pub mod batch;
pub mod errno;
pub mod error;
#[cfg(feature = "memory")]
pub mod memory;
pub mod message;
pub mod socket;
pub mod verdict;

pub use attr::{Attr, AttrError, AttrWriter, Attrs};
pub use batch::{Batch, Mark};
pub use errno::Errno;
pub use error::{Error, retry_stale};
pub use message::{Message, MessageError, Messages};
pub use socket::{Answers, Refusal, Socket};
pub use verdict::Verdict;
