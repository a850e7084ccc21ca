//! Reading lines.

use std::iter::Enumerate;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::Line;
use super::error::ParseError;
use super::options::{Command, Kind, Options};
use crate::{
    Checksum, Destination, DestinationId, Family, Forwarding, Netmask, Protocol, Scheduler, Server,
    ServerFlags, ServerId, Tunnel,
};

/// Seconds where `-p` has no value (`IPVS_SVC_PERSISTENT_TIMEOUT`).
const TIMEOUT: u32 = 360;

const NUMBER: &str = "a number";

/// Reads what was saved, line by line; empty lines and those that begin with `#` are left out.
pub fn parse(text: &str) -> Lines<'_> {
    Lines {
        lines: text.lines().enumerate(),
    }
}

/// The lines of a text, see [`parse`].
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    lines: Enumerate<std::str::Lines<'a>>,
}

impl Iterator for Lines<'_> {
    type Item = Result<Line, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (before, text) = self.lines.find(|(_, text)| {
            let text = text.trim_start();
            !text.is_empty() && !text.starts_with('#')
        })?;
        Some(Options::read(before + 1, text).and_then(|options| line(&options)))
    }
}

impl FromStr for Line {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Options::read(1, text).and_then(|options| line(&options))
    }
}

fn line(options: &Options<'_>) -> Result<Line, ParseError> {
    let id = service(options)?;
    match options.command {
        Command::Server => Ok(Line::Server {
            id,
            server: server(options, id.family())?,
        }),
        Command::Destination => {
            let given = options.need(Kind::Real, "a destination: -r ADDRESS:PORT")?;
            let (address, port) = address(given.value)
                .ok_or_else(|| options.wrong(given.value, "an ADDRESS:PORT"))?;
            let port = port.unwrap_or(match id {
                ServerId::Address { port, .. } => port,
                ServerId::Fwmark { .. } => 0,
            });
            Ok(Line::Destination {
                server: id,
                id: DestinationId { address, port },
                destination: destination(options)?,
            })
        }
    }
}

fn service(options: &Options<'_>) -> Result<ServerId, ParseError> {
    let given = options.need(
        Kind::Service,
        "a virtual server: -t, -u, --sctp-service or -f",
    )?;
    let ipv6 = options.get(Kind::Ipv6);
    let protocol = match given.name {
        "-t" => Protocol::Tcp,
        "-u" => Protocol::Udp,
        "--sctp-service" => Protocol::Sctp,
        _ => {
            let mark = mark(given.value)
                .ok_or_else(|| options.wrong(given.value, "a mark of 1 to 4294967295"))?;
            let family = if ipv6.is_some() {
                Family::Ipv6
            } else {
                Family::Ipv4
            };
            return Ok(ServerId::Fwmark { family, mark });
        }
    };
    if let Some(ipv6) = ipv6 {
        return Err(options.lacks(ipv6, "a firewall mark: -f"));
    }
    let (address, port) =
        address(given.value).ok_or_else(|| options.wrong(given.value, "an ADDRESS:PORT"))?;
    Ok(ServerId::Address {
        address,
        port: port.unwrap_or(0),
        protocol,
    })
}

fn server(options: &Options<'_>, family: Family) -> Result<Server, ParseError> {
    let scheduler = options
        .value(Kind::Scheduler, "a scheduler's name", |name| {
            name.parse().ok()
        })?
        .unwrap_or(Scheduler::WLC);
    let mut server = Server::new(scheduler, family);
    if let Some(given) = options.get(Kind::Persistent) {
        server.flags |= ServerFlags::PERSISTENT;
        server.timeout = if given.value.starts_with('-') {
            TIMEOUT
        } else {
            given
                .value
                .parse()
                .map_err(|_| options.wrong(given.value, "a number of seconds"))?
        };
    }
    if let Some(given) = options.get(Kind::Netmask) {
        if !server.flags.contains(ServerFlags::PERSISTENT) {
            return Err(options.lacks(given, "persistence: -p"));
        }
        let (mask, what) = match family {
            Family::Ipv4 => (
                ipv4_mask(given.value),
                "an IPv4 netmask such as 255.255.255.0",
            ),
            Family::Ipv6 => (prefix(given.value), "a prefix length of 1 to 128"),
        };
        server.netmask = mask.ok_or_else(|| options.wrong(given.value, what))?;
    }
    server.engine = options.value(Kind::Engine, "a persistence engine's name", |name| {
        name.parse().ok()
    })?;
    if options.get(Kind::OnePacket).is_some() {
        server.flags |= ServerFlags::ONE_PACKET;
    }
    if let Some(given) = options.get(Kind::Flags) {
        for name in given.value.split(',') {
            server.flags |= ServerFlags::scheduler_flag(name, scheduler)
                .ok_or_else(|| options.wrong(name, "a flag of the scheduler"))?;
        }
    }
    Ok(server)
}

fn destination(options: &Options<'_>) -> Result<Destination, ParseError> {
    let number = |kind| options.value(kind, NUMBER, |text| text.parse().ok());
    let weight = options.value(Kind::Weight, "a weight of 0 to 2147483647", |text| {
        text.parse()
            .ok()
            .filter(|weight| i32::try_from(*weight).is_ok())
    })?;
    Ok(Destination {
        forwarding: forwarding(options)?,
        weight: weight.unwrap_or(1),
        upper_threshold: number(Kind::Upper)?.unwrap_or(0),
        lower_threshold: number(Kind::Lower)?.unwrap_or(0),
    })
}

fn forwarding(options: &Options<'_>) -> Result<Forwarding, ParseError> {
    let way = options
        .get(Kind::Forwarding)
        .map_or("-g", |given| given.name);
    let tunnel = [Kind::Tunnel, Kind::TunnelPort, Kind::TunnelChecksum]
        .into_iter()
        .find_map(|kind| options.get(kind));
    match (way, tunnel) {
        ("-i", _) => {}
        (_, Some(given)) => return Err(options.lacks(given, "a tunnel: -i")),
        ("-m", None) => return Ok(Forwarding::Masquerade),
        _ => return Ok(Forwarding::Direct),
    }
    let port = options.value(Kind::TunnelPort, "a port of 1 to 65535", |text| {
        text.parse::<u16>().ok().filter(|port| *port != 0)
    })?;
    let checksum = options.get(Kind::TunnelChecksum);
    let sum = match checksum.map(|given| given.name) {
        Some("--tun-csum") => Checksum::Full,
        Some("--tun-remcsum") => Checksum::Remote,
        _ => Checksum::None,
    };
    let kind = options.get(Kind::Tunnel);
    let gue = "a GUE tunnel: --tun-type gue";
    let tunnel = match kind.map_or("ipip", |given| given.value) {
        "ipip" => {
            if let Some(given) = checksum {
                return Err(options.lacks(given, "a GUE or GRE tunnel: --tun-type"));
            }
            Tunnel::IpIp
        }
        "gue" => {
            let port = match (port, kind) {
                (None, Some(given)) => return Err(options.lacks(given, "a port: --tun-port")),
                (port, _) => port.unwrap_or(0),
            };
            return Ok(Forwarding::Tunnel(Tunnel::Gue {
                port,
                checksum: sum,
            }));
        }
        "gre" => {
            if let (Checksum::Remote, Some(given)) = (sum, checksum) {
                return Err(options.lacks(given, gue));
            }
            Tunnel::Gre { checksum: sum }
        }
        other => return Err(options.wrong(other, "a tunnel: ipip, gue or gre")),
    };
    match options.get(Kind::TunnelPort) {
        Some(given) => Err(options.lacks(given, gue)),
        None => Ok(Forwarding::Tunnel(tunnel)),
    }
}

/// An address with or without a port, IPv6 in brackets.
fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(found) = text.parse::<SocketAddr>() {
        // With a zone it is more than an address.
        let zone = matches!(found, SocketAddr::V6(found) if found.scope_id() != 0);
        return (!zone).then(|| (found.ip(), Some(found.port())));
    }
    let address = match text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(inner) => inner.parse::<Ipv6Addr>().ok()?.into(),
        None => text.parse::<Ipv4Addr>().ok()?.into(),
    };
    Some((address, None))
}

/// A firewall mark; `ipvsadm` prints those from 2^31 on as negative numbers.
fn mark(text: &str) -> Option<u32> {
    let negative = || text.parse::<i32>().ok().map(i32::cast_unsigned);
    text.parse()
        .ok()
        .or_else(negative)
        .filter(|mark| *mark != 0)
}

fn ipv4_mask(text: &str) -> Option<Netmask> {
    let mask = text.parse::<Ipv4Addr>().ok()?.to_bits();
    let len = mask.leading_ones();
    (len + mask.trailing_zeros() >= u32::BITS)
        .then_some(len)
        .and_then(|len| u8::try_from(len).ok())
        .map(Netmask)
}

fn prefix(text: &str) -> Option<Netmask> {
    let len = text.parse().ok().filter(|len| (1..=128).contains(len))?;
    Some(Netmask(len))
}
