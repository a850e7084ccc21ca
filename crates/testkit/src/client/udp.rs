//! Datagrams from one source port.

use super::outcome::{Attempt, Failure};
use super::socket;
use crate::wire::Answer;
use socket2::Type;
use std::io;
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
        self.ask_within(self.timeout)
    }

    /// The same with this patience, as for an answer that must not come.
    pub fn ask_within(&mut self, patience: Duration) -> Attempt {
        Attempt::measure(|| self.exchange_within(patience))
    }

    pub(super) fn exchange(&mut self) -> Result<Answer, Failure> {
        self.exchange_within(self.timeout)
    }

    fn exchange_within(&mut self, patience: Duration) -> Result<Answer, Failure> {
        // What comes late is no answer to this question.
        self.socket.set_nonblocking(true)?;
        let mut buffer = [0; 2048];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(_) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    // An earlier question was refused.
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted => {}
                    _ => return Err(error.into()),
                },
            }
        }
        self.socket.set_nonblocking(false)?;
        let deadline = Instant::now() + patience;
        socket::send(|| self.socket.send(b"who"))?;
        self.socket
            .set_read_timeout(Some(socket::time_left(deadline)?))?;
        let length = self.socket.recv(&mut buffer)?;
        Ok(Answer::from_json(&buffer[..length])?)
    }
}
