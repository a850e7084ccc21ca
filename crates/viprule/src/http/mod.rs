//! Small HTTP servers for probes and scrapes: HTTP/1.1, bounded, moved and stopped without a gap.

mod acceptor;
mod listen;
mod reply;
mod server;

pub use hyper::{Method, Request, StatusCode};
pub use reply::{Reply, json, not_found, text};
pub use server::{BindError, Server, ServerOptions, ServerState};

pub(crate) use acceptor::{Acceptor, Crowd, Limits};
pub(crate) use listen::listen_one_family;
pub(crate) use server::{RETRY, STALL};

use std::future::Future;

/// What answers the requests of a server.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Bodies are not read. Must not block for more than a millisecond or
    /// so: work that may is for `tokio::task::spawn_blocking`.
    fn answer(&self, request: &Request<()>) -> impl Future<Output = Reply> + Send;
}
