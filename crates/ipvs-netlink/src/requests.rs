//! Many changes with one system call.

use netlink_batch::message::flags;
use netlink_batch::{AttrWriter, Batch, Refusal};

use crate::check::{self, Invalid};
use crate::uapi::{VERSION, command};
use crate::{Destination, DestinationId, Reason, Server, ServerId, Timeouts, encode, genl};

/// Where the message's flags stand behind its start.
const FLAGS_AT: usize = 6;

/// Changes to be sent at once with [`Ipvs::send`](crate::Ipvs::send), in their order.
///
/// Each belongs to the tag that was set last, so that refusals can be told apart. The kernel works
/// them off one by one: a refused one does not keep it from the others. Requests that were sent
/// stay until [`Requests::clear`].
#[derive(Debug)]
pub struct Requests<T> {
    family: u16,
    pub(crate) batch: Batch<T>,
    commands: Vec<u8>,
    last: usize,
}

impl<T> Requests<T> {
    /// Bytes from which on [`Requests::is_full`] tells to send them: large enough for the system
    /// call to cost nothing, and small enough for the refusals of all to fit into the socket's
    /// receive buffer.
    pub const CHUNK: usize = 256 << 10;

    /// None yet; `family` is the message type of generic netlink family `IPVS`.
    pub(crate) const fn new(family: u16) -> Self {
        Self {
            family,
            batch: Batch::new(),
            commands: Vec::new(),
            last: 0,
        }
    }

    /// Sets the tag that the following requests belong to.
    pub fn tag(&mut self, tag: T) {
        self.batch.tag(tag);
    }

    /// Says that the following requests belong to no tag.
    pub fn untag(&mut self) {
        self.batch.untag();
    }

    /// Makes a virtual server; [`Reason::Exists`] where there is one.
    pub fn new_server(&mut self, id: &ServerId, server: &Server) -> Result<(), Invalid> {
        self.full_server(command::NEW_SERVICE, id, server)
    }

    /// Changes all of a virtual server; its destinations and connections stay.
    pub fn set_server(&mut self, id: &ServerId, server: &Server) -> Result<(), Invalid> {
        self.full_server(command::SET_SERVICE, id, server)
    }

    /// Deletes a virtual server with its destinations. Packets of its connections find none then.
    pub fn delete_server(&mut self, id: &ServerId) {
        self.push(command::DEL_SERVICE, |attrs| {
            encode::server(attrs, id, None);
        });
    }

    /// Adds a destination to a virtual server; [`Reason::Exists`] where it has that one.
    ///
    /// The kernel refuses IPv4 in a network namespace whose loopback was never up.
    pub fn new_destination(
        &mut self,
        server: &ServerId,
        id: &DestinationId,
        destination: &Destination,
    ) -> Result<(), Invalid> {
        self.full_destination(command::NEW_DEST, server, id, destination)
    }

    /// Changes all of a destination; its connections stay.
    pub fn set_destination(
        &mut self,
        server: &ServerId,
        id: &DestinationId,
        destination: &Destination,
    ) -> Result<(), Invalid> {
        self.full_destination(command::SET_DEST, server, id, destination)
    }

    /// Takes a destination from a virtual server. What becomes of its connections is up to the
    /// sysctl `net.ipv4.vs.expire_nodest_conn`; none ends where its weight was 0 until no
    /// connection used it.
    pub fn delete_destination(&mut self, server: &ServerId, id: &DestinationId) {
        self.push(command::DEL_DEST, |attrs| {
            encode::server(attrs, server, None);
            encode::destination(attrs, id, None);
        });
    }

    /// Sets the counts of a virtual server and its destinations to 0, or those of all (`None`).
    pub fn zero(&mut self, server: Option<&ServerId>) {
        self.push(command::ZERO, |attrs| {
            if let Some(id) = server {
                encode::server(attrs, id, None);
            }
        });
    }

    /// Sets timeouts; those that are 0 stay as they are.
    pub fn set_config(&mut self, timeouts: &Timeouts) {
        self.push(command::SET_CONFIG, |attrs| timeouts.encode(attrs));
    }

    /// Deletes every virtual server of the network namespace, whoever made it.
    pub fn flush(&mut self) {
        self.push(command::FLUSH, |_| {});
    }

    /// Asks for an acknowledgement of the request that was added last.
    /// [`Ipvs::send`](crate::Ipvs::send) does so for the last one of all.
    pub fn acknowledge(&mut self) {
        let flags = flags::REQUEST | flags::ACK;
        self.batch
            .overwrite(self.last + FLAGS_AT, &flags.to_ne_bytes());
    }

    /// Why the kernel refused one of these requests.
    pub fn reason(&self, refusal: &Refusal<T>) -> Reason {
        let command = refusal
            .index
            .and_then(|index| self.commands.get(usize::try_from(index).ok()?))
            .copied();
        Reason::of(refusal.errno, command)
    }

    /// Number of requests.
    pub fn count(&self) -> u32 {
        self.batch.count()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// True where it is time to send them.
    pub fn is_full(&self) -> bool {
        self.batch.len() >= Self::CHUNK
    }

    /// Bytes as they will be sent.
    pub fn as_bytes(&self) -> &[u8] {
        self.batch.as_bytes()
    }

    /// The tag of the request at `index`, counted from 0.
    pub fn tag_at(&self, index: u32) -> Option<&T> {
        self.batch.tag_at(index)
    }

    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        self.batch.clear();
        self.commands.clear();
        self.last = 0;
    }

    /// Bytes of memory kept.
    pub fn capacity(&self) -> usize {
        self.batch.capacity() + self.commands.capacity()
    }

    /// Gives memory beyond `bytes` back.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.batch.shrink_to(bytes);
        self.commands.shrink_to(0);
    }

    fn full_server(&mut self, command: u8, id: &ServerId, server: &Server) -> Result<(), Invalid> {
        check::server(id, server)?;
        self.push(command, |attrs| encode::server(attrs, id, Some(server)));
        Ok(())
    }

    fn full_destination(
        &mut self,
        command: u8,
        server: &ServerId,
        id: &DestinationId,
        destination: &Destination,
    ) -> Result<(), Invalid> {
        check::destination(server, id, destination)?;
        self.push(command, |attrs| {
            encode::server(attrs, server, None);
            encode::destination(attrs, id, Some(destination));
        });
        Ok(())
    }

    fn push(&mut self, command: u8, fill: impl FnOnce(&mut AttrWriter<'_>)) {
        self.last = self.batch.len();
        self.commands.push(command);
        let header = genl::header(command, VERSION);
        self.batch.message(self.family, 0, &header, fill);
    }
}
