//! The addresses on this machine's interfaces.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::{Handle, MulticastGroup, new_connection, new_multicast_connection};
use tokio::task::JoinSet;
use tokio::time;

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
    dump(&handle).await
}

async fn dump(handle: &Handle) -> Result<Vec<IpAddr>, AddressError> {
    let messages = handle.address().get().execute().try_collect::<Vec<_>>();
    let messages = time::timeout(DUMP_LIMIT, messages)
        .await
        .map_err(|_| AddressError::Silent)??;
    let addresses: BTreeSet<_> = messages.iter().filter_map(own_address).collect();
    Ok(addresses.into_iter().collect())
}

/// `IFA_LOCAL` where there is one: with a peer, `IFA_ADDRESS` is the peer's (`if_addr.h`).
fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let local = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
    local.or_else(|| {
        message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            })
    })
}

/// Follows the addresses of a network namespace.
pub struct Addresses {
    sockets: Sockets,
    last: Option<Vec<IpAddr>>,
    /// Something may have changed since `last`.
    dirty: bool,
}

/// Notifications and dumps each have a socket: a full one loses notifications only, and says so.
struct Sockets {
    handle: Handle,
    notifications: futures_util::stream::BoxStream<'static, ()>,
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
        // An overrun arrives as a message as well, and any message means to look again. The
        // connection lives as long as its handle.
        let notifications = messages.map(move |_| drop(idle.clone())).boxed();
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
            last: None,
            dirty: true,
        })
    }

    /// Waits for a list that differs from the one before; the first call has it at once. Sorted,
    /// both families. Cancel safe.
    ///
    /// Kernel errors are logged and tried again: there is always a next list.
    pub async fn changed(&mut self) -> Vec<IpAddr> {
        loop {
            if !self.dirty {
                if self.sockets.notifications.next().await.is_none() {
                    self.reopen("the socket was closed").await;
                }
                self.dirty = true;
            }
            if self.last.is_some() {
                time::sleep(DEBOUNCE).await;
            }
            while let Some(Some(())) = self.sockets.notifications.next().now_or_never() {}
            match dump(&self.sockets.handle).await {
                Ok(list) => {
                    self.dirty = false;
                    if self.last.as_ref() != Some(&list) {
                        self.last = Some(list.clone());
                        return list;
                    }
                }
                Err(error) => self.reopen(&error.to_string()).await,
            }
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
        self.dirty = true;
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
