//! What a network namespace's IPVS is set to.

use std::fmt;

use netlink_batch::{AttrWriter, Error, Message};

use crate::uapi::{attr, info};
use crate::wire;

/// How long idle connections are kept, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timeouts {
    /// Established TCP connections.
    pub tcp: u32,
    /// TCP connections after a FIN.
    pub tcp_fin: u32,
    /// UDP.
    pub udp: u32,
}

impl Timeouts {
    /// Appends them; the kernel leaves those as they are that are 0.
    pub(crate) fn encode(&self, attrs: &mut AttrWriter<'_>) {
        attrs.u32_ne(attr::TIMEOUT_TCP, self.tcp);
        attrs.u32_ne(attr::TIMEOUT_TCP_FIN, self.tcp_fin);
        attrs.u32_ne(attr::TIMEOUT_UDP, self.udp);
    }

    /// Reads an answer; 0 where the kernel has no such protocol.
    pub fn read(message: &Message<'_>) -> Result<Self, Error> {
        let (_, attrs) = message.split::<4>()?;
        let mut found = Self::default();
        for attr in attrs {
            let attr = attr?;
            match attr.kind {
                attr::TIMEOUT_TCP => found.tcp = wire::u32(&attr)?,
                attr::TIMEOUT_TCP_FIN => found.tcp_fin = wire::u32(&attr)?,
                attr::TIMEOUT_UDP => found.udp = wire::u32(&attr)?,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// What the kernel's IPVS is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Info {
    /// Its version.
    pub version: Version,
    /// Buckets of the table of connections.
    pub table_size: u32,
}

impl Info {
    /// Reads an answer.
    pub fn read(message: &Message<'_>) -> Result<Self, Error> {
        let (_, attrs) = message.split::<4>()?;
        let mut found = Self::default();
        for attr in attrs {
            let attr = attr?;
            match attr.kind {
                info::VERSION => found.version = Version::from_code(wire::u32(&attr)?),
                info::CONN_TAB_SIZE => found.table_size = wire::u32(&attr)?,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// A version of IPVS, as `1.2.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// The first number.
    pub major: u8,
    /// The second one.
    pub minor: u8,
    /// The third one.
    pub patch: u8,
}

impl Version {
    /// `IP_VS_VERSION_CODE`.
    pub const fn from_code(code: u32) -> Self {
        let [_, major, minor, patch] = code.to_be_bytes();
        Self {
            major,
            minor,
            patch,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}
