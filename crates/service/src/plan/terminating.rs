//! Terminating endpoints serve where no ready one is left (KEP-1669, contract 1.7).

use crate::model::Conditions;

/// The endpoints that a set of them draws from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    /// At least one is ready: the ready ones.
    Ready,
    /// None is ready: those that still answer while they are terminating.
    ServingTerminating,
}

impl Tier {
    /// Decides for a set.
    pub(super) fn of<'a>(set: impl IntoIterator<Item = &'a Conditions>) -> Self {
        if set.into_iter().any(|conditions| conditions.ready) {
            Self::Ready
        } else {
            Self::ServingTerminating
        }
    }

    /// True where an endpoint belongs to the tier.
    pub(super) const fn admits(self, conditions: Conditions) -> bool {
        match self {
            Self::Ready => conditions.ready,
            Self::ServingTerminating => conditions.serving && conditions.terminating,
        }
    }
}

/// True where an endpoint could serve someone somewhere.
pub(super) const fn usable(conditions: Conditions) -> bool {
    Tier::Ready.admits(conditions) || Tier::ServingTerminating.admits(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{NOT_READY, READY, SERVING, STOPPED};

    #[test]
    fn one_ready_endpoint_keeps_terminating_ones_out() {
        let tier = Tier::of(&[SERVING, READY, STOPPED]);
        assert_eq!(tier, Tier::Ready);
        assert!(tier.admits(READY));
        assert!(!tier.admits(SERVING));
    }

    #[test]
    fn without_a_ready_endpoint_those_that_answer_while_terminating_serve() {
        let tier = Tier::of(&[SERVING, STOPPED, NOT_READY]);
        assert_eq!(tier, Tier::ServingTerminating);
        assert!(tier.admits(SERVING));
        assert!(!tier.admits(STOPPED));
        assert!(!tier.admits(NOT_READY));
    }

    #[test]
    fn an_endpoint_that_is_not_ready_and_not_terminating_is_never_usable() {
        assert!(!usable(NOT_READY));
        assert!(!usable(STOPPED));
        assert!(usable(SERVING));
        assert!(usable(READY));
    }

    #[test]
    fn an_endpoint_published_before_it_is_ready_counts_as_ready_while_it_terminates() {
        // publishNotReadyAddresses sets ready whatever the pod does.
        let published = Conditions {
            ready: true,
            serving: true,
            terminating: true,
        };
        assert_eq!(Tier::of(&[published]), Tier::Ready);
        assert!(Tier::Ready.admits(published));
    }
}
