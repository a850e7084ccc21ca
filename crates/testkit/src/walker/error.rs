//! Why a packet can't be walked.

/// A state that no kernel would take, or that the walker has no model of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// A rule leads to a chain that isn't there; the kernel would have refused it.
    #[error("{table}: a rule of {from} leads to {to}, which doesn't exist")]
    MissingChain {
        /// The table.
        table: String,
        /// The chain that the rule stands in.
        from: String,
        /// The chain that it leads to.
        to: String,
    },
    /// Chains lead to each other in a circle; the kernel would have refused the last jump.
    #[error("{table}: {chain} leads back to itself")]
    Loop {
        /// The table.
        table: String,
        /// One chain of the circle.
        chain: String,
    },
    /// A rule looks into a set that isn't there; the kernel would have refused it.
    #[error("`{rule}` looks into a set that doesn't exist")]
    MissingSet {
        /// The rule, as its tool prints it.
        rule: String,
    },
    /// A target in a table or hook where the kernel doesn't allow it.
    #[error("{table}: `{rule}` can't be used on the way that the packet takes")]
    Misplaced {
        /// The table.
        table: String,
        /// The rule, as its tool prints it.
        rule: String,
    },
    /// A condition or target without a model.
    #[error("`{rule}`: the walker has no model of {what}; teach it or take the rule out")]
    Unmodelled {
        /// The rule, as its tool prints it.
        rule: String,
        /// What it asks for.
        what: &'static str,
    },
    /// Something that the kernel would have refused for another reason.
    #[error("{what}: the kernel would not take it, as {why}")]
    Refused {
        /// What it is.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Source and destination are of different families.
    #[error("no packet goes from {from} to {to}: the families differ")]
    Families {
        /// The source.
        from: std::net::IpAddr,
        /// The destination.
        to: std::net::IpAddr,
    },
}
