//! A connection that only has to come about.

use super::ProbeResult;
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub(super) async fn connect(address: SocketAddr) -> ProbeResult {
    TcpStream::connect(address)
        .await
        .map(drop)
        .map_err(|error| format!("{address}: {error}"))
}
