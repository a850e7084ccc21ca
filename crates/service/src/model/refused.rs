//! Objects that exist and can't be used.

use std::fmt;

use super::ServiceId;

/// An object that exists and can't be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refused {
    /// A Service.
    Service(ServiceId),
    /// An EndpointSlice.
    Slice {
        /// Its namespace.
        namespace: Box<str>,
        /// Its own name.
        name: Box<str>,
        /// The Service that it belongs to, where that can be told.
        service: Option<ServiceId>,
    },
    /// Something that could be any Service or slice, such as a file that can't be read.
    Unnamed,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(id) => write!(f, "Service {id}"),
            Self::Slice {
                namespace, name, ..
            } => write!(f, "EndpointSlice {namespace}/{name}"),
            Self::Unnamed => f.write_str("something without names"),
        }
    }
}
