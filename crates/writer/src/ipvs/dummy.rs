//! The dummy link that the virtual addresses are on, as the kernel has it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_batch::{Socket, retry_stale, socket::ROUTE};
use viprule_dataplane::ownership::leftovers::IPVS_LINK;

use super::pipeline::{self, Failure, pipeline};
use crate::WriteError;
use crate::link::{self, Found, Index, address};

/// The link's kind. One of another kind is somebody else's.
pub(super) const KIND: &str = "dummy";
/// What is missing where rtnetlink is not there.
pub(super) const PART: &str = "rtnetlink";
/// How often addresses that change while they are read are read again.
const ATTEMPTS: u32 = 10;

/// Reads the link and its addresses. `None` where there is no link of ours.
pub(super) fn read(socket: &mut Socket) -> Result<Option<(Index, BTreeSet<IpAddr>)>, WriteError> {
    let found = link::find(socket, IPVS_LINK, KIND)
        .map_err(|error| WriteError::of("looking for links", error, PART))?;
    let Found::Link(index) = found else {
        return Ok(None);
    };
    retry_stale(ATTEMPTS, || {
        let mut addresses = BTreeSet::new();
        address::list(socket, |it| {
            if is_ours(index, &it) {
                addresses.insert(it.address);
            }
        })?;
        Ok(Some((index, addresses)))
    })
    .map_err(|error| WriteError::of("reading addresses", error, PART))
}

/// Takes addresses from the link, if there is one of ours. Returns those that stay, and why.
pub(super) fn free(
    socket: &mut Socket,
    addresses: &[IpAddr],
) -> Result<Vec<(IpAddr, String)>, WriteError> {
    let mut left = Vec::new();
    if addresses.is_empty() {
        return Ok(left);
    }
    let found = link::find(socket, IPVS_LINK, KIND)
        .map_err(|error| WriteError::of("looking for links", error, PART))?;
    let Found::Link(index) = found else {
        return Ok(left);
    };
    let sent = pipeline(
        socket,
        addresses,
        |batch, it, flags| address::delete(batch, index, it, flags),
        |it, refusal| {
            if !address::is_gone(refusal.errno) {
                left.push((*it, pipeline::reason(refusal)));
            }
        },
    );
    match sent {
        // Who lost an answer looks again.
        Ok(_) | Err(Failure::Lost) => Ok(left),
        Err(Failure::Netlink(error)) => Err(WriteError::of("removing addresses", error, PART)),
    }
}

/// Removes the link with its addresses.
pub(super) fn remove(socket: &mut Socket) -> Result<(), String> {
    link::remove(socket, IPVS_LINK, KIND)
        .map_err(|error| format!("link {IPVS_LINK}: {}", crate::error::chain(&error)))
}

pub(super) fn open() -> Result<Socket, WriteError> {
    Socket::open(ROUTE).map_err(|error| WriteError::of("opening a netlink socket", error, PART))
}

/// What is not a virtual address is left alone: one with others beside it somebody else put there,
/// and the link-local one is the kernel's.
pub(super) fn is_ours(link: Index, it: &address::Assigned) -> bool {
    let link_local = matches!(it.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    it.link == link.get() && it.is_host() && !link_local
}
