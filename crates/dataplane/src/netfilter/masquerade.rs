//! The rules that mark, let through and masquerade, which are the same in every mode.

use nfnetlink::Family;
use nfnetlink::xtables::{CtStates, Match, NotOr, Rule, Target};
use viprule_service::model;
use viprule_service::plan::NodeFacts;

use super::builder::Draft;
use super::detector::Detector;
use crate::CommonSettings;
use crate::family::index;

/// What is masqueraded, and how it is marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masquerade {
    /// The packet mark that asks for it: one bit (`iptables.masqueradeBit`).
    pub mark: u32,
    /// `iptables.masqueradeAll`.
    pub all: bool,
    /// How packets of local pods are told from others, by family (contract 1.8).
    pub detectors: [Option<Detector>; 2],
}

impl Default for Masquerade {
    /// kube-proxy's: bit 14, no detector.
    fn default() -> Self {
        Self {
            mark: 1 << 14,
            all: false,
            detectors: [None, None],
        }
    }
}

impl Masquerade {
    /// What follows from settings on this node.
    pub(crate) fn resolve(settings: &CommonSettings, facts: &NodeFacts) -> Self {
        let detector = |family| Detector::resolve(&settings.detect_local, family, facts);
        Self {
            mark: 1 << settings.masquerade_bit,
            all: settings.masquerade_all,
            detectors: model::Family::ALL.map(detector),
        }
    }

    /// The detector of a family.
    pub(crate) fn detector(&self, family: Family) -> Option<&Detector> {
        self.detectors[index(family)].as_ref()
    }
}

/// Marks a packet that is to be masqueraded.
pub(crate) fn mark_masquerade(family: Family, mark: u32) -> Rule {
    Draft::new(family).then(Target::Mark {
        value: mark,
        mask: mark,
    })
}

/// Lets through what is masqueraded, and what belongs to connections that were let through.
pub(crate) fn forward_ours(family: Family, mark: u32) -> [Rule; 2] {
    [
        Draft::new(family)
            .comment("kubernetes forwarding rules".to_owned())
            .with(Match::Mark {
                not: false,
                value: mark,
                mask: mark,
            })
            .then(Target::Accept),
        Draft::new(family)
            .comment("kubernetes forwarding conntrack rule".to_owned())
            .with(Match::Conntrack(NotOr::is(
                CtStates::RELATED.or(CtStates::ESTABLISHED),
            )))
            .then(Target::Accept),
    ]
}

/// Masquerades marked packets.
pub(crate) fn masquerade_marked(family: Family, mark: u32) -> [Rule; 3] {
    [
        Draft::new(family)
            .with(Match::Mark {
                not: true,
                value: mark,
                mask: mark,
            })
            .then(Target::Return),
        Draft::new(family).then(Target::Mark {
            value: mark,
            mask: 0,
        }),
        Draft::new(family)
            .comment("kubernetes service traffic requiring SNAT".to_owned())
            .then(Target::Masquerade { random_fully: true }),
    ]
}
