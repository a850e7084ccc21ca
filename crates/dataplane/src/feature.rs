//! What a kernel may have or not.

use std::fmt;

use ipvs_netlink::Scheduler;

/// What a kernel may lack without being unfit: whoever wants it is served without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// A scheduler of IPVS.
    Scheduler(Scheduler),
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheduler(it) => write!(f, "IPVS scheduler {it} (module ip_vs_{it})"),
        }
    }
}
