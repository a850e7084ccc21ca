//! What the kernel takes without complaint, or refuses without saying why.

use crate::{
    Checksum, Destination, DestinationId, Family, Forwarding, Protocol, Server, ServerFlags,
    ServerId, Tunnel,
};

/// An object that IPVS can't do anything with. It was not added to the requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Port 0, for all ports, without persistence: the kernel takes it and never uses it.
    #[error("virtual server {0}: port 0 stands for all ports only where it is persistent")]
    AllPorts(ServerId),
    /// A firewall mark of 0, which packets have that were not marked.
    #[error("virtual server {0}: a firewall mark is greater than 0")]
    Unmarked(ServerId),
    /// One-packet scheduling of another protocol than UDP.
    #[error("virtual server {0}: only UDP can be balanced packet by packet")]
    OnePacket(ServerId),
    /// A netmask that is longer than an address, or 0 for IPv6.
    #[error("virtual server {server}: {len} is no netmask: {min} to {max}")]
    Netmask {
        /// The virtual server.
        server: ServerId,
        /// Its length.
        len: u8,
        /// The shortest one.
        min: u8,
        /// The longest one.
        max: u8,
    },
    /// A destination of the other IP family without a tunnel.
    #[error(
        "destination {destination} of {server} is of the other IP family, which goes through a \
         tunnel only"
    )]
    Family {
        /// The virtual server.
        server: ServerId,
        /// The destination.
        destination: DestinationId,
    },
    /// A weight above 2^31 - 1.
    #[error("destination {destination} of {server}: weight {weight} is more than 2147483647")]
    Weight {
        /// The virtual server.
        server: ServerId,
        /// The destination.
        destination: DestinationId,
        /// The weight.
        weight: u32,
    },
    /// A lower threshold above the upper one.
    #[error("destination {destination} of {server}: the lower threshold is above the upper one")]
    Thresholds {
        /// The virtual server.
        server: ServerId,
        /// The destination.
        destination: DestinationId,
    },
    /// A UDP tunnel without a port, or a GRE tunnel with a remote checksum.
    #[error(
        "destination {destination} of {server}: a GUE tunnel needs a port, a GRE tunnel has no \
         remote checksum"
    )]
    Tunnel {
        /// The virtual server.
        server: ServerId,
        /// The destination.
        destination: DestinationId,
    },
}

pub(crate) fn server(id: &ServerId, server: &Server) -> Result<(), Invalid> {
    let persistent = server.flags.contains(ServerFlags::PERSISTENT);
    match id {
        ServerId::Address { port: 0, .. } if !persistent => return Err(Invalid::AllPorts(*id)),
        ServerId::Fwmark { mark: 0, .. } => return Err(Invalid::Unmarked(*id)),
        ServerId::Address { protocol, .. }
            if *protocol != Protocol::Udp && server.flags.contains(ServerFlags::ONE_PACKET) =>
        {
            return Err(Invalid::OnePacket(*id));
        }
        _ => {}
    }
    let (min, max) = match id.family() {
        Family::Ipv4 => (0, 32),
        Family::Ipv6 => (1, 128),
    };
    let len = server.netmask.0;
    if (min..=max).contains(&len) {
        Ok(())
    } else {
        Err(Invalid::Netmask {
            server: *id,
            len,
            min,
            max,
        })
    }
}

pub(crate) fn destination(
    server: &ServerId,
    id: &DestinationId,
    destination: &Destination,
) -> Result<(), Invalid> {
    let (server, id) = (*server, *id);
    let tunnel = match destination.forwarding {
        Forwarding::Tunnel(tunnel) => Some(tunnel),
        _ => None,
    };
    if id.family() != server.family() && tunnel.is_none() {
        return Err(Invalid::Family {
            server,
            destination: id,
        });
    }
    if i32::try_from(destination.weight).is_err() {
        return Err(Invalid::Weight {
            server,
            destination: id,
            weight: destination.weight,
        });
    }
    if destination.lower_threshold > destination.upper_threshold {
        return Err(Invalid::Thresholds {
            server,
            destination: id,
        });
    }
    match tunnel {
        Some(
            Tunnel::Gue { port: 0, .. }
            | Tunnel::Gre {
                checksum: Checksum::Remote,
            },
        ) => Err(Invalid::Tunnel {
            server,
            destination: id,
        }),
        _ => Ok(()),
    }
}
