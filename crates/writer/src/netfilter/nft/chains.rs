//! Names and places of chains in the kernel.

use nfnetlink::nftables::{BaseChain as Hooked, ChainId, Hook};
use viprule_dataplane::netfilter::{BaseChain, Kind, Table};

/// Names a chain of a table.
pub(super) fn id(table: Table, name: &str) -> ChainId<'_> {
    ChainId {
        family: table.family,
        table: table.kind.name(),
        name,
    }
}

/// The hook that a built-in chain has when `iptables-nft` makes it.
pub(super) fn hook(table: Table, base: BaseChain) -> Hooked<'static> {
    let hook = match base {
        BaseChain::Prerouting => Hook::Prerouting,
        BaseChain::Input => Hook::Input,
        BaseChain::Forward => Hook::Forward,
        BaseChain::Output => Hook::Output,
        BaseChain::Postrouting => Hook::Postrouting,
    };
    let source_nat = matches!(base, BaseChain::Input | BaseChain::Postrouting);
    let (kind, priority) = match (table.kind, base) {
        (Kind::Filter, _) => ("filter", 0),
        (Kind::Mangle, BaseChain::Output) => ("route", -150),
        (Kind::Mangle, _) => ("filter", -150),
        (Kind::Nat, _) if source_nat => ("nat", 100),
        (Kind::Nat, _) => ("nat", -100),
    };
    Hooked::accepting(kind, hook, priority)
}
