//! Notices what others do to the link and its addresses.
//!
//! The kernel tells of our own changes too, of those of IPv6 addresses later and without saying
//! whose they are. So what it tells is compared with what we know to be there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use netlink_batch::{Error, Message, Socket};
use viprule_dataplane::ownership::leftovers::IPVS_LINK;

use super::dummy;
use crate::WriteError;
use crate::link::{self, Index, address};

/// `RTNLGRP_LINK`.
const LINKS: u32 = 1;
/// `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR`.
const ADDRESSES: [u32; 2] = [5, 9];

#[derive(Debug)]
pub(super) struct Watch {
    events: Socket,
    known: Known,
}

/// What is there as far as we know.
#[derive(Debug, Default)]
struct Known {
    link: Option<Index>,
    addresses: BTreeSet<IpAddr>,
    /// Others changed it, and it was not read since.
    touched: bool,
}

impl Watch {
    pub(super) fn start() -> Result<Self, WriteError> {
        let events = dummy::open()?;
        events.join(LINKS).map_err(listening)?;
        let watch = Self {
            events,
            known: Known::default(),
        };
        watch.resume()?;
        Ok(watch)
    }

    /// Stops to listen to changes of addresses.
    pub(super) fn pause(&self) -> Result<(), WriteError> {
        let leave = |group| self.events.leave(group);
        let left = ADDRESSES.into_iter().try_for_each(leave);
        left.map_err(listening)
    }

    /// Listens to them again; [`Watch::compare`] what they are now.
    pub(super) fn resume(&self) -> Result<(), WriteError> {
        let join = |group| self.events.join(group);
        let joined = ADDRESSES.into_iter().try_for_each(join);
        joined.map_err(listening)
    }

    /// Compares what was read with what we know to be there.
    pub(super) fn compare(&mut self, found: Option<(Index, BTreeSet<IpAddr>)>) {
        let (link, addresses) = match found {
            Some((link, addresses)) => (Some(link), addresses),
            None => (None, BTreeSet::new()),
        };
        let known = &mut self.known;
        known.touched |= known.link != link || known.addresses != addresses;
        self.know(link, addresses);
    }

    pub(super) const fn socket(&self) -> &Socket {
        &self.events
    }

    pub(super) const fn index(&self) -> Option<Index> {
        self.known.link
    }

    pub(super) const fn addresses(&self) -> &BTreeSet<IpAddr> {
        &self.known.addresses
    }

    /// True where others touched the link or its addresses since they were read last.
    pub(super) fn is_touched(&mut self) -> Result<bool, WriteError> {
        self.absorb()?;
        Ok(self.known.touched)
    }

    /// Says that the link and its addresses are about to be read.
    pub(super) fn accept(&mut self) -> Result<(), WriteError> {
        self.absorb()?;
        self.known.touched = false;
        Ok(())
    }

    /// Says what was read.
    pub(super) fn know(&mut self, link: Option<Index>, addresses: BTreeSet<IpAddr>) {
        self.known.link = link;
        self.known.addresses = addresses;
    }

    /// Says that this is the link.
    pub(super) fn have(&mut self, link: Index) {
        if self.known.link != Some(link) {
            self.know(Some(link), BTreeSet::new());
        }
    }

    /// Says that the link is gone.
    pub(super) fn forget_link(&mut self) {
        self.know(None, BTreeSet::new());
        self.known.touched = true;
    }

    /// Says which addresses are about to be added.
    pub(super) fn added(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        self.known.addresses.extend(addresses);
    }

    /// Says which addresses are about to be removed, or were not added.
    pub(super) fn removed(&mut self, addresses: &[IpAddr]) {
        for address in addresses {
            self.known.addresses.remove(address);
        }
    }

    /// Takes in what has arrived.
    pub(super) fn absorb(&mut self) -> Result<(), WriteError> {
        loop {
            let known = &mut self.known;
            let result = self
                .events
                .receive(Some(Duration::ZERO), |message| known.take(&message));
            match result {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(Error::Resync) => self.known.touched = true,
                Err(error) => return Err(listening(error)),
            }
        }
    }
}

impl Known {
    fn take(&mut self, message: &Message<'_>) {
        match message.kind {
            link::NEW | link::DELETE => {
                if let Ok((index, name)) = link::told(message) {
                    self.take_link(message.kind, index, name);
                }
            }
            address::NEW | address::DELETE => {
                if let (Ok(Some(it)), Some(link)) = (address::Assigned::read(message), self.link)
                    && dummy::is_ours(link, &it)
                {
                    self.touched |= match message.kind {
                        address::NEW => self.addresses.insert(it.address),
                        _ => self.addresses.remove(&it.address),
                    };
                }
            }
            _ => {}
        }
    }

    fn take_link(&mut self, kind: u16, index: u32, name: Option<&str>) {
        let is_ours = self.link.is_some_and(|link| link.get() == index);
        let has_name = name == Some(IPVS_LINK);
        let is_gone = is_ours && (kind == link::DELETE || !has_name);
        if is_gone {
            self.link = None;
            self.addresses.clear();
        }
        self.touched |= is_gone || (kind == link::NEW && has_name && !is_ours);
    }
}

fn listening(error: Error) -> WriteError {
    WriteError::of("listening for changes of addresses", error, "rtnetlink")
}

#[cfg(test)]
mod tests {
    use netlink_batch::Batch;

    use super::*;

    const LINK: u32 = 7;

    fn known(addresses: &[&str]) -> Known {
        Known {
            link: Index::new(LINK),
            addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
            touched: false,
        }
    }

    /// True where the message tells that somebody else did something.
    fn touches(known: &mut Known, write: impl Fn(&mut Batch<()>)) -> bool {
        let mut batch = Batch::new();
        write(&mut batch);
        known.touched = false;
        for message in batch.messages() {
            known.take(&message);
        }
        known.touched
    }

    fn add(known: &mut Known, link: u32, address: &str) -> bool {
        let (link, address) = (Index::new(link).unwrap(), address.parse().unwrap());
        touches(known, |batch| address::add(batch, link, &address, 0))
    }

    fn delete(known: &mut Known, address: &str) -> bool {
        let (link, address) = (Index::new(LINK).unwrap(), address.parse().unwrap());
        touches(known, |batch| address::delete(batch, link, &address, 0))
    }

    #[test]
    fn what_we_know_already_is_nobody_elses_doing() {
        let mut known = known(&["10.1.0.1", "fd00::1"]);
        assert!(!add(&mut known, LINK, "10.1.0.1"));
        assert!(!add(&mut known, LINK, "fd00::1"));
        assert!(!delete(&mut known, "10.1.0.2"));
    }

    #[test]
    fn other_addresses_that_come_and_ours_that_go_are() {
        let mut known = known(&["10.1.0.1"]);
        assert!(add(&mut known, LINK, "10.1.0.2"));
        assert!(delete(&mut known, "10.1.0.1"));
        assert!(!add(&mut known, LINK + 1, "10.1.0.3"), "of another link");
        assert!(!add(&mut known, LINK, "fe80::1"), "the kernel's");
    }

    fn link(known: &mut Known, kind: u16, index: u32, name: &str) -> bool {
        touches(known, |batch| {
            let mut header = [0; 16];
            header[4..8].copy_from_slice(&index.to_ne_bytes());
            batch.message(kind, 0, &header, |attrs| attrs.str(3, name));
        })
    }

    #[test]
    fn a_link_that_goes_or_comes_is() {
        let mut known = known(&["10.1.0.1"]);
        assert!(!link(&mut known, link::NEW, LINK, IPVS_LINK), "set up");
        assert!(!link(&mut known, link::NEW, LINK + 1, "eth0"));
        assert!(!link(&mut known, link::DELETE, LINK + 1, "eth0"));
        assert!(link(&mut known, link::DELETE, LINK, IPVS_LINK));
        assert_eq!((known.link, known.addresses.len()), (None, 0));
        assert!(link(&mut known, link::NEW, LINK + 2, IPVS_LINK));
    }
}
