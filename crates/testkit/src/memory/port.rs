//! Ports: what waits for each socket, and which groups it is in (`net/netlink/af_netlink.c`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use netlink_batch::Errno;
use netlink_batch::memory::Ready;

use super::answer::{Delivery, To};
use super::listing::Listing;
use super::nft::Dump;
use super::{Identity, Sender};

/// The first port number; the kernel uses the process id for the first and odd numbers then.
const FIRST: u32 = 1000;
/// Room for what waits where a socket asks for none, bytes (`net.core.rmem_default`).
const ROOM: usize = 212_992;
/// What the kernel counts for a datagram besides its own length, bytes: about.
const OVERHEAD: usize = 832;

/// A listing that goes on when what there is of it was received.
#[derive(Debug)]
pub(super) enum Dumping {
    Rules(Dump),
    Objects(Listing),
}

/// All sockets.
pub(super) struct Ports {
    all: BTreeMap<u32, Port>,
    next: u32,
    limit: usize,
}

struct Port {
    protocol: isize,
    identity: Identity,
    ready: Ready,
    groups: BTreeSet<u32>,
    /// What this port causes is not told.
    ignored: Option<u32>,
    queue: VecDeque<Vec<u8>>,
    /// Bytes that the kernel counts for the queue, and up to which it takes more.
    taken: usize,
    room: usize,
    /// ENOBUFS is to be told.
    overrun: bool,
    /// Nothing more is delivered until the queue is empty.
    congested: bool,
    dump: Option<Dumping>,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            next: FIRST,
            limit: usize::MAX,
        }
    }
}

impl Ports {
    pub(super) fn open(&mut self, protocol: isize, identity: Identity, ready: Ready) -> u32 {
        let number = self.next;
        self.next += 1;
        let port = Port {
            protocol,
            identity,
            ready,
            groups: BTreeSet::new(),
            ignored: None,
            queue: VecDeque::new(),
            taken: 0,
            room: ROOM,
            overrun: false,
            congested: false,
            dump: None,
        };
        self.all.insert(number, port);
        number
    }

    pub(super) fn close(&mut self, number: u32) {
        self.all.remove(&number);
    }

    pub(super) fn sender(&self, number: u32) -> io::Result<Sender> {
        let port = self.all.get(&number).ok_or_else(closed)?;
        Ok(Sender {
            port: number,
            protocol: port.protocol,
            identity: port.identity.clone(),
        })
    }

    pub(super) fn join(&mut self, number: u32, group: u32) -> io::Result<()> {
        let port = self.all.get_mut(&number).ok_or_else(closed)?;
        port.groups.insert(group);
        Ok(())
    }

    pub(super) fn leave(&mut self, number: u32, group: u32) -> io::Result<()> {
        let port = self.all.get_mut(&number).ok_or_else(closed)?;
        port.groups.remove(&group);
        Ok(())
    }

    pub(super) fn ignore(&mut self, number: u32, cause: u32) -> io::Result<()> {
        let port = self.all.get_mut(&number).ok_or_else(closed)?;
        port.ignored = Some(cause);
        Ok(())
    }

    pub(super) fn allow_receive(&mut self, number: u32, bytes: usize) -> usize {
        if let Some(port) = self.all.get_mut(&number) {
            port.room = bytes;
        }
        bytes
    }

    pub(super) fn receive(&mut self, number: u32) -> io::Result<Option<Vec<u8>>> {
        let port = self.all.get_mut(&number).ok_or_else(closed)?;
        if std::mem::take(&mut port.overrun) {
            return Err(io::Error::from_raw_os_error(Errno::NOBUFS.raw()));
        }
        let received = port.queue.pop_front();
        port.taken -= received.as_deref().map_or(0, cost);
        if port.queue.is_empty() {
            port.congested = false;
        }
        Ok(received)
    }

    pub(super) fn deliver(&mut self, deliveries: Vec<Delivery>) {
        let limit = self.limit;
        for Delivery { to, datagram } in deliveries {
            match to {
                To::Port(number) => {
                    if let Some(port) = self.all.get_mut(&number) {
                        port.take(datagram, limit);
                    }
                }
                To::Group {
                    protocol,
                    group,
                    except,
                } => {
                    for (number, port) in &mut self.all {
                        let member = port.protocol == protocol && port.groups.contains(&group);
                        let ignored = port.ignored.is_some() && port.ignored == cause(&datagram);
                        if member && Some(*number) != except && !ignored {
                            port.take(datagram.clone(), limit);
                        }
                    }
                }
            }
        }
    }

    pub(super) fn overrun(&mut self, number: u32) {
        if let Some(port) = self.all.get_mut(&number) {
            port.lose();
        }
    }

    /// Loses what waits for each of the agent's listeners.
    pub(super) fn overrun_listeners(&mut self) {
        for port in self.all.values_mut() {
            if port.identity.ours && !port.groups.is_empty() {
                port.queue.clear();
                port.taken = 0;
                port.congested = false;
                port.lose();
            }
        }
    }

    pub(super) fn limit(&mut self, datagrams: usize) {
        self.limit = datagrams;
    }

    pub(super) fn longest(&self) -> usize {
        let ours = self.all.values().filter(|port| port.identity.ours);
        ours.map(|port| port.queue.len()).max().unwrap_or(0)
    }

    pub(super) fn is_dumping(&self, number: u32) -> bool {
        self.all
            .get(&number)
            .is_some_and(|port| port.dump.is_some())
    }

    pub(super) fn take_dump(&mut self, number: u32) -> Option<Dumping> {
        self.all.get_mut(&number)?.dump.take()
    }

    /// False where the port has a dump already.
    pub(super) fn start_dump(&mut self, number: u32, dump: Dumping) {
        if let Some(port) = self.all.get_mut(&number) {
            port.dump = Some(dump);
        }
    }
}

impl Port {
    fn take(&mut self, datagram: Vec<u8>, limit: usize) {
        if self.congested || self.taken > self.room || self.queue.len() >= limit {
            if !self.congested {
                self.congested = true;
                self.lose();
            }
            return;
        }
        self.taken += cost(&datagram);
        self.queue.push_back(datagram);
        self.ready.set();
    }

    fn lose(&mut self) {
        self.overrun = true;
        self.ready.set();
    }
}

/// The port that caused what the first message tells.
fn cause(datagram: &[u8]) -> Option<u32> {
    let port = datagram.get(12..16)?;
    Some(u32::from_ne_bytes(port.try_into().ok()?))
}

fn cost(datagram: &[u8]) -> usize {
    OVERHEAD + datagram.len()
}

fn closed() -> io::Error {
    io::Error::from(io::ErrorKind::NotConnected)
}
