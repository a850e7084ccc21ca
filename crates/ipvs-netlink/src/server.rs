//! Virtual servers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bitflags::bitflags;

use crate::{Engine, Family, Protocol, Scheduler};

/// What identifies a virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerId {
    /// Packets to an address and port.
    Address {
        /// The address.
        address: IpAddr,
        /// The port; 0, for all ports, only together with [`ServerFlags::PERSISTENT`].
        port: u16,
        /// The protocol.
        protocol: Protocol,
    },
    /// Packets with a firewall mark.
    Fwmark {
        /// Of this family.
        family: Family,
        /// The mark, not 0.
        mark: u32,
    },
}

impl ServerId {
    /// The address; none for a firewall mark.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address { address, .. } => Some(*address),
            Self::Fwmark { .. } => None,
        }
    }

    /// The family.
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(address),
            Self::Fwmark { family, .. } => *family,
        }
    }
}

/// As `ipvsadm -Ln` lists it: `TCP 10.1.0.20:80`, `FWM 7 IPv6`.
impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address {
                address,
                port,
                protocol,
            } => {
                let protocol = match protocol {
                    Protocol::Tcp => "TCP",
                    Protocol::Udp => "UDP",
                    Protocol::Sctp => "SCTP",
                };
                write!(f, "{protocol} {}", SocketAddr::new(*address, *port))
            }
            Self::Fwmark { family, mark } => match family {
                Family::Ipv4 => write!(f, "FWM {mark}"),
                Family::Ipv6 => write!(f, "FWM {mark} IPv6"),
            },
        }
    }
}

/// What a virtual server shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Server {
    /// How a destination is chosen.
    pub scheduler: Scheduler,
    /// Flags, without [`ServerFlags::HASHED`], which is the kernel's own.
    pub flags: ServerFlags,
    /// How long a client stays with its destination without a connection, seconds; counts with
    /// [`ServerFlags::PERSISTENT`] only.
    pub timeout: u32,
    /// Which clients count as one for persistence.
    pub netmask: Netmask,
    /// What else tells a client for persistence, where it is not the address alone.
    pub engine: Option<Engine>,
}

impl Server {
    /// A virtual server without persistence.
    pub const fn new(scheduler: Scheduler, family: Family) -> Self {
        Self {
            scheduler,
            flags: ServerFlags::empty(),
            timeout: 0,
            netmask: Netmask::host(family),
            engine: None,
        }
    }
}

/// A netmask as the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Netmask(pub u8);

impl Netmask {
    /// One address: 32 or 128.
    pub const fn host(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self(32),
            Family::Ipv6 => Self(128),
        }
    }
}

bitflags! {
    /// `IP_VS_SVC_F_*`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
    pub struct ServerFlags: u32 {
        /// A client stays with its destination.
        const PERSISTENT = 0x1;
        /// The kernel has it in its table; always told, never to be set.
        const HASHED = 0x2;
        /// Each packet of UDP is balanced on its own.
        const ONE_PACKET = 0x4;
        /// The scheduler's first flag; `sh` and `mh`: another destination where the first is at
        /// weight 0.
        const SCHED_1 = 0x8;
        /// The scheduler's second flag; `sh` and `mh`: the source port is hashed too.
        const SCHED_2 = 0x10;
        /// The scheduler's third flag.
        const SCHED_3 = 0x20;
        /// Bits of later kernels.
        const _ = !0;
    }
}

impl ServerFlags {
    /// `sh` and `mh`: another destination where the first is at weight 0.
    pub const FALLBACK: Self = Self::SCHED_1;
    /// `sh` and `mh`: the source port is hashed too.
    pub const HASH_PORT: Self = Self::SCHED_2;
}
