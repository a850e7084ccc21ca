//! What is there whatever the Services are.

mod rows;
mod walk;

use std::net::IpAddr;

use nfnetlink::Family;
use nfnetlink::nftables::native::Rule;
use viprule_service::model;

use self::walk::Walk;
use super::chain::Chain;
use super::element::{Element, ElementContent};
use super::key::{Condition, Key, Object};
use super::set::{Row, Set, SetName};
use super::settings::Options;
use crate::family::in_plans;
use crate::state::State;

pub(super) use self::rows::{sticky, sticky_rule};

/// The tables, their sets and chains, and the node's addresses: all that Services' elements are in,
/// and nothing that a packet meets.
pub(super) fn base(options: &Options) -> State<Key, Object> {
    let families = options.families.iter();
    families
        .flat_map(|family| of_family(*family, options))
        .collect()
}

/// The chains that the kernel calls.
pub(super) fn entry_points(options: &Options) -> State<Key, Object> {
    let families = options.families.iter();
    families
        .flat_map(|family| Walk::new(*family, options).base_chains())
        .collect()
}

fn of_family(family: Family, options: &Options) -> Vec<(Key, Object)> {
    let mut objects = vec![(Key::Table(family), Object::Table(Condition::Ready))];
    objects.extend(SetName::all().map(|name| set(Set { family, name })));
    for row in Row::all() {
        objects.extend(rows::chains(family, row));
    }
    objects.extend(Walk::new(family, options).chains());
    let is_own = |ip: &IpAddr| model::Family::of(ip) == in_plans(family);
    let addresses = options.node_addresses.iter().copied();
    let addresses = addresses.filter(is_own).map(Element::NodeAddress);
    let ranges = options.service_cidrs.iter().copied();
    let ranges = ranges.filter(|range| is_own(&range.addr()));
    let elements = addresses.chain(ranges.map(Element::ServiceCidr));
    let member = Object::Element(ElementContent::Member);
    objects.extend(elements.map(|element| (Key::Element(element), member.clone())));
    objects
}

/// A set without its elements.
pub(super) fn set(set: Set) -> (Key, Object) {
    (Key::Set(set), Object::Set(Box::new(set.spec())))
}

/// A chain with its rules, as they are read back.
fn chain(family: Family, chain: Chain, rules: Vec<Rule>) -> (Key, Object) {
    let rules = normalized(family, rules);
    (
        Key::Chain { family, chain },
        Object::Chain { base: None, rules },
    )
}

fn normalized(family: Family, rules: Vec<Rule>) -> Vec<Rule> {
    rules
        .into_iter()
        .map(|rule| rule.normalized(family))
        .collect()
}
