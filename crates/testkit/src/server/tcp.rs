//! HTTP/1.1 with keep-alive: every request is answered with who answered it.

use super::Shared;
use crate::wire::{Answer, request_length};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Longest request head that is read.
const LARGEST_REQUEST: usize = 16 * 1024;

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    while let Some(open) = &listener {
        tokio::select! {
            biased;
            () = shared.stopped() => listener = None,
            accepted = open.accept() => match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move { converse(stream, &shared).await });
                }
                // Out of descriptors or aborted in the queue: the next accept may do.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            },
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    shared.closed.store(true, Ordering::Release);
    while connections.join_next().await.is_some() {}
}

/// Answers until the client closes or says what isn't HTTP.
async fn converse(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let answer = Answer {
        backend: stream.local_addr()?,
        peer: stream.peer_addr()?,
    }
    .to_http();
    stream.set_nodelay(true)?;
    let mut received = Vec::with_capacity(512);
    loop {
        while let Some(length) = request_length(&received) {
            received.drain(..length);
            // Before writing: who has the answer in hand must find it counted.
            shared.count();
            stream.write_all(answer.as_bytes()).await?;
        }
        if received.len() > LARGEST_REQUEST || stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
}
