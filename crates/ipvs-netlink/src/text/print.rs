//! Printing lines.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use super::Line;
use crate::{
    Checksum, Destination, DestinationId, Family, Forwarding, Protocol, Server, ServerFlags,
    ServerId, Tunnel,
};

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { id, server } => {
                f.write_str("-A ")?;
                service(f, id)?;
                attributes(f, id.family(), server)
            }
            Self::Destination {
                server,
                id,
                destination,
            } => {
                f.write_str("-a ")?;
                service(f, server)?;
                shares(f, id, destination)
            }
        }
    }
}

fn service(f: &mut fmt::Formatter<'_>, id: &ServerId) -> fmt::Result {
    match id {
        ServerId::Address {
            address,
            port,
            protocol,
        } => {
            let option = match protocol {
                Protocol::Tcp => "-t",
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
            };
            write!(f, "{option} {}", SocketAddr::new(*address, *port))
        }
        ServerId::Fwmark { family, mark } => {
            write!(f, "-f {mark}")?;
            match family {
                Family::Ipv4 => Ok(()),
                Family::Ipv6 => f.write_str(" -6"),
            }
        }
    }
}

fn attributes(f: &mut fmt::Formatter<'_>, family: Family, server: &Server) -> fmt::Result {
    write!(f, " -s {}", server.scheduler)?;
    if server.flags.contains(ServerFlags::PERSISTENT) {
        write!(f, " -p {}", server.timeout)?;
        let len = u32::from(server.netmask.0);
        match family {
            Family::Ipv4 if len < 32 => {
                let mask = u32::MAX.checked_shl(32 - len).unwrap_or(0);
                write!(f, " -M {}", Ipv4Addr::from_bits(mask))?;
            }
            Family::Ipv6 if len != 128 => write!(f, " -M {len}")?,
            _ => {}
        }
    }
    if let Some(engine) = &server.engine {
        write!(f, " --pe {engine}")?;
    }
    if server.flags.contains(ServerFlags::ONE_PACKET) {
        f.write_str(" -o")?;
    }
    let mut before = " -b ";
    for name in server.flags.scheduler_flags(server.scheduler) {
        write!(f, "{before}{name}")?;
        before = ",";
    }
    Ok(())
}

fn shares(
    f: &mut fmt::Formatter<'_>,
    id: &DestinationId,
    destination: &Destination,
) -> fmt::Result {
    // There is no option for the other two, which the kernel chooses by itself.
    let forwarding = match destination.forwarding {
        Forwarding::Masquerade => "-m",
        Forwarding::Tunnel(_) => "-i",
        Forwarding::Direct | Forwarding::Local | Forwarding::Bypass => "-g",
    };
    write!(f, " -r {id} {forwarding} -w {}", destination.weight)?;
    if destination.upper_threshold != 0 {
        write!(f, " -x {}", destination.upper_threshold)?;
    }
    if destination.lower_threshold != 0 {
        write!(f, " -y {}", destination.lower_threshold)?;
    }
    let Forwarding::Tunnel(tunnel) = destination.forwarding else {
        return Ok(());
    };
    match tunnel {
        Tunnel::IpIp => f.write_str(" --tun-type ipip"),
        Tunnel::Gue {
            port,
            checksum: sum,
        } => write!(f, " --tun-type gue --tun-port {port} {}", checksum(sum)),
        Tunnel::Gre { checksum: sum } => write!(f, " --tun-type gre {}", checksum(sum)),
    }
}

const fn checksum(checksum: Checksum) -> &'static str {
    match checksum {
        Checksum::None => "--tun-nocsum",
        Checksum::Full => "--tun-csum",
        Checksum::Remote => "--tun-remcsum",
    }
}
