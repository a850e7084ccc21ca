//! Keys and contents of nftables mode's objects.

use std::fmt;

use nfnetlink::Family;
use nfnetlink::nftables::native::{self, Base, Rule};
use viprule_service::model::ServiceId;

use super::TABLE;
use super::base;
use super::chain::{BaseChain, Chain};
use super::element::{CUT, Element, ElementContent};
use super::set::{FrontendSet, Row, Set, SetName};
use crate::state::{Content, Fingerprint, ObjectKey};

/// What identifies an object of nftables mode.
///
/// In the order of creation. The chains that the kernel calls come last, so that a first load in
/// several transactions shows no packet a part of the Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The table of a family.
    Table(Family),
    /// A set or map, without its elements.
    Set(Set),
    /// A chain that others lead to, with its rules but for those that are objects of their own.
    Chain {
        /// The family.
        family: Family,
        /// The chain.
        chain: Chain,
    },
    /// The rule in [`Chain::Sticky`] for frontends with this timeout.
    StickyRule {
        /// The family.
        family: Family,
        /// The kind of row.
        row: Row,
        /// The timeout, seconds.
        seconds: u32,
    },
    /// An element of a set or map.
    Element(Element),
    /// A chain that the kernel calls, with its rules.
    BaseChain {
        /// The family.
        family: Family,
        /// The chain.
        chain: BaseChain,
    },
}

/// A piece of the kernel's state that is observed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    /// A table, whatever is in it.
    Table(Family),
    /// A set or map with its elements.
    Set(Set),
    /// A chain with its rules.
    Chain(Family, Chain),
    /// A chain that the kernel calls, with its rules.
    BaseChain(Family, BaseChain),
}

impl ObjectKey for Key {
    type Piece = Piece;

    fn piece(&self) -> Piece {
        match *self {
            Self::Table(family) => Piece::Table(family),
            Self::Set(set) => Piece::Set(set),
            Self::Chain { family, chain } => Piece::Chain(family, chain),
            Self::StickyRule { family, row, .. } => Piece::Chain(family, Chain::Sticky(row)),
            Self::Element(element) => Piece::Set(element.set()),
            Self::BaseChain { family, chain } => Piece::BaseChain(family, chain),
        }
    }

    /// The table is ours alone.
    fn is_removable(&self) -> bool {
        true
    }

    /// Ports share a cluster IP, Services share pods, and all with one timeout its set and chains. What
    /// one Service has another may get.
    fn is_common(&self) -> bool {
        match self {
            Self::Set(set) => matches!(
                set.name,
                SetName::Frontends {
                    of: FrontendSet::Sticky(_),
                    ..
                }
            ),
            Self::Chain { chain, .. } => matches!(chain, Chain::StickyFor { .. }),
            Self::StickyRule { .. } => true,
            // A frontend goes from one Service to another in one transaction.
            Self::Element(element) => {
                !matches!(element, Element::NodeAddress(_) | Element::ServiceCidr(_))
            }
            Self::Table(_) | Self::BaseChain { .. } => false,
        }
    }

    /// What belongs to a frontend belongs to whoever says that it leads somewhere.
    fn whole(&self) -> Option<Self> {
        let Self::Element(element) = self else {
            return None;
        };
        let frontend = element.frontend()?;
        let set = FrontendSet::Services;
        let whole = Self::Element(Element::Frontend { set, frontend });
        (*self != whole).then_some(whole)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(family) => write!(f, "table {family} {TABLE}"),
            Self::Set(Set { family, name }) => write!(f, "set {family} {TABLE} {name}"),
            Self::Chain { family, chain } => write!(f, "chain {family} {TABLE} {chain}"),
            Self::StickyRule {
                family,
                row,
                seconds,
            } => {
                let chain = Chain::Sticky(*row);
                write!(f, "chain {family} {TABLE} {chain}: rule for {seconds} s")
            }
            Self::Element(element) => {
                let Set { family, name } = element.set();
                write!(f, "set {family} {TABLE} {name}: {element}")
            }
            Self::BaseChain { family, chain } => write!(f, "chain {family} {TABLE} {chain}"),
        }
    }
}

impl Key {
    /// The key of a rule in [`Chain::Sticky`]; `None` where it is none of ours.
    pub fn of_sticky_rule(family: Family, row: Row, rule: &Rule) -> Option<Self> {
        base::sticky_rule(family, row, rule)
    }

    /// The family of its table.
    pub fn family(&self) -> Family {
        match self {
            Self::Table(family)
            | Self::Chain { family, .. }
            | Self::StickyRule { family, .. }
            | Self::BaseChain { family, .. } => *family,
            Self::Set(set) => set.family,
            Self::Element(element) => element.set().family,
        }
    }
}

/// Whether a table can hold what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// It can.
    Ready,
    /// Its base chains are not called.
    Dormant,
    /// A set of one of our names has other keys or values than ours, or a chain that others lead to
    /// has a hook: the table has to go first, with all that is in it.
    Unusable,
}

/// An object's content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Object {
    /// The table is there.
    Table(Condition),
    /// What a set is made with.
    Set(Box<native::Set>),
    /// A chain's rules, and what makes it a base chain.
    Chain {
        /// What makes it one that the kernel calls.
        base: Option<Base>,
        /// Its rules, in order.
        rules: Vec<Rule>,
    },
    /// The chain is there; its rules are objects of their own.
    Shared,
    /// A rule.
    Rule(Box<Rule>),
    /// What an element says.
    Element(ElementContent),
}

impl Object {
    /// Its rules.
    pub fn rules(&self) -> &[Rule] {
        match self {
            Self::Chain { rules, .. } => rules,
            Self::Rule(rule) => std::slice::from_ref(rule),
            Self::Table(_) | Self::Set(_) | Self::Shared | Self::Element(_) => &[],
        }
    }
}

impl Content for Object {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self)
    }

    fn size(&self) -> usize {
        self.rules().len().max(1)
    }

    /// By the comment of an element, unless that was cut off.
    fn service(&self) -> Option<ServiceId> {
        let Self::Element(ElementContent::Named(comment)) = self else {
            return None;
        };
        if comment.ends_with(CUT) {
            return None;
        }
        let (namespace, rest) = comment.split_once('/')?;
        let (name, _port) = rest.split_once(':').unwrap_or((rest, ""));
        ServiceId::new(namespace, name).ok()
    }
}

/// Of an observed object all of it is kept.
impl From<(Key, Self)> for Object {
    fn from((_, object): (Key, Self)) -> Self {
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_small() {
        // The agent keeps one for each object.
        assert!(size_of::<Key>() <= 48, "{} bytes", size_of::<Key>());
    }
}
