//! Where rules stand, whoever writes them.

use std::collections::{BTreeMap, BTreeSet};

use nfnetlink::xtables::Rule;
use viprule_dataplane::netfilter::{Key, Table};
use viprule_dataplane::ownership::Chain;

use crate::Tag;

/// A rule to be inserted into a built-in chain.
pub(crate) type NewJump = (Tag, Key, Rule);

/// Where a rule of ours goes in a built-in chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside<A> {
    /// Before all others.
    Head,
    /// Right before this one of ours.
    Before(A),
    /// Right behind this one of ours.
    Behind(A),
}

/// Tells where new rules in built-in chains go beside those of ours that are `there`, in the order
/// in which they have to be inserted.
///
/// Ours keep their order among each other; foreign rules stay where they are.
pub(crate) fn beside<A: Copy>(
    jumps: Vec<NewJump>,
    there: &BTreeMap<Key, A>,
) -> impl Iterator<Item = (NewJump, Beside<A>)> + use<A> {
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    for jump in jumps {
        match neighbours(&jump.1, there) {
            (Some(next), _) => before.push((jump, Beside::Before(next))),
            (None, Some(previous)) => behind.push((jump, Beside::Behind(previous))),
            (None, None) => behind.push((jump, Beside::Head)),
        }
    }
    // Each goes right before or right behind the same neighbour: the order of insertion decides
    // which one ends up nearest to it.
    before.into_iter().chain(behind.into_iter().rev())
}

/// Our rules next to where the rule `key` belongs in its built-in chain: the next one behind it
/// and the nearest one before it, other than rules that only a former proxy made.
fn neighbours<A: Copy>(key: &Key, there: &BTreeMap<Key, A>) -> (Option<A>, Option<A>) {
    let place = |key: &Key| match key {
        Key::Jump { table, base, .. } => Some((*table, *base)),
        _ => None,
    };
    let same = |(other, _): &(&Key, &A)| place(other) == place(key) && !other.is_former_jump();
    let behind = there.range(key..).find(same);
    let before = there.range(..key).rev().find(same);
    (behind.map(|(_, at)| *at), before.map(|(_, at)| *at))
}

/// The chains among what is to be removed: their rules go with them.
pub(crate) fn dying(deletes: &[(Tag, Key)]) -> BTreeSet<(Table, Chain)> {
    deletes
        .iter()
        .filter_map(|(_, key)| match key {
            Key::Chain { table, chain } => Some((*table, *chain)),
            _ => None,
        })
        .collect()
}
