//! Names and places of chains in the kernel.

use nfnetlink::Family;
use nfnetlink::nftables::{BaseChain as Hooked, ChainId, Hook, Object};
use viprule_dataplane::netfilter::{BaseChain, Kind, Piece, Table};
use viprule_dataplane::ownership::Chain;

use crate::generation::Concerned;

impl Concerned for Piece {
    type Table = Table;

    fn table(family: Family, name: &str) -> Option<Table> {
        let kind = Kind::parse(name)?;
        Some(Table { family, kind })
    }

    fn of(table: Table, object: &Object<'_>) -> Option<Self> {
        let (Object::Chain { chain, .. } | Object::Rule { chain, .. }) = object else {
            return None;
        };
        let owned = Chain::parse(chain).map(|chain| Self::Owned(table, chain));
        owned.or_else(|| BaseChain::parse(chain).map(|base| Self::Base(table, base)))
    }
}

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
