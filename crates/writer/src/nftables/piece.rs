//! Which piece of our tables a notification is about.

use nfnetlink::Family;
use nfnetlink::nftables::Object;
use viprule_dataplane::nftables::{BaseChain, Chain, Piece, Set, SetName, TABLE};

use crate::generation::Concerned;

impl Concerned for Piece {
    type Table = Family;

    fn table(family: Family, name: &str) -> Option<Family> {
        (name == TABLE).then_some(family)
    }

    fn of(family: Family, object: &Object<'_>) -> Option<Self> {
        match object {
            Object::Table { .. } => Some(Self::Table(family)),
            Object::Chain { chain, .. } | Object::Rule { chain, .. } => {
                let base = BaseChain::parse(chain);
                base.map(|chain| Self::BaseChain(family, chain))
                    .or_else(|| Chain::parse(chain).map(|chain| Self::Chain(family, chain)))
            }
            Object::Set { set, .. } | Object::Elements { set, .. } => {
                let name = SetName::parse(set)?;
                Some(Self::Set(Set { family, name }))
            }
            _ => None,
        }
    }
}
