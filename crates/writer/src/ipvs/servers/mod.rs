//! Virtual servers and their destinations.

mod release;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use ipvs_netlink::proc;
use ipvs_netlink::{
    Destination, DestinationId, Error, Invalid, Ipvs, Protocol, Reason, Requests, Scheduler,
    Server, ServerId,
};
use netlink_batch::Refusal;
use viprule_dataplane::ipvs::Piece;

use crate::ipvs::drain::Drain;
use crate::ipvs::outcome::Outcome;
use crate::ipvs::pipeline::{self, Failure};
use crate::ipvs::stage::Tagged;
use crate::{ApplyError, WriteError};

/// What is missing where IPVS is not there.
pub(in crate::ipvs) const PART: &str = "IPVS (CONFIG_IP_VS; modprobe ip_vs)";

/// A virtual server that is to be there.
type OneServer = Tagged<(ServerId, Server)>;
/// A destination that is to be there.
type OneDestination = Tagged<(ServerId, DestinationId, Destination)>;

/// The kernel's virtual servers, and which of their destinations drain.
#[derive(Debug)]
pub(in crate::ipvs) struct Servers {
    ipvs: Ipvs,
    pub(in crate::ipvs) drain: Drain,
    /// Schedulers that the kernel refused for want of them, until somebody asks.
    pub(in crate::ipvs) lacking: BTreeSet<Scheduler>,
}

/// Why a change was not made.
enum Why<'a> {
    Kernel(Reason, &'a Refusal<usize>),
    Invalid(Invalid),
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(Reason::Other(_), refusal) => f.write_str(&pipeline::reason(refusal)),
            Self::Kernel(reason, _) => reason.fmt(f),
            Self::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl Servers {
    pub(in crate::ipvs) const fn new(ipvs: Ipvs, drain: Drain) -> Self {
        Self {
            ipvs,
            drain,
            lacking: BTreeSet::new(),
        }
    }

    pub(in crate::ipvs) fn ipvs(&mut self) -> &mut Ipvs {
        &mut self.ipvs
    }

    /// Makes virtual servers and changes those that are there.
    pub(in crate::ipvs) fn write(
        &mut self,
        servers: &[OneServer],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        let mut known = Cow::Borrowed(servers);
        if !servers.iter().all(is_known) {
            for it in servers.iter().filter(|it| !is_known(it)) {
                let (id, Server { scheduler, .. }) = &it.what;
                outcome.refuse(it.tag, || {
                    format!(
                        "virtual server {id}: scheduler {scheduler} or its persistence engine is \
                         none that Linux has"
                    )
                });
            }
            known.to_mut().retain(is_known);
        }
        let again = self.try_to_write(&known, outcome)?;
        if !again.is_empty() {
            // Looks leave out what shows no sign of being ours: an element of a set, an address.
            // Now that there is one they tell of destinations that others, or we, left there.
            outcome.note_unknown();
        }
        if !self.try_to_write(&again, outcome)?.is_empty() {
            outcome.note_stale();
        }
        Ok(())
    }

    /// Returns those that are there against what we know.
    fn try_to_write(
        &mut self,
        servers: &[OneServer],
        outcome: &mut Outcome,
    ) -> Result<Vec<OneServer>, ApplyError<Piece>> {
        let (mut again, mut lacking) = (Vec::new(), BTreeSet::new());
        let sent = self.send(
            servers,
            |requests, it| match (it.old, &it.what) {
                (false, (id, server)) => requests.new_server(id, server),
                (true, (id, server)) => requests.set_server(id, server),
            },
            |it, why| match (it.old, why) {
                (false, Why::Kernel(Reason::Exists, _)) => {
                    again.push(Tagged { old: true, ..*it });
                }
                // Its destinations are gone too.
                (true, Why::Kernel(Reason::NoServer, _)) => outcome.note_stale(),
                (_, why) => {
                    if let Why::Kernel(Reason::NoModule, _) = why {
                        lacking.insert(it.what.1.scheduler);
                    }
                    outcome.refuse(it.tag, || refused(&it.what.0, &it.what.1, &why));
                }
            },
        );
        self.lacking.append(&mut lacking);
        outcome.sent("writing virtual servers", PART, sent)?;
        Ok(again)
    }

    /// Makes destinations and changes those that are there, draining ones too.
    pub(in crate::ipvs) fn write_destinations(
        &mut self,
        destinations: &mut [OneDestination],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        for it in &mut *destinations {
            // What drains is there, at weight 0.
            it.old |= self.drain.contains(&it.what.0, &it.what.1);
        }
        let again = self.try_to_write_destinations(destinations, outcome)?;
        if !self.try_to_write_destinations(&again, outcome)?.is_empty() {
            outcome.note_stale();
        }
        for it in destinations.iter().filter(|it| it.old) {
            self.drain.end(&it.what.0, &it.what.1);
        }
        Ok(())
    }

    /// Returns those that are there, or not there, against what we know.
    fn try_to_write_destinations(
        &mut self,
        destinations: &[OneDestination],
        outcome: &mut Outcome,
    ) -> Result<Vec<OneDestination>, ApplyError<Piece>> {
        let mut again = Vec::new();
        let sent = self.send(
            destinations,
            |requests, it| match (it.old, &it.what) {
                (false, (server, id, content)) => requests.new_destination(server, id, content),
                (true, (server, id, content)) => requests.set_destination(server, id, content),
            },
            |it, why| match (it.old, why) {
                (false, Why::Kernel(Reason::Exists, _)) => {
                    again.push(Tagged { old: true, ..*it });
                }
                (true, Why::Kernel(Reason::NoDestination, _)) => {
                    again.push(Tagged { old: false, ..*it });
                }
                (_, Why::Kernel(Reason::NoServer, _)) => outcome.note_stale(),
                (_, why) => outcome.refuse(it.tag, || {
                    format!("destination {} of {}: {why}", it.what.1, it.what.0)
                }),
            },
        );
        outcome.sent("writing destinations", PART, sent)?;
        Ok(again)
    }

    /// Deletes virtual servers with their destinations.
    pub(in crate::ipvs) fn delete(
        &mut self,
        servers: &[Tagged<ServerId>],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        let sent = self.send(
            servers,
            |requests, it| {
                requests.delete_server(&it.what);
                Ok(())
            },
            |it, why| match why {
                Why::Kernel(Reason::NoServer, _) => {}
                why => outcome.refuse(it.tag, || format!("virtual server {}: {why}", it.what)),
            },
        );
        for it in servers {
            self.drain.end_server(&it.what);
        }
        outcome.sent("removing virtual servers", PART, sent)
    }

    /// Sends a request for each item.
    fn send<T>(
        &mut self,
        items: &[T],
        add: impl Fn(&mut Requests<usize>, &T) -> Result<(), Invalid>,
        mut refused: impl FnMut(&T, Why<'_>),
    ) -> Result<usize, Failure> {
        let mut requests = self.ipvs.requests();
        let mut bytes = 0;
        for part in items.chunks(pipeline::PART) {
            requests.clear();
            for (at, item) in part.iter().enumerate() {
                requests.tag(at);
                if let Err(invalid) = add(&mut requests, item) {
                    refused(item, Why::Invalid(invalid));
                }
            }
            let answers = self.ipvs.send(&mut requests).map_err(Failure::Netlink)?;
            bytes += requests.as_bytes().len();
            pipeline::judge(part, &answers, |item, refusal| {
                refused(item, Why::Kernel(requests.reason(refusal), refusal));
            })?;
        }
        Ok(bytes)
    }
}

/// The kernel's table can't be read.
pub(in crate::ipvs) fn unreadable(error: proc::Error) -> WriteError {
    WriteError::failed("reading the table of virtual servers", error)
}

/// IPVS can't be opened.
pub(in crate::ipvs) fn unusable(error: Error) -> WriteError {
    let operation = "opening IPVS";
    match error {
        Error::NotSupported => WriteError::Missing {
            operation: operation.to_owned(),
            part: PART.to_owned(),
        },
        Error::NotPermitted => WriteError::Permission {
            operation: operation.to_owned(),
            capability: "CAP_NET_ADMIN",
        },
        Error::Netlink(error) => WriteError::of(operation, error, PART),
    }
}

/// UDP has no connections whose end could be waited for (contract 3.4).
pub(in crate::ipvs) const fn drains(server: &ServerId) -> bool {
    !matches!(
        server,
        ServerId::Address {
            protocol: Protocol::Udp,
            ..
        }
    )
}

/// True where Linux has what the virtual server names. For other names the kernel would load
/// whatever module has such a one.
fn is_known(it: &OneServer) -> bool {
    let (_, server) = &it.what;
    server.scheduler.is_linux() && server.engine.is_none_or(|it| it.is_linux())
}

fn refused(id: &ServerId, server: &Server, why: &Why<'_>) -> String {
    match why {
        Why::Kernel(Reason::NoModule, _) => {
            let scheduler = &server.scheduler;
            format!(
                "virtual server {id}: this kernel has no scheduler {scheduler}, or can't load its \
                 module ip_vs_{scheduler}"
            )
        }
        why => format!("virtual server {id}: {why}"),
    }
}
