//! Destinations of virtual servers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::Family;

/// What identifies a destination within its virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationId {
    /// The address.
    pub address: IpAddr,
    /// The port; 0 for the one that the client asked for.
    pub port: u16,
}

impl DestinationId {
    /// The family.
    pub const fn family(&self) -> Family {
        Family::of(&self.address)
    }
}

/// As `ipvsadm -Ln` lists it: `10.244.0.10:8080`, `[fd00::10]:8080`.
impl fmt::Display for DestinationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port).fmt(f)
    }
}

/// What a destination shall get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Destination {
    /// How packets get there.
    pub forwarding: Forwarding,
    /// Its share, 0 to 2^31 - 1; 0 for no new connections.
    pub weight: u32,
    /// No new connections above so many; 0 for no limit.
    pub upper_threshold: u32,
    /// New connections again below so many; 0 for three quarters of the upper one.
    pub lower_threshold: u32,
}

impl Destination {
    /// A destination without limits.
    pub const fn new(forwarding: Forwarding, weight: u32) -> Self {
        Self {
            forwarding,
            weight,
            upper_threshold: 0,
            lower_threshold: 0,
        }
    }

    /// A destination that is masqueraded to, without limits.
    pub const fn masqueraded(weight: u32) -> Self {
        Self::new(Forwarding::Masquerade, weight)
    }
}

/// How packets get to a destination (`IP_VS_CONN_F_FWD_MASK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Forwarding {
    /// By network address translation.
    Masquerade,
    /// To this machine itself.
    Local,
    /// Through a tunnel; the only way to a destination of the other IP family.
    Tunnel(Tunnel),
    /// By the link layer's address.
    Direct,
    /// To a proxy's cache.
    Bypass,
}

impl Forwarding {
    /// The number in the kernel.
    pub const fn number(self) -> u32 {
        match self {
            Self::Masquerade => 0,
            Self::Local => 1,
            Self::Tunnel(_) => 2,
            Self::Direct => 3,
            Self::Bypass => 4,
        }
    }

    /// The way of this number, a tunnel as the plain one.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Masquerade),
            1 => Some(Self::Local),
            2 => Some(Self::Tunnel(Tunnel::IpIp)),
            3 => Some(Self::Direct),
            4 => Some(Self::Bypass),
            _ => None,
        }
    }
}

/// How packets are encapsulated (`IP_VS_CONN_F_TUNNEL_TYPE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Tunnel {
    /// IP in IP; all that kernels before 5.2 know.
    IpIp,
    /// Generic UDP encapsulation.
    Gue {
        /// The UDP port it goes to, not 0.
        port: u16,
        /// The outer packet's checksum.
        checksum: Checksum,
    },
    /// Generic routing encapsulation, since Linux 5.3.
    Gre {
        /// The outer packet's checksum, never [`Checksum::Remote`].
        checksum: Checksum,
    },
}

/// Checksums of tunnels (`IP_VS_TUNNEL_ENCAP_FLAG_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Checksum {
    /// None.
    None,
    /// Computed.
    Full,
    /// Left to the other end (remote checksum offload).
    Remote,
}

impl Checksum {
    /// The number in the kernel.
    pub const fn number(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Full => 1,
            Self::Remote => 2,
        }
    }

    /// The checksum of this number.
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Full),
            2 => Some(Self::Remote),
            _ => None,
        }
    }
}
