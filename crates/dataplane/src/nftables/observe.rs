//! From what is there to a state.

use std::collections::{BTreeMap, BTreeSet};

use nfnetlink::Family;
use nfnetlink::nftables::native::{self, Base, ListedElement, Listing, Rule, TableFlags};

use super::base;
use super::chain::{BaseChain, Chain};
use super::decode::decode;
use super::key::{Condition, Key, Object};
use super::set::{Row, Set, SetName};
use super::{Desired, TABLE};
use crate::state::State;

/// Collects what was observed of our tables into a state, leaving out what can be no object of ours.
///
/// `V` is [`Object`], or [`crate::Fingerprint`] where contents need not be kept.
#[derive(Debug)]
pub struct Observation<V> {
    objects: Vec<(Key, V)>,
    tables: BTreeMap<Family, Condition>,
    unusable: BTreeSet<Family>,
}

impl<V> Default for Observation<V> {
    fn default() -> Self {
        Self {
            objects: Vec::new(),
            tables: BTreeMap::new(),
            unusable: BTreeSet::new(),
        }
    }
}

impl<V: From<(Key, Object)>> Observation<V> {
    /// Nothing observed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Our table of a family is there.
    pub fn table(&mut self, family: Family, flags: TableFlags) {
        let dormant = flags.has(TableFlags::DORMANT);
        let condition = if dormant {
            Condition::Dormant
        } else {
            Condition::Ready
        };
        self.tables.insert(family, condition);
    }

    /// A set of our table. Returns it where its elements are to be told.
    pub fn set(&mut self, family: Family, found: &native::Set) -> Option<Set> {
        let name = SetName::parse(&found.name)?;
        let set = Set { family, name };
        let spec = set.spec();
        if spec != *found {
            self.unusable.insert(family);
            return None;
        }
        self.keep(Key::Set(set), Object::Set(Box::new(spec)));
        (name != SetName::Affinity).then_some(set)
    }

    /// An element of a set.
    pub fn element(&mut self, set: Set, found: &ListedElement) {
        if let Some((element, content)) = decode(set, &found.element) {
            self.keep(Key::Element(element), Object::Element(content));
        }
    }

    /// A chain of our table with all its rules. Others than ours are left out.
    pub fn chain(&mut self, family: Family, name: &str, base: Option<Base>, rules: Vec<Rule>) {
        if let Some(chain) = BaseChain::parse(name) {
            self.keep(
                Key::BaseChain { family, chain },
                Object::Chain { base, rules },
            );
        } else if let Some(chain) = Chain::parse(name) {
            if base.is_some() {
                self.unusable.insert(family);
                return;
            }
            let key = Key::Chain { family, chain };
            match chain {
                Chain::Sticky(row) => self.shared(key, family, row, rules),
                _ => self.keep(key, Object::Chain { base, rules }),
            }
        }
    }

    /// A chain whose rules are objects of their own. Where it has any other rule, or one twice, it is
    /// another chain, which has to be made anew.
    fn shared(&mut self, key: Key, family: Family, row: Row, rules: Vec<Rule>) {
        let mut keys = BTreeSet::new();
        let ours = rules.iter().all(|rule| {
            let key = base::sticky_rule(family, row, rule);
            key.is_some_and(|key| keys.insert(key))
        });
        if !ours {
            let base = None;
            return self.keep(key, Object::Chain { base, rules });
        }
        self.keep(key, Object::Shared);
        for rule in rules {
            if let Some(key) = base::sticky_rule(family, row, &rule) {
                self.keep(key, Object::Rule(Box::new(rule)));
            }
        }
    }

    /// How many objects were taken.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// True where none were.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Forgets all objects but so many of the first.
    pub fn truncate(&mut self, objects: usize) {
        self.objects.truncate(objects);
    }

    /// Families whose table is [`Condition::Unusable`].
    pub fn unusable(&self) -> impl Iterator<Item = Family> {
        self.unusable.iter().copied()
    }

    fn keep(&mut self, key: Key, object: Object) {
        self.objects.push((key, V::from((key, object))));
    }

    /// The state of everything told.
    pub fn finish(self) -> State<Key, V> {
        let Self {
            objects,
            tables,
            unusable,
        } = self;
        let tables = tables.into_iter().map(|(family, condition)| {
            let condition = if unusable.contains(&family) {
                Condition::Unusable
            } else {
                condition
            };
            let key = Key::Table(family);
            (key, V::from((key, Object::Table(condition))))
        });
        let objects = objects.into_iter();
        let usable = objects.filter(|(key, _)| !unusable.contains(&key.family()));
        tables.chain(usable).collect()
    }
}

/// What of a table's listing is ours; nothing where it is not our table.
pub fn observed(listing: &Listing) -> Desired {
    let mut observation = Observation::new();
    if &*listing.name == TABLE {
        let family = listing.family;
        observation.table(family, listing.flags);
        for listed in &listing.sets {
            let Some(set) = observation.set(family, &listed.set) else {
                continue;
            };
            for element in &listed.elements {
                observation.element(set, element);
            }
        }
        for chain in &listing.chains {
            observation.chain(family, &chain.name, chain.base, chain.rules.clone());
        }
    }
    observation.finish()
}
