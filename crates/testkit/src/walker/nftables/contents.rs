//! What tables hold: chains, rules, and the bytes of elements.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nfnetlink::Family;
use nfnetlink::nftables::Hook;
use nfnetlink::nftables::native::{self};
use nfnetlink::nftables::native::{
    Base, ChainKind, DataType, ElementData, NatTo, Operand, Rule, SetFlags, SetType, Statement,
    Value, Verdict,
};
use viprule_dataplane::nftables::{Chain, Desired, Key, Object};

use crate::walker::WalkError;
use crate::walker::iptables::Unordered;

/// How deep chains may call each other (`NFT_JUMP_STACK_SIZE`).
const DEPTH: usize = 16;

/// The tables of both families.
#[derive(Debug)]
pub(super) struct Contents<'a>(BTreeMap<Family, Table<'a>>);

/// One family's table.
#[derive(Debug)]
pub(super) struct Table<'a> {
    family: Family,
    /// By priority.
    bases: Vec<BaseChain<'a>>,
    chains: HashMap<Box<str>, Vec<&'a Rule>>,
    sets: HashMap<Box<str>, Set<'a>>,
}

/// A chain that the kernel calls.
#[derive(Debug)]
pub(super) struct BaseChain<'a> {
    pub(super) name: Box<str>,
    pub(super) base: Base,
    pub(super) rules: Vec<&'a Rule>,
}

/// A set or map with its elements.
#[derive(Debug)]
pub(super) struct Set<'a> {
    pub(super) spec: &'a native::Set,
    /// Bytes of each field of a key.
    fields: Vec<usize>,
    elements: HashMap<Value, Option<Value>>,
    /// The lowest and the highest key of each range.
    ranges: Vec<(Value, Value)>,
}

/// What a set has for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// It has not that key.
    Nothing,
    /// It has the key.
    Member,
    /// It is a map and has this for it.
    Value(Value),
}

impl Found {
    /// What an element with this value, or without one, is found as.
    pub(super) fn element(data: Option<&Value>) -> Self {
        data.map_or(Self::Member, |value| Self::Value(value.clone()))
    }

    /// What a map has.
    pub(super) fn value(self) -> Option<Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Nothing | Self::Member => None,
        }
    }
}

impl<'a> Contents<'a> {
    /// Sorts a state into tables and checks what refers to what, reachable or not, as the kernel
    /// does when it loads them.
    pub(super) fn new(state: &'a Desired, unordered: Unordered) -> Result<Self, WalkError> {
        let mut tables = BTreeMap::new();
        for (key, object) in state {
            let family = key.family();
            if matches!(key, Key::Table(_)) {
                tables.insert(family, Table::new(family));
                continue;
            }
            let table = tables.get_mut(&family);
            let refused = || refused(key, "its table does not exist");
            table.ok_or_else(refused)?.put(key, object)?;
        }
        for table in tables.values_mut() {
            table.order(state, unordered);
            table.check()?;
        }
        Ok(Self(tables))
    }

    /// A family's table, if there is one.
    pub(super) fn table(&self, family: Family) -> Option<&Table<'a>> {
        self.0.get(&family)
    }
}

fn refused(what: &impl ToString, why: &'static str) -> WalkError {
    let what = what.to_string();
    WalkError::Refused { what, why }
}

impl<'a> Table<'a> {
    fn new(family: Family) -> Self {
        Self {
            family,
            bases: Vec::new(),
            chains: HashMap::new(),
            sets: HashMap::new(),
        }
    }

    fn put(&mut self, key: &Key, object: &'a Object) -> Result<(), WalkError> {
        match (key, object) {
            (Key::Set(set), Object::Set(spec)) => {
                self.sets
                    .insert(set.name.to_string().into(), Set::new(self.family, spec)?);
            }
            (Key::Chain { chain, .. }, _) => {
                let rules = object.rules().iter().collect();
                self.chains.insert(chain.to_string().into(), rules);
            }
            (Key::StickyRule { row, .. }, Object::Rule(rule)) => {
                let name = Chain::Sticky(*row).to_string();
                let chain = self.chains.get_mut(&*name);
                let refused = || refused(key, "its chain does not exist");
                chain.ok_or_else(refused)?.push(rule);
            }
            (Key::Element(element), Object::Element(content)) => {
                let name = element.set().name.to_string();
                let set = self.sets.get_mut(&*name);
                let refused = || refused(key, "its set does not exist");
                set.ok_or_else(refused)?.put(key, element.encode(content))?;
            }
            (Key::BaseChain { chain, .. }, Object::Chain { base, rules }) => {
                let Some(base) = *base else {
                    return Err(refused(key, "the kernel is not told where to call it"));
                };
                self.bases.push(BaseChain {
                    name: chain.to_string().into(),
                    base,
                    rules: rules.iter().collect(),
                });
            }
            _ => return Err(refused(key, "it is something else")),
        }
        Ok(())
    }

    /// Puts base chains and rules without an order of their own into one.
    fn order(&mut self, state: &Desired, unordered: Unordered) {
        self.bases.sort_by_key(BaseChain::priority);
        if unordered == Unordered::Backward {
            let shared = state
                .iter()
                .filter_map(|(key, object)| match (key, object) {
                    (Key::Chain { family, chain }, Object::Shared) if *family == self.family => {
                        Some(chain.to_string())
                    }
                    _ => None,
                });
            for name in shared {
                if let Some(rules) = self.chains.get_mut(&*name) {
                    rules.reverse();
                }
            }
        }
    }

    /// The chains that are called on a hook, by priority.
    pub(super) fn base_chains(&self, hook: Hook) -> impl Iterator<Item = &BaseChain<'a>> {
        let chains = self.bases.iter();
        chains.filter(move |chain| chain.base.hook == hook)
    }

    /// The rules of a chain that is not a base chain.
    pub(super) fn rules(&self, chain: &str) -> &[&'a Rule] {
        self.chains.get(chain).map_or(&[], Vec::as_slice)
    }

    pub(super) fn set(&self, name: &str) -> Option<&Set<'a>> {
        self.sets.get(name)
    }

    fn check(&self) -> Result<(), WalkError> {
        let bases = self.bases.iter().map(|chain| (&chain.name, &chain.rules));
        let mut done = BTreeSet::new();
        for (name, rules) in bases.chain(&self.chains) {
            self.check_from(name, rules, &mut Vec::new(), &mut done)?;
        }
        Ok(())
    }

    fn check_from<'b>(
        &'b self,
        chain: &'b str,
        rules: &[&'a Rule],
        path: &mut Vec<&'b str>,
        done: &mut BTreeSet<&'b str>,
    ) -> Result<(), WalkError> {
        let table = || self.family.to_string();
        if path.contains(&chain) || path.len() > DEPTH {
            return Err(WalkError::Loop {
                table: table(),
                chain: chain.to_owned(),
            });
        }
        if done.contains(&chain) {
            return Ok(());
        }
        path.push(chain);
        for rule in rules {
            for statement in &rule.statements {
                if let Some(set) = set_of(statement)
                    && !self.sets.contains_key(set)
                {
                    return Err(WalkError::MissingSet {
                        rule: rule.text(self.family).to_string(),
                    });
                }
                if let Statement::Verdict(Verdict::Jump(to) | Verdict::Goto(to)) = statement {
                    let Some((name, rules)) = self.chains.get_key_value(to) else {
                        return Err(WalkError::MissingChain {
                            table: table(),
                            from: chain.to_owned(),
                            to: to.to_string(),
                        });
                    };
                    self.check_from(name, rules, path, done)?;
                }
            }
        }
        path.pop();
        done.insert(chain);
        Ok(())
    }
}

/// The set or map that a statement uses.
fn set_of(statement: &Statement) -> Option<&str> {
    match statement {
        Statement::InSet { set, .. } | Statement::Dynset { set, .. } => Some(set),
        Statement::SetMeta {
            to: Operand::Map { map, .. },
            ..
        }
        | Statement::SetCt {
            to: Operand::Map { map, .. },
            ..
        }
        | Statement::Nat {
            to: NatTo::Map { map, .. },
            ..
        } => Some(map),
        _ => None,
    }
}

impl BaseChain<'_> {
    pub(super) fn is_nat(&self) -> bool {
        self.base.kind == ChainKind::Nat
    }

    /// Chains of type nat are called where the kernel translates, whatever their own priority
    /// (`nf_nat_ipv4_ops`).
    fn priority(&self) -> i32 {
        match (self.is_nat(), self.base.hook) {
            (false, _) => self.base.priority,
            (true, Hook::Prerouting | Hook::Output) => -100,
            (true, _) => 100,
        }
    }
}

impl<'a> Set<'a> {
    fn new(family: Family, spec: &'a native::Set) -> Result<Self, WalkError> {
        let types: Vec<DataType> = match &spec.kind {
            SetType::Types { key, .. } => key.clone(),
            SetType::TypeOf { key, .. } => key.iter().map(|term| term.data_type(family)).collect(),
            _ => return Err(refused(&spec.name, "the walker has no model of its type")),
        };
        let sole = types.len() == 1;
        let len = |of: &DataType| match of {
            DataType::Ipv6Addr | DataType::IfName => 16,
            DataType::InetService if sole => 2,
            DataType::InetProto if sole => 1,
            _ => 4,
        };
        Ok(Self {
            spec,
            fields: types.iter().map(len).collect(),
            elements: HashMap::new(),
            ranges: Vec::new(),
        })
    }

    fn put(&mut self, key: &Key, element: native::Element) -> Result<(), WalkError> {
        let data = match element.data {
            None => None,
            Some(ElementData::Value(value)) => Some(value),
            Some(ElementData::Verdict(_)) => {
                return Err(refused(key, "the walker has no model of verdict maps"));
            }
        };
        let len = self.key_len();
        let ends = element.end.iter();
        if ends.chain([&element.key]).any(|key| key.len() != len) {
            return Err(refused(key, "its key is not as long as those of its set"));
        }
        if data.is_some() != self.spec.is_map() {
            return Err(refused(key, "it has a value in a set, or none in a map"));
        }
        if let Some(end) = element.end {
            if !self.spec.flags.has(SetFlags::INTERVAL) {
                return Err(refused(key, "it is a range in a set without ranges"));
            }
            self.ranges.push((element.key, end));
        } else if self.elements.insert(element.key, data).is_some() {
            return Err(refused(key, "there is another one with the same bytes"));
        }
        Ok(())
    }

    /// Bytes of a key.
    pub(super) fn key_len(&self) -> usize {
        self.fields.iter().sum()
    }

    /// Whether the set has a key, and what a map has for it.
    pub(super) fn find(&self, key: &Value) -> Found {
        match self.elements.get(key) {
            Some(None) => Found::Member,
            Some(Some(value)) => Found::Value(value.clone()),
            None if self.is_in_a_range(key) => Found::Member,
            None => Found::Nothing,
        }
    }

    /// True where each field is between those of a range.
    fn is_in_a_range(&self, key: &Value) -> bool {
        self.ranges.iter().any(|(low, high)| {
            let mut at = 0;
            self.fields.iter().all(|len| {
                let field = |of: &Value| of.as_bytes().get(at..at + len).map(<[u8]>::to_vec);
                let holds = field(low) <= field(key) && field(key) <= field(high);
                at += len;
                holds
            })
        })
    }
}
