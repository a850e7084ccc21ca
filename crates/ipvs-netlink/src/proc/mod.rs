//! `/proc/net/ip_vs`: all virtual servers and destinations with weights and connections, in one
//! file. Nothing reads destinations faster: the kernel lists them by netlink for one virtual server
//! at a time.
//!
//! ```
//! use ipvs_netlink::proc::{self, Line};
//!
//! let text = "\
//! IP Virtual Server version 1.2.1 (size=4096)
//! Prot LocalAddress:Port Scheduler Flags
//!   -> RemoteAddress:Port Forward Weight ActiveConn InActConn
//! TCP  0A010014:0050 rr  persistent 60000 FFFFFFFF
//!   -> 0AF4000A:1F90      Masq    1      3          7         \n";
//! for line in proc::lines(text) {
//!     match line? {
//!         Line::Server(server) => assert_eq!(server.scheduler, "rr"),
//!         Line::Destination(entry) => assert_eq!((entry.active, entry.inactive), (3, 7)),
//!     }
//! }
//! # Ok::<(), proc::Malformed>(())
//! ```
//!
//! The file does not tell everything. Missing are schedulers' flags, persistence engines,
//! thresholds, persistent connections, encapsulations and counts, one-packet scheduling of IPv6
//! servers, and the family of servers with a firewall mark. The kernel prints a virtual server with
//! its destinations at one moment, but servers may come and go while others are printed: one may be
//! missing or told twice then.
//!
//! Where other network namespaces have virtual servers too, the kernel loses some of this one's:
//! it continues behind each 4 KiB by a position in which the others' count, and looks for it among
//! its own. [`Ipvs::servers`](crate::Ipvs::servers) tells them all; ask for the destinations of
//! those that are missing here.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{DestinationId, Forwarding, Protocol, ServerId, Tunnel};

/// The file, of the calling thread's network namespace.
pub const PATH: &str = "/proc/thread-self/net/ip_vs";

/// Bytes read at once.
const BUFFER: usize = 64 * 1024;

/// A line that is not a heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// A virtual server.
    Server(ServerLine<'a>),
    /// A destination of the virtual server before it.
    Destination(DestinationLine),
}

/// A virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerLine<'a> {
    /// What identifies it.
    pub id: LineId,
    /// How a destination is chosen.
    pub scheduler: &'a str,
    /// Each packet of UDP is balanced on its own; never told for IPv6 addresses.
    pub one_packet: bool,
    /// A client stays with its destination.
    pub persistence: Option<Persistence>,
}

/// What identifies a virtual server, as far as the file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineId {
    /// Packets to an address and port.
    Address {
        /// The address.
        address: IpAddr,
        /// The port; 0 for all ports.
        port: u16,
        /// The protocol; `None` for one that IPVS does not balance.
        protocol: Option<Protocol>,
    },
    /// Packets with a firewall mark, of either family.
    Fwmark(u32),
}

impl LineId {
    /// The virtual server; `None` where it has a firewall mark or an unknown protocol.
    pub const fn server(&self) -> Option<ServerId> {
        match self {
            Self::Address {
                address,
                port,
                protocol: Some(protocol),
            } => Some(ServerId::Address {
                address: *address,
                port: *port,
                protocol: *protocol,
            }),
            _ => None,
        }
    }
}

/// How clients stay with their destinations, as the file tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persistence {
    /// How long without a connection, in ticks of the kernel's clock (`CONFIG_HZ`), about which
    /// the kernel tells nothing: seconds come with [`Ipvs::servers`](crate::Ipvs::servers).
    pub ticks: u32,
    /// The netmask: the mask of IPv4, the prefix length of IPv6. With a firewall mark, where the
    /// family is not known, a prefix length has its bytes the other way round.
    pub netmask: u32,
}

/// A destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DestinationLine {
    /// What identifies it within its virtual server.
    pub id: DestinationId,
    /// How packets get there. Of a tunnel the file does not tell which one ([`Tunnel::IpIp`]), and
    /// [`Forwarding::Bypass`] it calls masquerading.
    pub forwarding: Forwarding,
    /// Its share.
    pub weight: u32,
    /// Connections that are established, as far as the protocol tells.
    pub active: u32,
    /// Connections in any other state.
    pub inactive: u32,
}

/// A line that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of {PATH} is not understood: {text:?}")]
pub struct Malformed {
    /// The line, counted from 1.
    pub line: usize,
    /// What it says.
    pub text: String,
}

/// The file can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no IPVS, or its module is not loaded.
    #[error("{PATH} does not exist: this kernel has no IPVS, or its module is not loaded")]
    NotSupported,
    /// Reading failed.
    #[error("reading {PATH}")]
    Io(#[source] io::Error),
    /// It says something unknown.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Hands each line of the calling thread's network namespace to `each`. Memory is the same for any
/// number.
pub fn read(each: impl FnMut(Line<'_>)) -> Result<(), Error> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotSupported,
        _ => Error::Io(error),
    };
    #[cfg(feature = "memory")]
    if let Some(kernel) = netlink_batch::memory::entered() {
        let text = kernel.read_file(PATH).map_err(failed)?;
        return read_from(&*text, each);
    }
    let file = File::open(PATH).map_err(failed)?;
    read_from(BufReader::with_capacity(BUFFER, file), each)
}

/// Hands each line of what the file holds to `each`.
pub fn read_from(mut from: impl BufRead, mut each: impl FnMut(Line<'_>)) -> Result<(), Error> {
    let mut line = String::with_capacity(128);
    let mut number = 0;
    loop {
        line.clear();
        if from.read_line(&mut line).map_err(Error::Io)? == 0 {
            return Ok(());
        }
        number += 1;
        if number > HEADINGS {
            each(parse(number, line.trim_end_matches('\n'))?);
        }
    }
}

/// Lines of headings.
const HEADINGS: usize = 3;

/// The lines of what the file holds.
pub fn lines(text: &str) -> impl Iterator<Item = Result<Line<'_>, Malformed>> {
    text.lines()
        .enumerate()
        .skip(HEADINGS)
        .map(|(before, line)| parse(before + 1, line))
}

fn parse(line: usize, text: &str) -> Result<Line<'_>, Malformed> {
    let parsed = match text.strip_prefix("  -> ") {
        Some(rest) => destination(rest).map(Line::Destination),
        None => server(text).map(Line::Server),
    };
    parsed.ok_or_else(|| Malformed {
        line,
        text: text.to_owned(),
    })
}

/// `TCP  0A010014:0050 rr ops persistent 60000 FFFFFFFF`.
fn server(text: &str) -> Option<ServerLine<'_>> {
    let mut words = text.split_ascii_whitespace();
    let kind = words.next()?;
    let place = words.next()?;
    let id = if kind == "FWM" {
        LineId::Fwmark(u32::from_str_radix(place, 16).ok()?)
    } else {
        let (address, port) = address(place)?;
        LineId::Address {
            address,
            port,
            protocol: Protocol::ALL
                .into_iter()
                .find(|protocol| protocol.name().eq_ignore_ascii_case(kind)),
        }
    };
    let mut found = ServerLine {
        id,
        scheduler: words.next()?,
        one_packet: false,
        persistence: None,
    };
    while let Some(word) = words.next() {
        match word {
            "ops" => found.one_packet = true,
            "persistent" => {
                let ticks = words.next()?.parse::<i32>().ok()?.cast_unsigned();
                let netmask = u32::from_str_radix(words.next()?, 16).ok()?;
                // The kernel prints both as if they were in network byte order.
                let length = matches!(id, LineId::Address { address, .. } if address.is_ipv6());
                found.persistence = Some(Persistence {
                    ticks,
                    netmask: if length {
                        u32::from_be(netmask)
                    } else {
                        netmask
                    },
                });
            }
            // A flag of a later kernel.
            _ => {}
        }
    }
    Some(found)
}

/// `0AF4000A:1F90      Masq    1      3          7         `.
fn destination(text: &str) -> Option<DestinationLine> {
    let mut words = text.split_ascii_whitespace();
    let (address, port) = address(words.next()?)?;
    let forwarding = match words.next()? {
        "Masq" => Forwarding::Masquerade,
        "Local" => Forwarding::Local,
        "Tunnel" => Forwarding::Tunnel(Tunnel::IpIp),
        "Route" => Forwarding::Direct,
        _ => return None,
    };
    // The kernel prints them with a sign.
    let mut number = || words.next()?.parse::<i32>().ok().map(i32::cast_unsigned);
    Some(DestinationLine {
        id: DestinationId { address, port },
        forwarding,
        weight: number()?,
        active: number()?,
        inactive: number()?,
    })
}

/// `0A010014:0050` or `[fd00:0000:0000:0000:0000:0000:0000:0001]:0050`.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = match address.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into(),
        None => Ipv4Addr::from_bits(u32::from_str_radix(address, 16).ok()?).into(),
    };
    Some((address, port))
}

#[cfg(test)]
mod tests;
