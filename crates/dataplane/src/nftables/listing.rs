//! A state as tables: what nft prints of it, and what makes it in an empty kernel.

use std::collections::BTreeMap;

use nfnetlink::Family;
use nfnetlink::nftables::native::{ChainListing, Listing, SetListing};

use super::chain::Chain;
use super::key::{Key, Object};
use super::set::Set;
use super::{Desired, TABLE};

/// The table of a family as a state has it; `None` where the state has none. Elements are in nft's
/// order. What a state has without the set or chain that it is in is left out.
pub fn listing(family: Family, state: &Desired) -> Option<Listing> {
    state.get(&Key::Table(family))?;
    let mut listing = Listing::new(family, TABLE);
    let mut sets: BTreeMap<Set, usize> = BTreeMap::new();
    let mut chains: BTreeMap<Chain, usize> = BTreeMap::new();
    let own = state.iter().filter(|(key, _)| key.family() == family);
    for (key, object) in own {
        match (key, object) {
            (Key::Set(set), Object::Set(spec)) => {
                sets.insert(*set, listing.sets.len());
                listing.sets.push(SetListing {
                    set: (**spec).clone(),
                    elements: Vec::new(),
                });
            }
            (Key::Element(element), Object::Element(content)) => {
                let set = sets.get(&element.set()).copied();
                if let Some(set) = set.and_then(|at| listing.sets.get_mut(at)) {
                    set.elements.push(element.encode(content).into());
                }
            }
            (Key::Chain { chain, .. }, _) => {
                chains.insert(*chain, listing.chains.len());
                listing.chains.push(chain_of(chain.to_string(), object));
            }
            (Key::BaseChain { chain, .. }, _) => {
                listing.chains.push(chain_of(chain.to_string(), object));
            }
            (Key::StickyRule { row, .. }, Object::Rule(rule)) => {
                let chain = chains.get(&Chain::Sticky(*row)).copied();
                if let Some(chain) = chain.and_then(|at| listing.chains.get_mut(at)) {
                    chain.rules.push((**rule).clone());
                }
            }
            _ => {}
        }
    }
    listing.sort();
    Some(listing)
}

fn chain_of(name: String, object: &Object) -> ChainListing {
    let base = match object {
        Object::Chain { base, .. } => *base,
        _ => None,
    };
    ChainListing {
        name: name.into(),
        base,
        comment: None,
        rules: object.rules().to_vec(),
    }
}
