//! The link that carries the virtual addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_batch::{Errno, Socket, retry_stale, socket::ROUTE};
use viprule_dataplane::ipvs::Part;
use viprule_dataplane::ownership::leavings::IPVS_LINK;

use super::outcome::Outcome;
use super::pipeline::{self, Failure, pipeline};
use super::stage::Tagged;
use super::watch::Watch;
use crate::link::{self, Found, Index, address};
use crate::{ApplyError, WriteError};

/// The link's kind. One of another kind is somebody else's.
pub(super) const KIND: &str = "dummy";
/// What is missing where rtnetlink is not there.
const PART: &str = "rtnetlink";
/// How often addresses that change while they are read are read again.
const ATTEMPTS: u32 = 10;
/// So many addresses at once are not listened to.
const MANY: usize = 256;

/// The link and what we know of it.
#[derive(Debug)]
pub(super) struct Carrier {
    socket: Socket,
    watch: Watch,
}

impl Carrier {
    pub(super) fn open() -> Result<Self, WriteError> {
        Ok(Self {
            socket: open()?,
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
        read(&mut self.socket)
    }

    /// Makes the link where it is missing. It stays down, as kube-proxy leaves it: addresses on it
    /// are the node's all the same.
    pub(super) fn ensure(&mut self) -> Result<Index, String> {
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
    ) -> Result<(), ApplyError<Part>> {
        self.quietly(addresses, |carrier| {
            let mut missing = carrier.try_to_add(addresses, outcome)?;
            if !missing.is_empty() {
                // Somebody removed the link since.
                carrier.watch.forget_link();
                missing = carrier.try_to_add(&missing, outcome)?;
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
        change: impl FnOnce(&mut Self) -> Result<(), ApplyError<Part>>,
    ) -> Result<(), ApplyError<Part>> {
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
    ) -> Result<Vec<Tagged<IpAddr>>, ApplyError<Part>> {
        let index = match self.watch.index() {
            Some(index) => index,
            None => match self.ensure() {
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
    ) -> Result<(), ApplyError<Part>> {
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
        self.quietly(addresses, |carrier| {
            let gone: Vec<IpAddr> = addresses.iter().map(|it| it.what).collect();
            carrier.watch.removed(&gone);
            let mut left = Vec::new();
            let sent = pipeline(
                &mut carrier.socket,
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
            carrier.watch.added(left.into_iter());
            outcome.sent("removing addresses", PART, sent)
        })
    }

    /// Removes the link with its addresses.
    pub(super) fn remove(&mut self) -> Result<(), String> {
        self.watch.know(None, BTreeSet::new());
        remove(&mut self.socket)
    }
}

/// Reads the link and its addresses. `None` where there is no link of ours.
pub(super) fn read(socket: &mut Socket) -> Result<Option<(Index, BTreeSet<IpAddr>)>, WriteError> {
    let found = link::find(socket, IPVS_LINK, KIND)
        .map_err(|error| WriteError::of("looking for links", &error, PART))?;
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
    .map_err(|error| WriteError::of("reading addresses", &error, PART))
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
        .map_err(|error| WriteError::of("looking for links", &error, PART))?;
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
        Err(Failure::Netlink(error)) => Err(WriteError::of("removing addresses", &error, PART)),
    }
}

/// Removes the link with its addresses.
pub(super) fn remove(socket: &mut Socket) -> Result<(), String> {
    link::remove(socket, IPVS_LINK, KIND)
        .map_err(|error| format!("link {IPVS_LINK}: {}", crate::error::chain(&error)))
}

pub(super) fn open() -> Result<Socket, WriteError> {
    Socket::open(ROUTE).map_err(|error| WriteError::of("opening a netlink socket", &error, PART))
}

/// What is not a virtual address is left alone: one with others beside it somebody else put there,
/// and the link-local one is the kernel's.
pub(super) fn is_ours(link: Index, it: &address::Assigned) -> bool {
    let link_local = matches!(it.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    it.link == link.get() && it.is_host() && !link_local
}
