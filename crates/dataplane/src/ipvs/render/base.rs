//! What is there whatever the Services are (contract 3.3, 3.5).

use super::from_netfilter;
use crate::ipvs::settings::Options;
use crate::ipvs::{Key, Object};
use crate::netfilter::{self, Kind, Table};
use crate::ownership::{Chain, Set};
use crate::state::State;

/// The link, the sets without their elements, and the one chain that Services have rules in.
pub(in crate::ipvs) fn base(options: &Options) -> State<Key, Object> {
    let link = std::iter::once((Key::Link, Object::Link));
    let families = options.families.iter().copied();
    let sets = families
        .clone()
        .flat_map(Set::all)
        .map(|set| (Key::Set(set), Object::Set(set.spec())));
    let chains = families.map(|family| {
        let kind = Kind::Filter;
        let key = netfilter::Key::Chain {
            table: Table { family, kind },
            chain: Chain::IpvsOutFilter,
        };
        from_netfilter((key, netfilter::Object::Shared))
    });
    link.chain(sets).chain(chains).collect()
}
