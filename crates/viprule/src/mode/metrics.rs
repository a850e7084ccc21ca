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

/// What of all that is written is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Nothing.
    Nothing,
    /// Rules, by table.
    Rules,
    /// Elements of sets and maps.
    Elements,
}

/// Which of kube-proxy's metrics, and of ours, a mode serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModeMetrics {
    /// Of what it is told how many there are.
    pub counted: Counted,
    /// Which counters hold failed syncs.
    pub failures: Failures,
    /// Rules feed nfacct counters.
    pub nfacct: bool,
    /// How many destinations wait for the end of their connections.
    pub draining: bool,
}
