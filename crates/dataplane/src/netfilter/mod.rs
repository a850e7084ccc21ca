//! Chains and rules of netfilter as objects of a state, whichever mode they are of: what
//! identifies them, how they are built, observed, and printed.

mod builder;
mod counts;
mod detector;
mod jumps;
mod key;
mod masquerade;
mod observe;
mod place;
mod save;
mod source_ports;
mod udp;

pub(crate) use builder::{Draft, keyed, loopback};
pub use counts::RuleCounts;
pub use detector::Detector;
pub(crate) use jumps::jumps_state;
pub use jumps::{Jump, jumps, known_jumps};
pub use key::{BaseChain, Key, Kind, Object, Piece, Table};
pub use masquerade::Masquerade;
pub(crate) use masquerade::{forward_ours, mark_masquerade, masquerade_marked};
pub use observe::Observation;
pub(crate) use place::NODE_PORTS_LAST;
pub use place::{Place, place_of};
pub use save::{SaveError, parse_save, print_save};
pub(crate) use source_ports::Draw;
pub use source_ports::SourcePorts;

/// Chains and rules, their contents in full.
pub type Desired = crate::State<Key, Object>;

/// nfacct counters that rules refer to (contract 2.11).
pub mod counter {
    /// Packets dropped because conntrack found them invalid.
    pub const INVALID_DROPPED: &str = "ct_state_invalid_dropped_pkts";
    /// Node port connections accepted on loopback addresses.
    pub const LOCALHOST_NODEPORTS: &str = "localhost_nps_accepted_pkts";
    /// All of them.
    pub const ALL: [&str; 2] = [INVALID_DROPPED, LOCALHOST_NODEPORTS];
}
