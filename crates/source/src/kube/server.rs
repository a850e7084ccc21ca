//! The way to the API server.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use kube::{Client, Config};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::{BoxError, ServiceBuilder};
use tracing::{debug, warn};

use super::access::{Access, config, unused_proxy};
use super::bound::Bounds;
use super::chance::Chance;
use super::error::{ConnectError, chain};
use super::peers::{Connector, Peers, Resolver, port};
use super::pinned;
use crate::escape;

/// Longest wait for a TCP connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A connection without traffic is probed after this time, then at each interval. A peer that
/// vanished is noticed after about half a minute, without a process that wakes up for it.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;
/// Longest time in which the peer may leave what was sent unacknowledged. Linux counts this instead
/// of the probes where both are set, so it must be the sum of them.
const ACKNOWLEDGE_LIMIT: Duration = Duration::from_secs(30);
/// Shortest time between two looks at the configuration.
const RENEW_INTERVAL: Duration = Duration::from_secs(5);

/// An API server. Clones share their connections.
///
/// Tokens in files are read again as they rotate. Everything else (certificates, the kubeconfig
/// itself, what its exec plugin says) is read again after the server could not be reached or did
/// not accept who asks.
#[derive(Clone)]
pub struct ApiServer {
    inner: Arc<Inner>,
}

struct Inner {
    /// None where there is nothing to read again.
    access: Option<Access>,
    peers: Peers,
    chance: Chance,
    /// A program says who asks.
    runs_program: bool,
    current: Mutex<Current>,
}

struct Current {
    client: Client,
    /// To be shown: without a password.
    url: String,
    /// When it was last read again.
    renewed: Option<Instant>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ApiServer").field(&self.url()).finish()
    }
}

impl ApiServer {
    /// Reads the configuration. Connections are made when they are needed.
    pub async fn new(access: Access) -> Result<Self, ConnectError> {
        let peers = Peers::default();
        let (current, runs_program) = open(&access, &peers).await?;
        if let Some(variable) = unused_proxy(&current.url) {
            warn!(
                url = current.url,
                "{variable} in the environment is not used: the API server is asked directly"
            );
        }
        let current = Mutex::new(current);
        Ok(Self {
            inner: Arc::new(Inner {
                access: Some(access),
                peers,
                chance: Chance::default(),
                runs_program,
                current,
            }),
        })
    }

    /// A server that is reached by this client, which stays as it is, at these addresses. Waits and
    /// the times of watches follow from the seed: the same answers lead to the same requests.
    pub fn over(client: Client, addresses: &[SocketAddr], seed: u64) -> Self {
        let peers = Peers::default();
        peers.are(addresses);
        let current = Mutex::new(Current {
            client,
            url: "given".to_owned(),
            renewed: None,
        });
        Self {
            inner: Arc::new(Inner {
                access: None,
                peers,
                chance: Chance::of(seed),
                runs_program: false,
                current,
            }),
        }
    }

    /// Where the server is reached, as that changes: every address that its name has, and every one
    /// that a connection leads to, with the TCP port. Empty until the first connection where the URL
    /// has a name.
    pub fn addresses(&self) -> watch::Receiver<BTreeSet<SocketAddr>> {
        self.inner.peers.all()
    }

    /// True where the configuration, as it was read first, names a program that says who asks
    /// (`exec` or `auth-provider` of a kubeconfig's user). It is run again from time to time.
    pub fn runs_program(&self) -> bool {
        self.inner.runs_program
    }

    /// The server's URL.
    fn url(&self) -> String {
        self.current(|current| current.url.clone())
    }

    pub(super) fn chance(&self) -> &Chance {
        &self.inner.chance
    }

    pub(super) fn client(&self) -> Client {
        self.current(|current| current.client.clone())
    }

    fn current<T>(&self, look: impl FnOnce(&mut Current) -> T) -> T {
        let current = self.inner.current.lock();
        look(&mut current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the configuration again. What can't be read is left as it was.
    pub(super) async fn renew(&self) {
        let Some(access) = &self.inner.access else {
            return;
        };
        let due = self.current(|current| {
            let due = current
                .renewed
                .is_none_or(|at| at.elapsed() >= RENEW_INTERVAL);
            if due {
                current.renewed = Some(Instant::now());
            }
            due
        });
        if !due {
            return;
        }
        match open(access, &self.inner.peers).await {
            Ok((new, _)) => self.current(|current| {
                current.client = new.client;
                current.url = new.url;
            }),
            Err(error) => warn!(%error, "the API server's configuration is kept as it was"),
        }
    }
}

/// Reads the configuration, and whether it names a program.
async fn open(access: &Access, peers: &Peers) -> Result<(Current, bool), ConnectError> {
    let config = config(access).await?;
    let user = &config.auth_info;
    let runs_program = user.exec.is_some() || user.auth_provider.is_some();
    let url = config.cluster_url.clone();
    let shown = escape::url(&url.to_string()).into_owned();
    debug!(url = shown, "API server");
    let of_client = peers.clone();
    let runtime = tokio::runtime::Handle::current();
    let build = move || {
        // The client's own tasks need the runtime.
        let _guard = runtime.enter();
        client(config, of_client)
    };
    // An exec plugin is a program that is waited for.
    let client = tokio::task::spawn_blocking(build)
        .await
        .map_err(|error| error.to_string())
        .and_then(|client| client.map_err(|error| chain(&*error)))
        .map_err(|reason| access.error(reason))?;
    peers.use_url(&url);
    let current = Current {
        client,
        url: shown,
        renewed: None,
    };
    Ok((current, runs_program))
}

/// kube's own stack, over our connections.
fn client(config: Config, peers: Peers) -> Result<Client, BoxError> {
    let resolver = Resolver::new(peers.clone(), port(&config.cluster_url));
    let connector = Connector::new(connector(resolver), peers);
    let connector = pinned::connector(&config, connector)?;
    let http = HttpClient::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .layer_fn(Bounds)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}

/// Connections that notice when the peer vanishes.
fn connector<R>(resolver: R) -> HttpConnector<R> {
    let mut connector = HttpConnector::new_with_resolver(resolver);
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_LIMIT));
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_PROBES));
    connector.set_tcp_user_timeout(Some(ACKNOWLEDGE_LIMIT));
    connector
}

#[cfg(test)]
mod tests {
    use hyper_util::client::legacy::connect::dns::GaiResolver;
    use nix::sys::socket::{getsockopt, sockopt};
    use tokio::net::TcpListener;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_peer_that_vanishes_is_noticed_in_half_a_minute() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connection = connector(GaiResolver::new())
            .oneshot(url.parse().unwrap())
            .await
            .unwrap();
        let socket = connection.inner();
        let idle = getsockopt(socket, sockopt::TcpKeepIdle).unwrap();
        let interval = getsockopt(socket, sockopt::TcpKeepInterval).unwrap();
        let probes = getsockopt(socket, sockopt::TcpKeepCount).unwrap();
        assert!(getsockopt(socket, sockopt::KeepAlive).unwrap());
        assert_eq!((idle, interval, probes), (15, 5, 3));
        let milliseconds = getsockopt(socket, sockopt::TcpUserTimeout).unwrap();
        assert_eq!(milliseconds, 1000 * (idle + interval * probes));
    }
}
