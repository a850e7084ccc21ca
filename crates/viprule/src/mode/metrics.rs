//! Which of kube-proxy's metrics, and of ours, a mode serves.

/// Which counters hold failed syncs (contract 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failures {
    /// One for all syncs, which are not told apart as full and partial ones.
    Restores,
    /// One for full syncs and one for partial ones.
    RestoresByKind,
    /// Nftables mode's.
    Transactions,
}

/// Which of kube-proxy's metrics, and of ours, a mode serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModeMetrics {
    /// How many rules there are, by table.
    pub rules: bool,
    /// Which counters hold failed syncs.
    pub failures: Failures,
    /// Rules feed nfacct counters.
    pub nfacct: bool,
    /// How many destinations wait for the end of their connections.
    pub draining: bool,
}
