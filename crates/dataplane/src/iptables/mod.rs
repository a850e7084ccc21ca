//! iptables mode: the chains and rules of kube-proxy's iptables proxier, name for name and line
//! for line (contract 2).

pub(crate) mod jumps;
mod key;
mod observe;
mod options;
pub(crate) mod render;
mod save;
mod served;
mod settings;
mod udp;

pub use jumps::{Jump, jumps, known_jumps};
pub use key::{BaseChain, Key, Kind, Object, Part, Place, Table};
pub use observe::Observation;
pub(crate) use options::index;
pub use options::{Detector, Options};
pub use render::{foundation, links, place_of, service};
pub use save::{SaveError, parse_save, parse_save_of, print_save};
pub(crate) use settings::rule_counts;
pub use settings::{DetectLocal, Iptables, Settings};

/// The desired state, its contents in full.
pub type Desired = crate::State<Key, Object>;
/// A state of which only fingerprints are kept.
pub type Digest = crate::State<Key, crate::Fingerprint>;

/// nfacct counters that rules refer to (contract 2.11).
pub mod counter {
    /// Packets dropped because conntrack found them invalid.
    pub const INVALID_DROPPED: &str = "ct_state_invalid_dropped_pkts";
    /// Node port connections accepted on loopback addresses.
    pub const LOCALHOST_NODEPORTS: &str = "localhost_nps_accepted_pkts";
    /// All of them.
    pub const ALL: [&str; 2] = [INVALID_DROPPED, LOCALHOST_NODEPORTS];
}
