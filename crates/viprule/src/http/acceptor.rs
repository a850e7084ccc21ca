//! Accepting connections on one listener and serving them, within limits.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::Instant;

use super::Handler;

/// How long open connections have to end when the server does.
const GRACE: Duration = Duration::from_secs(1);
/// How long to wait after a failure to accept, which is about a lack of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long failures to accept are not told again.
const TELL_AGAIN: Duration = Duration::from_secs(60);
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
    /// How long a client may take nothing of an answer, which is kept until it is taken.
    pub(crate) stall_timeout: Duration,
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
        crowd: Option<Crowd>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let (ended, unbound) = oneshot::channel();
        let task = tokio::spawn(accept(
            listener,
            handler,
            Connections::new(limits, crowd),
            stopped,
            ended,
        ));
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
    mut connections: Connections,
    mut stopped: oneshot::Receiver<()>,
    unbound: oneshot::Sender<()>,
) {
    let mut told: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.add(stream, &handler),
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    let now = Instant::now();
                    if told.is_none_or(|told| now > told + TELL_AGAIN) {
                        told = Some(now);
                        tracing::warn!(
                            "accepting a connection: {error}; trying again until that works"
                        );
                    }
                    // Its descriptor may be what is lacking.
                    if !connections.end_oldest().await {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
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

/// Open connections of several listeners, within one bound: the oldest ends for one more.
#[derive(Debug, Clone)]
pub(crate) struct Crowd {
    most: usize,
    order: Arc<Mutex<VecDeque<AbortHandle>>>,
}

impl Crowd {
    /// So many at most.
    pub(crate) fn of(most: usize) -> Self {
        Self {
            most,
            order: Arc::default(),
        }
    }

    fn add(&self, task: AbortHandle) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut order, self.most);
        order.push_back(task);
    }
}

/// Ends the oldest where there are as many as there may be.
fn make_room(order: &mut VecDeque<AbortHandle>, most: usize) {
    // Also as a handle keeps the memory of a task that has ended.
    order.retain(|task| !task.is_finished());
    while order.len() >= most {
        match order.pop_front() {
            Some(oldest) => oldest.abort(),
            None => break,
        }
    }
}

/// Open connections, the oldest first.
struct Connections {
    limits: Limits,
    tasks: JoinSet<()>,
    order: VecDeque<AbortHandle>,
    crowd: Option<Crowd>,
    ending: watch::Sender<bool>,
}

impl Connections {
    fn new(limits: Limits, crowd: Option<Crowd>) -> Self {
        Self {
            limits,
            tasks: JoinSet::new(),
            order: VecDeque::new(),
            crowd,
            ending: watch::Sender::new(false),
        }
    }

    fn add<H: Handler>(&mut self, stream: TcpStream, handler: &Arc<H>) {
        make_room(&mut self.order, self.limits.connections);
        // Without it the client has as long as it likes, within the other bounds.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(self.limits.stall_timeout));
        let task = serve(
            stream,
            handler.clone(),
            self.limits.head_timeout,
            self.ending.subscribe(),
        );
        let task = self.tasks.spawn(task);
        if let Some(crowd) = &self.crowd {
            crowd.add(task.clone());
        }
        self.order.push_back(task);
    }

    /// Ends the oldest and waits for that; false where there is none.
    async fn end_oldest(&mut self) -> bool {
        self.order.retain(|task| !task.is_finished());
        let Some(oldest) = self.order.pop_front() else {
            return false;
        };
        oldest.abort();
        self.tasks.join_next().await.is_some()
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
