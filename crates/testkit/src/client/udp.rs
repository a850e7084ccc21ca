//! Datagrams from one source port.

use super::outcome::{Attempt, Failure};
use super::socket;
use crate::wire::Answer;
use socket2::Type;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// A connected UDP socket: conntrack sees all its exchanges as one flow.
#[derive(Debug)]
pub struct UdpFlow {
    socket: UdpSocket,
    timeout: Duration,
}

impl UdpFlow {
    pub(super) fn open(
        target: SocketAddr,
        source: Option<IpAddr>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let socket = socket::bound(Type::DGRAM, target, source)?;
        socket.connect(&target.into())?;
        Ok(Self {
            socket: socket.into(),
            timeout,
        })
    }

    /// The client's end.
    pub fn local_address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.socket.local_addr()?)
    }

    /// Sends one datagram from the same port and waits for one.
    pub fn ask(&mut self) -> Attempt {
        Attempt::measure(|| self.exchange())
    }

    pub(super) fn exchange(&mut self) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.timeout;
        socket::send(|| self.socket.send(b"who"))?;
        let mut buffer = [0; 2048];
        self.socket
            .set_read_timeout(Some(socket::time_left(deadline)?))?;
        let length = self.socket.recv(&mut buffer)?;
        Ok(Answer::from_json(&buffer[..length])?)
    }
}
