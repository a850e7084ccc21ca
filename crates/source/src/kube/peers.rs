//! Where the API server is reached: every address that its name has, and every one that a connection
//! leads to.
//!
//! Those are not to be taken from it, or nobody here would hear of the end of that.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::vec;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::{BoxError, Service};

/// Addresses and TCP ports; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Peers {
    known: Arc<Mutex<Known>>,
    all: Arc<watch::Sender<BTreeSet<SocketAddr>>>,
}

#[derive(Debug, Default)]
struct Known {
    /// The URL's, when it was last looked up.
    named: BTreeSet<SocketAddr>,
    /// Of open connections, and how many of each.
    connected: BTreeMap<SocketAddr, usize>,
}

impl Peers {
    /// All of them, as they change. Empty until the first name is looked up, and never after: what
    /// can't be looked up again stays.
    pub(super) fn all(&self) -> watch::Receiver<BTreeSet<SocketAddr>> {
        self.all.subscribe()
    }

    /// Says that this URL is going to be used. The addresses of a name show when it is looked up,
    /// before each connection.
    pub(super) fn use_url(&self, url: &Uri) {
        let host = url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse::<IpAddr>() {
            self.looked_up([address], port(url));
        }
    }

    /// Says where the server is.
    pub(super) fn are(&self, addresses: &[SocketAddr]) {
        let named: BTreeSet<_> = addresses
            .iter()
            .map(|at| plain(at.ip(), at.port()))
            .collect();
        self.change(|known| known.named = named);
    }

    fn looked_up(&self, addresses: impl IntoIterator<Item = IpAddr>, port: u16) {
        let named: BTreeSet<_> = addresses.into_iter().map(|ip| plain(ip, port)).collect();
        if !named.is_empty() {
            self.change(|known| known.named = named);
        }
    }

    /// The address of a connection, until the answer is dropped.
    fn hold(&self, peer: SocketAddr) -> Hold {
        let peer = plain(peer.ip(), peer.port());
        self.change(|known| *known.connected.entry(peer).or_default() += 1);
        let peers = self.clone();
        Hold { peers, peer }
    }

    fn release(&self, peer: SocketAddr) {
        self.change(|known| {
            if let Some(connections) = known.connected.get_mut(&peer) {
                *connections -= 1;
                if *connections == 0 {
                    known.connected.remove(&peer);
                }
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known();
        change(&mut known);
        let connected = known.connected.keys();
        let now: BTreeSet<SocketAddr> = known.named.iter().chain(connected).copied().collect();
        self.all.send_if_modified(|all| {
            let differs = !now.is_empty() && *all != now;
            if differs {
                *all = now;
            }
            differs
        });
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The port of an API server's URL.
pub(super) fn port(url: &Uri) -> u16 {
    let usual = if url.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    url.port_u16().unwrap_or(usual)
}

/// IPv4 addresses as such, also where a socket is of IPv6.
fn plain(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

/// An open connection counts as long as this is there.
#[derive(Debug)]
struct Hold {
    peers: Peers,
    peer: SocketAddr,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.peers.release(self.peer);
    }
}

/// Looks names up as usual, and tells what they have.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    inner: GaiResolver,
    peers: Peers,
    port: u16,
}

impl Resolver {
    /// Of names whose connections are to this port.
    pub(super) fn new(peers: Peers, port: u16) -> Self {
        Self {
            inner: GaiResolver::new(),
            peers,
            port,
        }
    }
}

type Boxed<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Boxed<Self::Response, io::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = self.inner.call(name);
        let (peers, port) = (self.peers.clone(), self.port);
        Box::pin(async move {
            let found: Vec<SocketAddr> = found.await?.collect();
            peers.looked_up(found.iter().map(SocketAddr::ip), port);
            Ok(found.into_iter())
        })
    }
}

/// Connects, and tells where to for as long as the connection is there.
#[derive(Debug, Clone)]
pub(super) struct Connector<C> {
    inner: C,
    peers: Peers,
}

impl<C> Connector<C> {
    pub(super) const fn new(inner: C, peers: Peers) -> Self {
        Self { inner, peers }
    }
}

impl<C> Service<Uri> for Connector<C>
where
    C: Service<Uri, Response = TokioIo<TcpStream>>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    type Response = Held;
    type Error = BoxError;
    type Future = Boxed<Held, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let connection = self.inner.call(url);
        let peers = self.peers.clone();
        Box::pin(async move {
            let io = connection.await.map_err(Into::into)?;
            // One that is closed already leads nowhere.
            let hold = io.inner().peer_addr().ok().map(|peer| peers.hold(peer));
            Ok(Held { io, _hold: hold })
        })
    }
}

/// A connection whose address counts while it is there.
#[derive(Debug)]
pub(super) struct Held {
    io: TokioIo<TcpStream>,
    _hold: Option<Hold>,
}

impl Held {
    fn io(self: Pin<&mut Self>) -> Pin<&mut TokioIo<TcpStream>> {
        Pin::new(&mut self.get_mut().io)
    }
}

impl Connection for Held {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}

impl Read for Held {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.io().poll_read(cx, buffer)
    }
}

impl Write for Held {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write_vectored(cx, parts)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tower::ServiceExt as _;

    use super::*;

    fn texts(all: &watch::Receiver<BTreeSet<SocketAddr>>) -> Vec<String> {
        all.borrow().iter().map(ToString::to_string).collect()
    }

    fn url(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_needs_no_look_up() {
        for (text, expected) in [
            ("https://192.0.2.1:6443/", "192.0.2.1:6443"),
            ("https://192.0.2.1", "192.0.2.1:443"),
            ("http://[fd00::1]/", "[fd00::1]:80"),
            ("https://[::ffff:192.0.2.1]:6443", "192.0.2.1:6443"),
        ] {
            let peers = Peers::default();
            peers.use_url(&url(text));
            assert_eq!(texts(&peers.all()), [expected], "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_has_the_addresses_of_its_last_look_up() {
        let peers = Peers::default();
        let all = peers.all();
        peers.use_url(&url("https://localhost:6443"));
        assert_eq!(texts(&all), [""; 0]);
        let resolver = Resolver::new(peers.clone(), 6443);
        let name = "localhost".parse::<Name>().unwrap();
        resolver.clone().oneshot(name).await.unwrap();
        assert!(
            texts(&all).contains(&"127.0.0.1:6443".to_owned()),
            "{all:?}"
        );
        let before = texts(&all);
        let nobody = "nobody.invalid".parse::<Name>().unwrap();
        resolver.oneshot(nobody).await.unwrap_err();
        assert_eq!(texts(&all), before, "what can't be looked up stays");
        peers.looked_up(
            ["192.0.2.1", "192.0.2.2"].map(|it| it.parse().unwrap()),
            443,
        );
        assert_eq!(texts(&all), ["192.0.2.1:443", "192.0.2.2:443"]);
    }

    #[tokio::test]
    async fn a_connection_counts_until_it_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let peers = Peers::default();
        let all = peers.all();
        let http = hyper_util::client::legacy::connect::HttpConnector::new();
        let connector = Connector::new(http, peers.clone());
        let connect = || connector.clone().oneshot(url(&format!("http://{address}")));
        let (first, second) = (connect().await.unwrap(), connect().await.unwrap());
        assert_eq!(texts(&all), [&*address]);
        peers.looked_up(["192.0.2.1".parse().unwrap()], 443);
        drop(first);
        assert_eq!(texts(&all), [&*address, "192.0.2.1:443"]);
        drop(second);
        assert_eq!(texts(&all), ["192.0.2.1:443"]);
    }
}
