//! Names of things.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// An IP family; Services and slices are planned for each on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Both, IPv4 first.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// As Kubernetes spells it (`core/v1` `IPFamily`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// The family of an address.
    pub const fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

/// A transport protocol that Services can have (`core/v1` `Protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// In lower case, as iptables and chain names have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// The IP protocol number (IANA).
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that Kubernetes would have refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty where a name is needed.
    #[error("must not be empty")]
    Empty,
    /// Longer than Kubernetes allows; kernel comments and chain hashes rely on the limit.
    #[error("has {found} characters, at most {limit} are allowed")]
    TooLong {
        /// Characters found.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A character that DNS labels don't have.
    #[error("has the character {0:?}; lower-case letters, digits, '-' and '.' are allowed")]
    Character(char),
}

/// Checks a DNS name as Kubernetes does for object names (RFC 1123), to `limit` characters.
fn check(name: &str, limit: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > limit {
        return Err(NameError::TooLong {
            found: name.chars().count(),
            limit,
        });
    }
    let allowed =
        |c: &char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-' || *c == '.');
    name.chars()
        .find(allowed)
        .map_or(Ok(()), |c| Err(NameError::Character(c)))
}

/// Longest namespace or Service name (RFC 1123 label), characters.
const LABEL_LIMIT: usize = 63;
/// Longest EndpointSlice or node name (RFC 1123 subdomain), characters.
const SUBDOMAIN_LIMIT: usize = 253;

/// True for a name that a node can have.
pub fn is_node_name(name: &str) -> bool {
    check(name, SUBDOMAIN_LIMIT).is_ok()
}

/// Namespace and name of a Service. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId {
    text: Arc<str>,
}

impl ServiceId {
    /// Checks both parts. The error says which part and what is wrong with it.
    pub fn new(namespace: &str, name: &str) -> Result<Self, (&'static str, NameError)> {
        check(namespace, LABEL_LIMIT).map_err(|error| ("metadata.namespace", error))?;
        check(name, LABEL_LIMIT).map_err(|error| ("metadata.name", error))?;
        Ok(Self {
            text: format!("{namespace}/{name}").into(),
        })
    }

    /// `namespace/name`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.text
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.text.split_once('/').map_or("", |(_, name)| name)
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Namespace and name of an EndpointSlice. The namespace is the Service's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceId {
    /// The Service that the slice belongs to (label `kubernetes.io/service-name`).
    pub service: ServiceId,
    /// The slice's own name.
    pub name: Box<str>,
}

impl SliceId {
    /// Checks the slice's name.
    pub fn new(service: ServiceId, name: &str) -> Result<Self, NameError> {
        check(name, SUBDOMAIN_LIMIT)?;
        Ok(Self {
            service,
            name: name.into(),
        })
    }
}

/// A port of a Service as logs, comments and chain hashes name it: `namespace/name:port`, without
/// the colon where the port has no name (contract, conventions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePortName<'a> {
    /// The Service.
    pub service: &'a ServiceId,
    /// The port's name, empty where it has none.
    pub port: &'a str,
}

impl fmt::Display for ServicePortName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.service.as_str())?;
        if !self.port.is_empty() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}
