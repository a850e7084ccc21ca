//! Clients that tell who answered, and how it failed when nobody did.

mod kept;
mod load;
mod outcome;
mod sctp;
mod socket;
mod spread;
mod tcp;
mod udp;

pub use kept::{KeptLoad, KeptReport, RunningKept};
pub use load::{Load, LoadReport, LoadSample, RunningLoad};
pub use outcome::{Attempt, Failure};
pub use spread::{Spread, assert_uniform, assert_uniform_within};
pub use tcp::KeepAlive;
pub use udp::UdpFlow;

use crate::LIMIT;
use crate::error::{Error, Result};
use crate::netns::Namespace;
use crate::wire::Protocol;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Opens connections from a namespace. Every attempt uses a source port of its own.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    namespace: &'a Namespace,
    source: Option<IpAddr>,
    timeout: Duration,
}

impl<'a> Client<'a> {
    /// A client in `namespace` that waits [`LIMIT`] for each answer and lets the kernel choose its
    /// source address. Who expects no answer says with [`Self::timeout`] how long to wait.
    pub fn new(namespace: &'a Namespace) -> Self {
        Self {
            namespace,
            source: None,
            timeout: LIMIT,
        }
    }

    /// Uses this source address, which must be configured in the namespace.
    #[must_use]
    pub fn from_address(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Waits this long for each answer, from the first packet to the last byte.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// One attempt by `protocol`: TCP connects, asks and closes; UDP sends one datagram and awaits
    /// one; SCTP sends INIT and awaits INIT-ACK.
    pub fn ask(&self, protocol: Protocol, target: SocketAddr) -> Result<Attempt> {
        self.namespace.run(|| self.ask_here(protocol, target))
    }

    /// [`Self::ask`] by TCP.
    pub fn tcp(&self, target: SocketAddr) -> Result<Attempt> {
        self.ask(Protocol::Tcp, target)
    }

    /// [`Self::ask`] by UDP.
    pub fn udp(&self, target: SocketAddr) -> Result<Attempt> {
        self.ask(Protocol::Udp, target)
    }

    /// [`Self::ask`] by SCTP.
    pub fn sctp(&self, target: SocketAddr) -> Result<Attempt> {
        self.ask(Protocol::Sctp, target)
    }

    /// `attempts` attempts one after the other, counted by who answered.
    pub fn spread(&self, protocol: Protocol, target: SocketAddr, attempts: u32) -> Result<Spread> {
        self.namespace.run(|| {
            let mut spread = Spread::default();
            for _ in 0..attempts {
                spread.count(&self.ask_here(protocol, target));
            }
            spread
        })
    }

    /// A TCP connection that stays open, to be asked again and again. `Err(Failure)` inside if it
    /// can't be opened.
    pub fn keep_alive(
        &self,
        target: SocketAddr,
    ) -> Result<std::result::Result<KeepAlive, Failure>> {
        self.namespace
            .run(|| KeepAlive::open(target, self.source, self.timeout))
    }

    /// [`Self::tcp`] from this address and port, which may have been used before.
    pub fn tcp_from(&self, source: SocketAddr, target: SocketAddr) -> Result<Attempt> {
        let ask = || KeepAlive::open_from(source, target, self.timeout)?.exchange();
        self.namespace.run(|| Attempt::measure(ask))
    }

    /// A UDP socket with one source port, to be asked again and again.
    pub fn udp_flow(&self, target: SocketAddr) -> Result<std::result::Result<UdpFlow, Failure>> {
        self.namespace
            .run(|| UdpFlow::open(target, self.source, self.timeout))
    }

    /// How many SYNs the kernel has repeated in this namespace, as nobody had answered the first one
    /// within a second or its refusal was not noticed.
    pub fn repeated_syns(&self) -> Result<u64> {
        let read = || std::fs::read_to_string("/proc/thread-self/net/netstat");
        let text = self.namespace.run(read)?;
        let text = text.map_err(Error::io("reading the counters of TCP"))?;
        let mut rows = text
            .lines()
            .filter_map(|line| line.strip_prefix("TcpExt: "));
        let (names, values) = (rows.next(), rows.next());
        let mut all = names
            .iter()
            .flat_map(|it| it.split(' '))
            .zip(values.iter().flat_map(|it| it.split(' ')));
        let found = all.find(|(name, _)| *name == "TCPSynRetrans");
        found
            .and_then(|(_, value)| value.parse().ok())
            .ok_or_else(|| Error::Malformed {
                what: "the counters of TCP".to_owned(),
                why: text.clone(),
            })
    }

    /// One attempt on the calling thread, which is inside the namespace.
    fn ask_here(&self, protocol: Protocol, target: SocketAddr) -> Attempt {
        Attempt::measure(|| match protocol {
            Protocol::Tcp => KeepAlive::open(target, self.source, self.timeout)?.exchange(),
            Protocol::Udp => UdpFlow::open(target, self.source, self.timeout)?.exchange(),
            Protocol::Sctp => sctp::init(target, self.source, self.timeout),
        })
    }
}
