//! The virtual addresses and the link that they are on.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_batch::{Errno, Socket};
use viprule_dataplane::ipvs::Piece;
use viprule_dataplane::ownership::leftovers::IPVS_LINK;

use super::dummy::{self, KIND, PART};
use super::outcome::Outcome;
use super::pipeline::{self, Failure, pipeline};
use super::stage::Tagged;
use super::watch::Watch;
use crate::link::{self, Found, Index, address};
use crate::{ApplyError, WriteError};

/// So many addresses at once are not listened to.
const MANY: usize = 256;

/// The link and what we know of it.
#[derive(Debug)]
pub(super) struct Addresses {
    socket: Socket,
    watch: Watch,
}

impl Addresses {
    pub(super) fn open() -> Result<Self, WriteError> {
        Ok(Self {
            socket: dummy::open()?,
            watch: Watch::start()?,
        })
    }

    /// Notices what others do to the link.
    pub(super) const fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    pub(super) const fn events(&self) -> &Socket {
        self.watch.socket()
    }

    /// Reads the link's addresses. `None` where there is no link of ours. What others did before
    /// counts as known from then on.
    pub(super) fn observe(&mut self) -> Result<Option<&BTreeSet<IpAddr>>, WriteError> {
        self.watch.accept()?;
        let (link, addresses) = match self.read()? {
            Some((link, addresses)) => (Some(link), addresses),
            None => (None, BTreeSet::new()),
        };
        self.watch.know(link, addresses);
        Ok(link.map(|_| self.watch.addresses()))
    }

    /// Reads the link and its addresses, and leaves what we know as it is.
    pub(super) fn read(&mut self) -> Result<Option<(Index, BTreeSet<IpAddr>)>, WriteError> {
        dummy::read(&mut self.socket)
    }

    /// Makes the link where it is missing. It stays down, as kube-proxy leaves it: addresses on it
    /// are the node's all the same.
    pub(super) fn ensure_link(&mut self) -> Result<Index, String> {
        let mut made = false;
        loop {
            match link::find(&mut self.socket, IPVS_LINK, KIND) {
                Ok(Found::Link(index)) => {
                    self.watch.have(index);
                    return Ok(index);
                }
                Ok(Found::OtherKind) => {
                    return Err(format!(
                        "there is a link {IPVS_LINK} that is no {KIND} link, so it is somebody \
                         else's; rename or remove it"
                    ));
                }
                Ok(Found::Nothing) if !made => {
                    made = true;
                    match link::create(&mut self.socket, IPVS_LINK, KIND) {
                        Ok(()) => {}
                        Err(error) if error.errno() == Some(Errno::EXIST) => {}
                        Err(error) if error.is_unsupported() => {
                            return Err(format!(
                                "link {IPVS_LINK}: this kernel has no {KIND} links \
                                 (CONFIG_DUMMY), or can't load the module"
                            ));
                        }
                        Err(error) => {
                            return Err(format!(
                                "link {IPVS_LINK}: {}",
                                crate::error::chain(&error)
                            ));
                        }
                    }
                }
                Ok(Found::Nothing) => {
                    return Err(format!("link {IPVS_LINK}: somebody removes it at once"));
                }
                Err(error) => {
                    return Err(format!("link {IPVS_LINK}: {}", crate::error::chain(&error)));
                }
            }
        }
    }

    /// Puts addresses on the link, which is made where it is missing.
    pub(super) fn add(
        &mut self,
        addresses: &[Tagged<IpAddr>],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        self.quietly(addresses, |own| {
            let mut missing = own.try_to_add(addresses, outcome)?;
            if !missing.is_empty() {
                // Somebody removed the link since.
                own.watch.forget_link();
                missing = own.try_to_add(&missing, outcome)?;
                for it in missing {
                    outcome.refuse(it.tag, || format!("address {}: no link", it.what));
                }
            }
            Ok(())
        })
    }

    /// Does not listen while many addresses change: hearing of each costs more than to look at all
    /// of them afterwards.
    fn quietly(
        &mut self,
        addresses: &[Tagged<IpAddr>],
        change: impl FnOnce(&mut Self) -> Result<(), ApplyError<Piece>>,
    ) -> Result<(), ApplyError<Piece>> {
        if addresses.is_empty() {
            return Ok(());
        }
        if addresses.len() < MANY {
            change(self)?;
            return Ok(self.watch.absorb()?);
        }
        self.watch.absorb()?;
        self.watch.pause()?;
        let result = change(self);
        self.watch.resume()?;
        let found = self.read()?;
        self.watch.compare(found);
        result
    }

    /// Returns the addresses for which there is no link.
    fn try_to_add(
        &mut self,
        addresses: &[Tagged<IpAddr>],
        outcome: &mut Outcome,
    ) -> Result<Vec<Tagged<IpAddr>>, ApplyError<Piece>> {
        let index = match self.watch.index() {
            Some(index) => index,
            None => match self.ensure_link() {
                Ok(index) => index,
                Err(reason) => {
                    for it in addresses {
                        outcome.refuse(it.tag, || reason.clone());
                    }
                    return Ok(Vec::new());
                }
            },
        };
        // Before the kernel tells of them.
        self.watch.added(addresses.iter().map(|it| it.what));
        let (mut missing, mut refused) = (Vec::new(), Vec::new());
        let sent = pipeline(
            &mut self.socket,
            addresses,
            |batch, it, flags| address::add(batch, index, &it.what, flags),
            |it, refusal| match refusal.errno {
                Errno::EXIST => {}
                link::NODEV => missing.push(*it),
                _ => {
                    refused.push(it.what);
                    outcome.refuse(it.tag, || {
                        format!("address {}: {}", it.what, pipeline::reason(refusal))
                    });
                }
            },
        );
        self.watch.removed(&refused);
        outcome.sent("adding addresses", PART, sent)?;
        Ok(missing)
    }

    /// Takes addresses from the link.
    pub(super) fn delete(
        &mut self,
        addresses: &[Tagged<IpAddr>],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        let index = match self.watch.index() {
            Some(index) => index,
            None => match link::find(&mut self.socket, IPVS_LINK, KIND) {
                Ok(Found::Link(index)) => index,
                Ok(_) => return Ok(()),
                Err(error) => {
                    return outcome.sent("looking for links", PART, Err(Failure::Netlink(error)));
                }
            },
        };
        self.quietly(addresses, |own| {
            let gone: Vec<IpAddr> = addresses.iter().map(|it| it.what).collect();
            own.watch.removed(&gone);
            let mut left = Vec::new();
            let sent = pipeline(
                &mut own.socket,
                addresses,
                |batch, it, flags| address::delete(batch, index, &it.what, flags),
                |it, refusal| {
                    if !address::is_gone(refusal.errno) {
                        left.push(it.what);
                        outcome.refuse(it.tag, || {
                            format!("address {}: {}", it.what, pipeline::reason(refusal))
                        });
                    }
                },
            );
            own.watch.added(left.into_iter());
            outcome.sent("removing addresses", PART, sent)
        })
    }

    /// Removes the link with its addresses.
    pub(super) fn remove_link(&mut self) -> Result<(), String> {
        self.watch.know(None, BTreeSet::new());
        dummy::remove(&mut self.socket)
    }
}
