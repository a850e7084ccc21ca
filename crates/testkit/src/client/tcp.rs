//! HTTP over TCP, one request at a time.

use super::outcome::{Attempt, Failure};
use super::socket::{connected, connected_from, time_left};
use crate::wire::{Answer, REQUEST, parse_response};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// An open connection. Dropping it resets it.
#[derive(Debug)]
pub struct KeepAlive {
    stream: TcpStream,
    timeout: Duration,
    /// For what is left of the timeout in the first exchange.
    opened: Option<Instant>,
}

impl KeepAlive {
    pub(super) fn open(
        target: SocketAddr,
        source: Option<IpAddr>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let opened = Instant::now();
        let socket = connected(target, source, opened + timeout)?;
        Ok(Self {
            stream: socket.into(),
            timeout,
            opened: Some(opened),
        })
    }

    /// The same from this port, which may have been used before.
    pub(super) fn open_from(
        source: SocketAddr,
        target: SocketAddr,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let opened = Instant::now();
        let socket = connected_from(source, target, opened + timeout)?;
        Ok(Self {
            stream: socket.into(),
            timeout,
            opened: Some(opened),
        })
    }

    /// The client's end.
    pub fn local_address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.stream.local_addr()?)
    }

    /// Asks once more over the same connection.
    pub fn ask(&mut self) -> Attempt {
        Attempt::measure(|| self.exchange())
    }

    pub(super) fn exchange(&mut self) -> Result<Answer, Failure> {
        let deadline = self.opened.take().unwrap_or_else(Instant::now) + self.timeout;
        self.stream.set_write_timeout(Some(time_left(deadline)?))?;
        self.stream.write_all(REQUEST)?;
        let mut received = Vec::with_capacity(512);
        loop {
            if let Some((answer, _)) = parse_response(&received)? {
                return Ok(answer);
            }
            self.stream.set_read_timeout(Some(time_left(deadline)?))?;
            let mut part = [0; 1024];
            match self.stream.read(&mut part)? {
                0 => return Err(Failure::Closed),
                length => received.extend(&part[..length]),
            }
        }
    }
}
