//! Accepting connections on one listener and serving them, within limits.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::Handler;

/// How long open connections have to end when the server does.
const GRACE: Duration = Duration::from_secs(1);
/// How long to wait after a failure to accept, which is about a lack of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a request's head at most.
const HEAD_LIMIT: usize = 16 << 10;

/// What clients may use of us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at a time. One more ends the oldest: that one had its time, and a probe gets
    /// through whatever another client holds open.
    pub(crate) connections: usize,
    /// How long a client may take for a request's head, waiting for the next request included.
    pub(crate) head_timeout: Duration,
}

/// A listener that is served by a task of its own. Dropping it ends listening soon.
#[derive(Debug)]
pub(crate) struct Acceptor {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    unbound: oneshot::Receiver<()>,
    task: JoinHandle<()>,
}

impl Acceptor {
    /// Starts serving.
    pub(crate) fn spawn<H: Handler>(
        listener: TcpListener,
        handler: Arc<H>,
        limits: Limits,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let (ended, unbound) = oneshot::channel();
        let task = tokio::spawn(accept(listener, handler, limits, stopped, ended));
        Ok(Self {
            address,
            stop,
            unbound,
            task,
        })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends listening; the port is free when this returns. Open connections finish their request
    /// in the task that is returned, in a second at most.
    pub(crate) async fn close(self) -> JoinHandle<()> {
        // The task may have ended with its runtime.
        let _ = self.stop.send(());
        let _ = self.unbound.await;
        self.task
    }
}

async fn accept<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    limits: Limits,
    mut stopped: oneshot::Receiver<()>,
    unbound: oneshot::Sender<()>,
) {
    let mut connections = Connections::new(limits);
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.add(stream, &handler),
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    tracing::warn!("accepting a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.tasks.join_next() => {}
        }
    }
    drop(listener);
    let _ = unbound.send(());
    connections.finish().await;
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}

/// Open connections, the oldest first.
struct Connections {
    limits: Limits,
    tasks: JoinSet<()>,
    order: VecDeque<AbortHandle>,
    ending: watch::Sender<bool>,
}

impl Connections {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            tasks: JoinSet::new(),
            order: VecDeque::new(),
            ending: watch::Sender::new(false),
        }
    }

    fn add<H: Handler>(&mut self, stream: TcpStream, handler: &Arc<H>) {
        self.order.retain(|task| !task.is_finished());
        while self.order.len() >= self.limits.connections {
            if let Some(oldest) = self.order.pop_front() {
                oldest.abort();
            }
        }
        let task = serve(
            stream,
            handler.clone(),
            self.limits.head_timeout,
            self.ending.subscribe(),
        );
        self.order.push_back(self.tasks.spawn(task));
    }

    /// Lets requests under way finish.
    async fn finish(mut self) {
        self.ending.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What takes longer is aborted with the set.
        let _ = tokio::time::timeout(GRACE, all).await;
    }
}

async fn serve<H: Handler>(
    stream: TcpStream,
    handler: Arc<H>,
    head_timeout: Duration,
    mut ending: watch::Receiver<bool>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let handler = handler.clone();
        async move {
            let (head, _) = request.into_parts();
            let reply = handler.answer(&Request::from_parts(head, ())).await;
            Ok::<Response<_>, Infallible>(reply)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_LIMIT)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // The guard that it returns must not live on, as it holds a lock.
    let end = async { ending.wait_for(|ending| *ending).await.map(drop) };
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = end => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!("a connection ended: {error}");
    }
}
