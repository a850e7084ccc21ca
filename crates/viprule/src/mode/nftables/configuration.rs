//! What nftables mode alone takes.

use crate::config::GoDuration;
use crate::config::fields::fields;

fields! {
    /// `nftables` of kube-proxy's configuration (contract 8)
    pub struct Configuration {
        /// The bit of the packet mark that asks for masquerading, 0 to 31.
        pub masquerade_bit: Option<i32> = "masqueradeBit",
        /// Masquerade all traffic to cluster IPs.
        pub masquerade_all: bool = "masqueradeAll",
        /// How often the kernel is checked without any change being known.
        pub sync_period: GoDuration = "syncPeriod",
        /// How long to wait between the end of one sync and the next.
        pub min_sync_period: GoDuration = "minSyncPeriod",
    }
}
