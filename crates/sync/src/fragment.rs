//! Shares of the desired state.

use std::fmt;

use viprule_service::model::ServiceId;

/// A share of the desired state that is rendered, compared and refused on its own.
///
/// In the order of writing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FragmentId {
    /// What every Service needs.
    Base,
    /// One Service's objects.
    Service(ServiceId),
    /// What makes the rest reachable.
    EntryPoints,
}

impl fmt::Display for FragmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("base"),
            Self::Service(id) => write!(f, "service {id}"),
            Self::EntryPoints => f.write_str("entry points"),
        }
    }
}
