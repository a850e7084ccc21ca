//! A server that can be moved to another address while it runs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::listen::listen;
use super::{Acceptor, Handler, Limits};

/// How long to wait before listening is tried again (contract 6.1).
pub(crate) const RETRY: Duration = Duration::from_secs(5);

/// How long a client may take nothing of an answer: longer than a busy network loses packets.
pub(crate) const STALL: Duration = Duration::from_secs(30);

/// How a server serves.
#[derive(Debug, Clone, Copy)]
pub struct ServerOptions {
    /// What is served, for log lines: `proxy health`.
    pub name: &'static str,
    /// The first failure to listen is final (`bindAddressHardFail`). A server that has listened
    /// before keeps its address and tries again, whatever this says.
    pub hard_fail: bool,
    /// Connections at a time; one more ends the oldest.
    pub connections: usize,
    /// How long a client may take to send a request, idle time between requests included.
    pub head_timeout: Duration,
    /// How long a client may take nothing of an answer.
    pub stall_timeout: Duration,
    /// How long to wait before listening is tried again.
    pub retry: Duration,
}

impl ServerOptions {
    /// 64 connections, two minutes for an idle one, half a minute for one that stalls; failures to listen are tried again every 5 s.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            hard_fail: false,
            connections: 64,
            head_timeout: Duration::from_secs(120),
            stall_timeout: STALL,
            retry: RETRY,
        }
    }
}

/// Listening failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{name}: can't listen on {address}")]
pub struct BindError {
    /// What was to be served.
    pub name: &'static str,
    /// The address asked for.
    pub address: SocketAddr,
    /// Why not.
    #[source]
    pub source: Arc<io::Error>,
}

/// Where a server is.
#[derive(Debug, Clone)]
pub enum ServerState {
    /// No address is configured, or not yet looked at.
    Off,
    /// It listens here. Where port 0 was asked for, this has the kernel's choice.
    Listening(SocketAddr),
    /// It can't listen where it should and tries again. Where it listened before, it
    /// still does unless the port is the same.
    Waiting(BindError),
    /// It gave up.
    Failed(BindError),
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    wanted: watch::Sender<Option<SocketAddr>>,
    state: watch::Receiver<ServerState>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts a server as a task of the current runtime; without an address it waits for one.
    pub fn start<H: Handler>(
        options: ServerOptions,
        address: Option<SocketAddr>,
        handler: Arc<H>,
    ) -> Self {
        let (wanted, wishes) = watch::channel(address);
        let (report, state) = watch::channel(ServerState::Off);
        let sync_loop = SyncLoop {
            options,
            handler,
            report,
            serving: None,
        };
        let task = tokio::spawn(sync_loop.keep(wishes));
        Self {
            wanted,
            state,
            task,
        }
    }

    /// Moves the server; `None` switches it off. The old address is served until the new one is.
    pub fn rebind(&self, address: Option<SocketAddr>) {
        self.wanted.send_if_modified(|wanted| {
            let differs = *wanted != address;
            *wanted = address;
            differs
        });
    }

    /// Where it is, now and later.
    pub fn state(&self) -> watch::Receiver<ServerState> {
        self.state.clone()
    }

    /// The address that it listens on, as soon as it does; `None` once it never will.
    pub async fn listening(&self) -> Option<SocketAddr> {
        let mut state = self.state.clone();
        let settled = state
            .wait_for(|state| matches!(state, ServerState::Listening(_) | ServerState::Failed(_)));
        match &*settled.await.ok()? {
            ServerState::Listening(address) => Some(*address),
            _ => None,
        }
    }

    /// Resolves when the server gives up, which only `hard_fail` makes it do.
    pub async fn failed(&self) -> BindError {
        let mut state = self.state.clone();
        let failed = state.wait_for(|state| matches!(state, ServerState::Failed(_)));
        if let Ok(state) = failed.await
            && let ServerState::Failed(error) = &*state
        {
            return error.clone();
        }
        std::future::pending().await
    }

    /// Ends listening and waits, a second at most, for requests under way.
    pub async fn stop(self) {
        drop(self.wanted);
        // It fails only where the runtime is going down, and the server with it.
        let _ = self.task.await;
    }
}

struct SyncLoop<H> {
    options: ServerOptions,
    handler: Arc<H>,
    report: watch::Sender<ServerState>,
    /// The address asked for, and what serves it.
    serving: Option<(SocketAddr, Acceptor)>,
}

impl<H: Handler> SyncLoop<H> {
    async fn keep(mut self, mut wishes: watch::Receiver<Option<SocketAddr>>) {
        let mut hard_fail = self.options.hard_fail;
        loop {
            let wanted = *wishes.borrow_and_update();
            let failure = self.settle(wanted).await.err();
            let waits = failure.is_some();
            let state = match failure {
                None => self.settled(),
                Some(error) if hard_fail => {
                    self.report.send_replace(ServerState::Failed(error));
                    return;
                }
                Some(error) => {
                    let seconds = self.options.retry.as_secs();
                    let source = &error.source;
                    tracing::error!("{error}: {source}; trying again in {seconds} s");
                    ServerState::Waiting(error)
                }
            };
            hard_fail &= self.serving.is_none();
            self.report.send_replace(state);
            tokio::select! {
                changed = wishes.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(self.options.retry), if waits => {}
            }
        }
        if let Some((_, acceptor)) = self.serving.take() {
            let _ = acceptor.close().await.await;
        }
    }

    fn settled(&self) -> ServerState {
        self.serving
            .as_ref()
            .map_or(ServerState::Off, |(_, acceptor)| {
                ServerState::Listening(acceptor.address())
            })
    }

    /// Serves the wanted address and no other.
    async fn settle(&mut self, wanted: Option<SocketAddr>) -> Result<(), BindError> {
        let now = self.serving.as_ref().map(|(address, _)| *address);
        if now == wanted {
            return Ok(());
        }
        let Some(address) = wanted else {
            self.close().await;
            return Ok(());
        };
        let mut listener = listen(address);
        let in_our_way = now.is_some_and(|now| now.port() == address.port());
        if listener.is_err() && in_our_way {
            self.close().await;
            listener = listen(address);
        }
        let acceptor = listener.and_then(|listener| {
            let limits = Limits {
                connections: self.options.connections,
                head_timeout: self.options.head_timeout,
                stall_timeout: self.options.stall_timeout,
            };
            Acceptor::spawn(listener, self.handler.clone(), limits, None)
        });
        let acceptor = acceptor.map_err(|source| BindError {
            name: self.options.name,
            address,
            source: Arc::new(source),
        })?;
        let (name, bound) = (self.options.name, acceptor.address());
        tracing::info!("{name}: listening on {bound}");
        self.close().await;
        self.serving = Some((address, acceptor));
        Ok(())
    }

    async fn close(&mut self) {
        if let Some((_, acceptor)) = self.serving.take() {
            let (name, address) = (self.options.name, acceptor.address());
            tracing::info!("{name}: no longer listening on {address}");
            // Requests under way finish by themselves.
            drop(acceptor.close().await);
        }
    }
}
