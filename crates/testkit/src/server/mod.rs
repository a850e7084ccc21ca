//! Servers that say who they are. They are tasks of this process whose sockets live in the
//! namespace, so a backend costs a socket and no thread.

mod sctp;
mod tcp;
mod udp;

pub(crate) use sctp::strip_ipv4_header;

use crate::LIMIT;
use crate::error::{Error, Result};
use crate::netns::Namespace;
use crate::wire::Protocol;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running server; dropping it closes its sockets, open connections included.
#[derive(Debug)]
pub struct Server {
    protocol: Protocol,
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What the server's tasks and its owner both see.
#[derive(Debug)]
struct Shared {
    answered: AtomicU64,
    /// Set once the listening socket is closed.
    closed: AtomicBool,
    accepting: watch::Sender<bool>,
}

impl Server {
    /// Starts a server at `address`, which must be configured in `namespace` already. Answers are
    /// ready when this returns.
    pub fn start(namespace: &Namespace, protocol: Protocol, address: SocketAddr) -> Result<Self> {
        let what = || {
            format!(
                "{protocol} server {address} in namespace {}",
                namespace.name()
            )
        };
        if address.ip().is_unspecified() {
            return Err(Error::Address {
                what: address.to_string(),
                why: "a server answers with its own address, so it needs a definite one".to_owned(),
            });
        }
        let runtime = runtime()?;
        let socket = namespace
            .run(|| open(protocol, address))?
            .map_err(Error::io(format!("opening the socket of {}", what())))?;
        let shared = Arc::new(Shared {
            answered: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            accepting: watch::Sender::new(true),
        });
        let _context = runtime.enter();
        let registering = Error::io(format!("registering the socket of {}", what()));
        let task = match protocol {
            Protocol::Tcp => {
                let listener =
                    tokio::net::TcpListener::from_std(socket.into()).map_err(registering)?;
                runtime.spawn(tcp::serve(listener, Arc::clone(&shared)))
            }
            Protocol::Udp => {
                let socket = tokio::net::UdpSocket::from_std(socket.into()).map_err(registering)?;
                runtime.spawn(udp::serve(socket, address, Arc::clone(&shared)))
            }
            Protocol::Sctp => {
                let socket = tokio::net::UdpSocket::from_std(socket.into()).map_err(registering)?;
                runtime.spawn(sctp::serve(socket, address, Arc::clone(&shared)))
            }
        };
        Ok(Self {
            protocol,
            address,
            shared,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// How many answers it has given.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Closes the listening socket of a TCP server and goes on answering on open connections, as a
    /// terminating backend does. A UDP or SCTP server stops answering at once.
    pub fn stop_accepting(&self) {
        self.shared.accepting.send_replace(false);
        self.wait(|server| server.shared.closed.load(Ordering::Acquire));
    }

    /// Waits until `done` or the end of the server's task, but not for ever.
    fn wait(&self, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) && !self.task.is_finished() && start.elapsed() < LIMIT {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // The address must be free when the owner goes on.
        self.wait(|_| false);
    }
}

impl Shared {
    fn count(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns once [`Server::stop_accepting`] was called.
    async fn stopped(&self) {
        // The sender is a field of self, so that waiting can't fail.
        let _ = self
            .accepting
            .subscribe()
            .wait_for(|accepting| !accepting)
            .await;
    }
}

/// A bound, non-blocking socket.
pub(crate) fn open(protocol: Protocol, address: SocketAddr) -> io::Result<Socket> {
    /// Cut to net.core.somaxconn by the kernel.
    const BACKLOG: i32 = 16_384;
    let domain = Domain::for_address(address);
    let socket = match protocol {
        Protocol::Tcp => Socket::new(domain, Type::STREAM, None)?,
        Protocol::Udp => Socket::new(domain, Type::DGRAM, None)?,
        Protocol::Sctp => Socket::new(domain, Type::RAW, Some(crate::sctp::IP_PROTOCOL.into()))?,
    };
    match protocol {
        Protocol::Tcp => {
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
        }
        Protocol::Udp => socket.bind(&address.into())?,
        // Raw sockets have no ports; the responder looks at the packet's own.
        Protocol::Sctp => socket.bind(&SocketAddr::new(address.ip(), 0).into())?,
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The runtime of all servers of this process; it ends with the process.
pub(crate) fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    // Made once: one too many could not be dropped by a thread that runs tasks.
    let made = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("test servers")
            .enable_all()
            .build()
    });
    made.as_ref().map_err(|error| Error::Io {
        what: "starting the runtime of the test servers".to_owned(),
        source: std::io::Error::new(error.kind(), error.to_string()),
    })
}
