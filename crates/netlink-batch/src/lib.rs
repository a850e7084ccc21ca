#![doc = include_str!("../README.md")]

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
