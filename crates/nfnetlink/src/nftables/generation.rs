//! The generation: a number per network namespace that every commit to any table raises by one.

use netlink_batch::{Error, Message, Socket};

use super::uapi::{generation as attr, op};
use super::{by_kind, pick, require};
use crate::nfgenmsg;

/// A generation as the kernel reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation<'a> {
    /// The generation.
    pub id: u32,
    /// In notifications the thread that committed, as numbered in the initial pid namespace; in
    /// answers the thread that asked. `None` before Linux 4.15.
    pub process_id: Option<u32>,
    /// That thread's name (`comm`).
    pub process_name: Option<&'a str>,
}

impl<'a> Generation<'a> {
    /// Reads a `NFT_MSG_NEWGEN` message.
    pub fn read(message: &Message<'a>) -> Result<Self, Error> {
        let (_, attrs) = message.split::<4>()?;
        let found = by_kind::<3>(attrs)?;
        Ok(Self {
            id: require(pick(&found, attr::ID), "generation", "id")?.u32_be()?,
            process_id: pick(&found, attr::PROCESS_ID)
                .map(|attr| attr.u32_be())
                .transpose()?,
            process_name: pick(&found, attr::PROCESS_NAME).and_then(|attr| attr.str().ok()),
        })
    }
}

/// The current generation; takes about 30 µs and does not wait for a commit in progress.
pub fn generation(socket: &mut Socket) -> Result<u32, Error> {
    let mut id = None;
    socket.request(
        op::GET_GEN,
        0,
        &nfgenmsg(0),
        |_| {},
        |message| {
            if message.kind == op::NEW_GEN {
                id = Some(Generation::read(&message)?.id);
            }
            Ok(())
        },
    )?;
    require(id, "answer", "generation")
}

/// The generation that a commit on top of `id` makes; 0 is left out.
pub(super) const fn next(id: u32) -> u32 {
    match id.wrapping_add(1) {
        0 => 1,
        id => id,
    }
}
