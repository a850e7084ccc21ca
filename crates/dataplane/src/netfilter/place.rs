//! Where rules of Services go in the chains that they share.

use nfnetlink::xtables::{Match, Rule};

use super::key::{Kind, Table};
use crate::ownership::Chain;

/// Comment of the rules that must stay behind all others in nat `KUBE-SERVICES`.
pub(crate) const NODE_PORTS_LAST: &str =
    "kubernetes service nodeports; NOTE: this must be the last rule in this chain";

/// Where a rule goes in a shared chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before all others.
    Head,
    /// Behind all others.
    End,
}

/// Where a rule of a shared chain goes.
///
/// In nat `KUBE-SERVICES` the node port rules stay last, and in nat `KUBE-NODEPORTS` the counting
/// loopback rule of a port stays before its general rule.
pub fn place_of(table: Table, chain: Chain, rule: &Rule) -> Place {
    let at_head = match (table.kind, chain) {
        (Kind::Nat, Chain::Services) => !is_node_ports_last(rule),
        (Kind::Nat, Chain::Nodeports) => rule.dst.is_some(),
        _ => false,
    };
    if at_head { Place::Head } else { Place::End }
}

/// True for the rules that must stay last in nat `KUBE-SERVICES`.
fn is_node_ports_last(rule: &Rule) -> bool {
    matches!(rule.matches.first(), Some(Match::Comment(text)) if text == NODE_PORTS_LAST)
}
