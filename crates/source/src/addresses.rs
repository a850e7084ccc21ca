//! The addresses on this machine's interfaces, but for those that IPVS mode binds itself.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::{Handle, MulticastGroup, new_connection, new_multicast_connection};
use tokio::task::JoinSet;
use tokio::time;

/// The link that carries the virtual addresses of IPVS mode (contract 3.3): those are Services',
/// not the node's.
const VIRTUAL: &str = "kube-ipvs0";
/// No such device.
const NODEV: i32 = 19;
/// Interfaces come with several addresses at once; one list is enough.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Wait before the next try where the kernel didn't answer.
const RETRY: Duration = Duration::from_secs(1);
/// A dump takes microseconds; its end may be lost with a broken socket.
const DUMP_LIMIT: Duration = Duration::from_secs(5);

/// The kernel did not say which addresses there are.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// No netlink socket.
    #[error("can't open a netlink socket: {0}; is AF_NETLINK allowed for this process?")]
    Socket(#[from] io::Error),
    /// The kernel refused to list them.
    #[error("the kernel did not list the addresses of its interfaces: {0}")]
    Dump(#[from] rtnetlink::Error),
    /// The kernel did not answer in time.
    #[error("the kernel did not list the addresses of its interfaces within {} s", DUMP_LIMIT.as_secs())]
    Silent,
}

/// Lists the addresses of both families on all interfaces of the calling thread's network
/// namespace, sorted, each once.
///
/// Needs no privilege, but a tokio runtime with I/O and time.
pub async fn local_addresses() -> Result<Vec<IpAddr>, AddressError> {
    let (connection, handle, _) = new_connection()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let mut table = Table::default();
    table.read(&handle).await?;
    Ok(table.list())
}

/// The addresses, kept up to date by notifications so that a change costs no look at all of them:
/// IPVS mode has one for each Service.
#[derive(Debug, Default)]
struct Table {
    entries: BTreeSet<Entry>,
    /// The index of [`VIRTUAL`], if it was there when somebody last looked. Its addresses are not
    /// among the entries.
    virtual_link: Option<u32>,
    /// An entry came that may belong to [`VIRTUAL`], if that is new.
    has_new: bool,
}

/// What tells one address from others: a link may have it several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    own: IpAddr,
    link: u32,
    peer: Option<IpAddr>,
    prefix_len: u8,
}

impl Table {
    /// Reads everything.
    async fn read(&mut self, handle: &Handle) -> Result<(), AddressError> {
        let messages = handle.address().get().execute().try_collect::<Vec<_>>();
        let messages = time::timeout(DUMP_LIMIT, messages)
            .await
            .map_err(|_| AddressError::Silent)??;
        self.entries = messages.iter().filter_map(Entry::read).collect();
        self.leave_virtual_out(handle).await
    }

    /// Looks which link is [`VIRTUAL`].
    async fn leave_virtual_out(&mut self, handle: &Handle) -> Result<(), AddressError> {
        let mut links = handle.link().get().match_name(VIRTUAL).execute();
        let link = time::timeout(DUMP_LIMIT, links.try_next())
            .await
            .map_err(|_| AddressError::Silent)?;
        let index = match link {
            Ok(link) => link.map(|link| link.header.index),
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -NODEV => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(index) = index {
            self.entries.retain(|entry| entry.link != index);
        }
        self.virtual_link = index;
        self.has_new = false;
        Ok(())
    }

    /// Takes a notification. True where the list may be another one.
    fn take(&mut self, change: Change) -> bool {
        match change {
            Change::New(entry) if Some(entry.link) == self.virtual_link => false,
            Change::New(entry) => {
                let is_new = self.entries.insert(entry);
                self.has_new |= is_new;
                is_new
            }
            Change::Gone(entry) => self.entries.remove(&entry),
        }
    }

    /// Sorted, each once.
    fn list(&self) -> Vec<IpAddr> {
        let mut list: Vec<IpAddr> = self.entries.iter().map(|entry| entry.own).collect();
        list.dedup();
        list
    }
}

/// What a notification says of an address.
#[derive(Debug, Clone, Copy)]
enum Change {
    New(Entry),
    Gone(Entry),
}

impl Change {
    /// `None` for everything else: an overrun means that something was not told.
    fn read(message: NetlinkMessage<RouteNetlinkMessage>) -> Option<Self> {
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
                Entry::read(&address).map(Self::New)
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(address)) => {
                Entry::read(&address).map(Self::Gone)
            }
            _ => None,
        }
    }
}

impl Entry {
    /// `IFA_LOCAL` where there is one: with a peer, `IFA_ADDRESS` is the peer's (`if_addr.h`).
    fn read(message: &AddressMessage) -> Option<Self> {
        let (mut local, mut address) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(it) => local = Some(*it),
                AddressAttribute::Address(it) => address = Some(*it),
                _ => {}
            }
        }
        Some(Self {
            own: local.or(address)?,
            link: message.header.index,
            peer: address,
            prefix_len: message.header.prefix_len,
        })
    }
}

/// Follows the addresses of a network namespace.
pub struct Addresses {
    sockets: Sockets,
    table: Table,
    last: Option<Vec<IpAddr>>,
    /// The table may be another one than `last` says.
    changed: bool,
    /// The table may lack something.
    stale: bool,
}

/// Notifications and dumps each have a socket: a full one loses notifications only, and says so.
struct Sockets {
    handle: Handle,
    notifications: futures_util::stream::BoxStream<'static, Option<Change>>,
    // Ends both connections with this.
    _tasks: JoinSet<()>,
}

impl Sockets {
    fn open() -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        let (connection, handle, _) = new_connection()?;
        tasks.spawn(connection);
        let groups = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, idle, messages) = new_multicast_connection(&groups)?;
        tasks.spawn(connection);
        // The connection lives as long as its handle.
        let notifications = messages
            .map(move |(message, _)| {
                let _alive = &idle;
                Change::read(message)
            })
            .boxed();
        Ok(Self {
            handle,
            notifications,
            _tasks: tasks,
        })
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl Addresses {
    /// Follows from now on, in the calling thread's network namespace.
    ///
    /// Must be called within a tokio runtime with I/O and time.
    pub fn follow() -> Result<Self, AddressError> {
        Ok(Self {
            sockets: Sockets::open()?,
            table: Table::default(),
            last: None,
            changed: true,
            stale: true,
        })
    }

    /// Waits for a list that differs from the one before; the first call has it at once. Sorted,
    /// both families. Cancel safe.
    ///
    /// Kernel errors are logged and tried again: there is always a next list.
    pub async fn changed(&mut self) -> Vec<IpAddr> {
        loop {
            if !self.changed {
                match self.sockets.notifications.next().await {
                    Some(change) => self.take(change),
                    None => self.reopen("the socket was closed").await,
                }
                continue;
            }
            if self.last.is_some() {
                time::sleep(DEBOUNCE).await;
            }
            self.take_waiting();
            if let Err(error) = self.look().await {
                self.reopen(&error.to_string()).await;
                continue;
            }
            let list = self.table.list();
            if self.last.as_ref() != Some(&list) {
                self.last = Some(list.clone());
                return list;
            }
        }
    }

    /// Brings the table up to date.
    async fn look(&mut self) -> Result<(), AddressError> {
        let handle = &self.sockets.handle;
        if self.stale {
            self.table.read(handle).await?;
            self.stale = false;
            self.changed = false;
            // What changes meanwhile may make the kernel leave out something else.
            self.stale = self.take_waiting();
            self.changed |= self.stale;
        } else {
            if self.table.has_new {
                self.table.leave_virtual_out(handle).await?;
            }
            self.changed = false;
        }
        Ok(())
    }

    /// Takes the notifications that are there. False where there are none.
    fn take_waiting(&mut self) -> bool {
        let mut any = false;
        while let Some(Some(change)) = self.sockets.notifications.next().now_or_never() {
            any = true;
            self.take(change);
        }
        any
    }

    fn take(&mut self, change: Option<Change>) {
        if let Some(change) = change {
            self.changed |= self.table.take(change);
        } else {
            self.stale = true;
            self.changed = true;
        }
    }

    /// The same as a stream that doesn't end.
    pub fn into_stream(self) -> impl Stream<Item = Vec<IpAddr>> {
        futures_util::stream::unfold(self, |mut addresses| async move {
            let list = addresses.changed().await;
            Some((list, addresses))
        })
    }

    async fn reopen(&mut self, reason: &str) {
        tracing::warn!(
            reason,
            "interface addresses can't be followed, trying again"
        );
        self.stale = true;
        self.changed = true;
        loop {
            time::sleep(RETRY).await;
            match Sockets::open() {
                Ok(sockets) => {
                    self.sockets = sockets;
                    return;
                }
                Err(error) => tracing::warn!(%error, "no netlink socket for addresses"),
            }
        }
    }
}
