//! iptables mode: the chains and rules of kube-proxy's iptables proxier, name for name and line
//! for line (contract 2).

mod options;
mod render;
mod served;
mod settings;

pub use options::Options;
pub use render::{foundation, links, service};
pub use settings::{Iptables, Settings};

/// nfacct counters that rules refer to (contract 2.11).
pub mod counter {
    /// Packets dropped because conntrack found them invalid.
    pub const INVALID_DROPPED: &str = "ct_state_invalid_dropped_pkts";
    /// Node port connections accepted on loopback addresses.
    pub const LOCALHOST_NODEPORTS: &str = "localhost_nps_accepted_pkts";
    /// All of them.
    pub const ALL: [&str; 2] = [INVALID_DROPPED, LOCALHOST_NODEPORTS];
}
