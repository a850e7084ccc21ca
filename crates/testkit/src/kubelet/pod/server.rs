//! The program that runs in every container: HTTP/1.1 with keep-alive and, on the same port,
//! HTTP/2 for gRPC's health checks.

use super::answer::{Identity, Peers, answer};
use super::switches::Switches;
use crate::error::{Error, Result};
use crate::netns::Namespace;
use crate::server::{open, runtime};
use crate::wire::Protocol;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A running server; dropping it closes its sockets, open connections included.
#[derive(Debug)]
pub struct PodServer {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl PodServer {
    /// Listens at `address`, which must be configured in `namespace` already. Its socket lives
    /// there, its tasks on a runtime that all servers of this process share.
    pub fn start(
        namespace: &Namespace,
        address: SocketAddr,
        identity: Arc<Identity>,
        switches: Arc<Switches>,
    ) -> Result<Self> {
        let what = || format!("pod server {address} in namespace {}", namespace.name());
        let runtime = runtime()?;
        let socket = namespace
            .run(|| open(Protocol::Tcp, address))?
            .map_err(Error::io(format!("opening the socket of {}", what())))?;
        let _context = runtime.enter();
        let listener = TcpListener::from_std(socket.into())
            .map_err(Error::io(format!("registering the socket of {}", what())))?;
        let stop = watch::Sender::new(false);
        let stopped = stop.subscribe();
        let task = runtime.spawn(serve(listener, identity, switches, stopped));
        Ok(Self { stop, task })
    }

    /// What a program does at SIGTERM: closes the listening socket and idle connections, finishes
    /// the requests under way.
    pub fn terminate(&self) {
        self.stop.send_replace(true);
    }

    /// Returns once it has finished after [`Self::terminate`].
    pub async fn finished(&mut self) {
        let _ = (&mut self.task).await;
    }
}

impl Drop for PodServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    identity: Arc<Identity>,
    switches: Arc<Switches>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let stopped = stop.clone();
    loop {
        tokio::select! {
            biased;
            () = stopping(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (identity, switches) = (Arc::clone(&identity), Arc::clone(&switches));
                    connections.spawn(converse(stream, identity, switches, stopped.clone()));
                }
                // Out of descriptors or aborted in the queue: the next accept may do.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            },
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Returns once the server shall end.
async fn stopping(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One connection, to its end.
async fn converse(
    stream: TcpStream,
    identity: Arc<Identity>,
    switches: Arc<Switches>,
    mut stop: watch::Receiver<bool>,
) {
    let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else {
        return;
    };
    // A socket that can't be set up any more is one whose client is gone.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let peers = Peers { local, peer };
    let service = service_fn(move |request| {
        let (identity, switches) = (Arc::clone(&identity), Arc::clone(&switches));
        async move { Ok::<_, Infallible>(answer(request, &identity, &switches, peers).await) }
    });
    let builder = Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // What goes wrong on a connection is for the client to tell.
    tokio::select! {
        biased;
        _ = connection.as_mut() => {}
        () = stopping(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
