//! One look at the table.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use netlink_batch::{Error, Socket};
use nfnetlink::conntrack::{Deletions, Filter, Flow, dump, lookup};
use viprule_dataplane::family::in_netfilter;
use viprule_service::model::{Family as ServiceFamily, Protocol};
use viprule_service::plan::FlowDestination;

use super::book::Book;
use super::looks::{self, Table};
use crate::{WriteError, socket};

/// Flows that are held at most, before they are deleted.
const HELD: usize = 256;
/// How often a look that the kernel interrupts is repeated.
const ATTEMPTS: usize = 3;

/// What a look did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) deleted: u64,
    pub(super) seen: u64,
    pub(super) dumps: u32,
    /// The largest number of flows held at once.
    pub(super) held: usize,
}

/// Sockets and buffers for looking.
#[derive(Debug)]
pub(super) struct Sweeper {
    reading: Socket,
    deleting: Socket,
    held: Vec<Flow>,
    deletions: Deletions,
    /// False once the kernel has turned out not to filter.
    kernel_filters: bool,
}

impl Sweeper {
    /// Opens the sockets in the network namespace of the calling thread.
    pub(super) fn open() -> Result<Self, WriteError> {
        Ok(Self {
            reading: socket::netfilter()?,
            deleting: socket::netfilter()?,
            held: Vec::with_capacity(HELD),
            deletions: Deletions::new(),
            kernel_filters: true,
        })
    }

    /// Deletes the stale flows of one family and protocol to these destinations.
    pub(super) fn sweep(
        &mut self,
        protocol: Protocol,
        family: ServiceFamily,
        among: &BTreeSet<FlowDestination>,
        book: &Mutex<impl AsRef<Book>>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let family = in_netfilter(family);
        let filters = if let Some(table) = Table::read().filter(|_| self.kernel_filters) {
            let book = book.lock().unwrap_or_else(PoisonError::into_inner);
            looks::filters(family, among, (*book).as_ref(), table)
        } else {
            vec![looks::all(family, protocol)]
        };
        for filter in filters {
            self.look(&filter, among, book, counts)?;
        }
        Ok(())
    }

    fn look(
        &mut self,
        filter: &Filter,
        among: &BTreeSet<FlowDestination>,
        book: &Mutex<impl AsRef<Book>>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let mut attempts = ATTEMPTS;
        loop {
            let result = self.look_once(filter, among, book, counts);
            attempts -= 1;
            match result {
                // What was read was true, and the stale ones of it are gone.
                Err(error) if error.is_stale() && attempts > 0 => {}
                result => return result,
            }
        }
    }

    fn look_once(
        &mut self,
        filter: &Filter,
        among: &BTreeSet<FlowDestination>,
        book: &Mutex<impl AsRef<Book>>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let Self {
            reading,
            deleting,
            held,
            deletions,
            kernel_filters,
        } = self;
        held.clear();
        let mut failed = None;
        let mut end = |held: &mut Vec<Flow>, counts: &mut Counts| {
            counts.held = counts.held.max(held.len());
            match end(held, deletions, deleting, among, book) {
                Ok(deleted) => counts.deleted += deleted,
                Err(error) => failed = failed.take().or(Some(error)),
            }
        };
        counts.dumps += 1;
        let mut seen = 0;
        let result = dump(reading, filter, |flow| {
            seen += 1;
            let stale = {
                let book = book.lock().unwrap_or_else(PoisonError::into_inner);
                (*book).as_ref().is_stale(flow, among)
            };
            if stale {
                held.push(*flow);
                if held.len() == HELD {
                    end(held, counts);
                }
            }
        });
        end(held, counts);
        counts.seen += result.as_ref().map_or(seen, |dumped| dumped.seen);
        let dumped = result?;
        *kernel_filters &= dumped.by_kernel;
        failed.map_or(Ok(()), Err)
    }
}

/// Deletes what is still stale of the flows held: the book may have moved on since they were read,
/// and a SYN may have been answered.
fn end(
    held: &mut Vec<Flow>,
    deletions: &mut Deletions,
    socket: &mut Socket,
    among: &BTreeSet<FlowDestination>,
    book: &Mutex<impl AsRef<Book>>,
) -> Result<u64, Error> {
    let mut failed = None;
    for flow in held.drain(..) {
        let flow = match flow.tcp_state {
            None => Some(flow),
            Some(_) => lookup(socket, &flow).unwrap_or_else(|error| {
                failed = Some(error);
                None
            }),
        };
        let book = book.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = |flow: &Flow| (*book).as_ref().is_stale(flow, among);
        if let Some(flow) = flow.filter(stale) {
            deletions.push(&flow);
        }
    }
    let deleted = deletions.send(socket)?;
    if let Some((errno, _)) = deleted.refused {
        return Err(Error::Refused {
            errno,
            text: None,
            offset: None,
        });
    }
    failed.map_or(Ok(deleted.deleted.into()), Err)
}
