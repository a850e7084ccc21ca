//! The rules that mark, let through and masquerade, which are the same in every mode.

use nfnetlink::Family;
use nfnetlink::xtables::{CtStates, Match, NotOr, Rule, Target};

use super::builder::Draft;

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
