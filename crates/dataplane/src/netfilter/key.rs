//! Keys and contents of chains and rules.

use std::fmt;

use nfnetlink::Family;
use nfnetlink::xtables::{Match, Rule};
use viprule_service::model::ServiceId;
use viprule_service::plan::FlowDestination;

use super::udp::udp_destination;
use crate::ownership::Chain;
use crate::state::{Content, Fingerprint, ObjectKey};

/// Which of the tables, in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `mangle`: holds only the canary.
    Mangle,
    /// `filter`.
    Filter,
    /// `nat`.
    Nat,
}

impl Kind {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Mangle, Self::Filter, Self::Nat];

    /// The table's name in the kernel.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mangle => "mangle",
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }

    /// The table of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A table of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table {
    /// `ip` or `ip6`.
    pub family: Family,
    /// Which table.
    pub kind: Kind,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.kind.name())
    }
}

/// The first rank of rules in built-in chains that only the other mode makes.
pub(super) const FORMER: u8 = 128;

/// Rank of the jumps to `KUBE-FIREWALL`, which kubelet needs too.
pub(super) const TO_FIREWALL: u8 = 0;

/// A built-in chain: not ours, but some of our rules stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BaseChain {
    /// `PREROUTING`.
    Prerouting,
    /// `INPUT`.
    Input,
    /// `FORWARD`.
    Forward,
    /// `OUTPUT`.
    Output,
    /// `POSTROUTING`.
    Postrouting,
}

impl BaseChain {
    /// All, in hook order.
    pub const ALL: [Self; 5] = [
        Self::Prerouting,
        Self::Input,
        Self::Forward,
        Self::Output,
        Self::Postrouting,
    ];

    /// The chain's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
            Self::Postrouting => "POSTROUTING",
        }
    }

    /// The built-in chain of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|chain| chain.name() == name)
    }
}

/// What identifies a chain or a rule.
///
/// Chains come before the rules of shared chains, and those before the rules in built-in chains:
/// what makes a chain reachable comes last and goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A chain of ours with all its rules; a shared one without them.
    Chain {
        /// Its table.
        table: Table,
        /// Its name.
        chain: Chain,
    },
    /// One rule of a shared chain.
    Rule {
        /// The chain's table.
        table: Table,
        /// The chain.
        chain: Chain,
        /// The rule's own fingerprint.
        rule: Fingerprint,
        /// 0 for the rule itself; others are surplus copies that somebody made. From
        /// [`Key::MISPLACED`] on they stand where they must not.
        copy: u16,
    },
    /// One rule of ours in a built-in chain.
    Jump {
        /// The chain's table.
        table: Table,
        /// The built-in chain.
        base: BaseChain,
        /// Its rank among our rules there (see [`super::jumps()`]).
        rank: u8,
        /// 0 for the rule itself; others are surplus copies.
        copy: u16,
    },
}

impl Key {
    /// The least `copy` of a rule that stands where it must not.
    pub const MISPLACED: u16 = 1 << 15;

    /// True for rules in built-in chains that only the other mode makes. They may stand
    /// anywhere, so ours are not placed by them.
    pub const fn is_former_jump(&self) -> bool {
        matches!(self, Self::Jump { rank, .. } if *rank >= FORMER)
    }

    /// The object's table.
    pub const fn table(&self) -> Table {
        match self {
            Self::Chain { table, .. } | Self::Rule { table, .. } | Self::Jump { table, .. } => {
                *table
            }
        }
    }

    /// The name of the chain that the object is, or stands in.
    pub fn chain_name(&self) -> String {
        match self {
            Self::Chain { chain, .. } | Self::Rule { chain, .. } => chain.to_string(),
            Self::Jump { base, .. } => base.name().to_owned(),
        }
    }
}

impl ObjectKey for Key {
    type Piece = Piece;

    fn piece(&self) -> Piece {
        match self {
            Self::Chain { table, chain } | Self::Rule { table, chain, .. } => {
                Piece::Owned(*table, *chain)
            }
            Self::Jump { table, base, .. } => Piece::Base(*table, *base),
        }
    }

    fn is_removable(&self) -> bool {
        match self {
            Self::Chain { chain, .. } | Self::Rule { chain, .. } => chain.is_ours_alone(),
            // Rows 13 and 14 of contract 2.3 lead to kubelet's chain and stay.
            Self::Jump { rank, .. } => *rank != TO_FIREWALL,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table(), self.chain_name())
    }
}

/// A chain that is observed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    /// A chain of ours.
    Owned(Table, Chain),
    /// A built-in chain.
    Base(Table, BaseChain),
}

/// An object's content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Object {
    /// All rules of a chain that is written as a whole, in order.
    Rules(Vec<Rule>),
    /// A chain whose rules have keys of their own.
    Shared,
    /// One rule of a shared or built-in chain.
    Rule(Rule),
}

impl Object {
    /// The rules that the object consists of.
    pub fn rules(&self) -> &[Rule] {
        match self {
            Self::Rules(rules) => rules,
            Self::Shared => &[],
            Self::Rule(rule) => std::slice::from_ref(rule),
        }
    }

    /// The UDP frontend that it serves.
    pub(crate) fn udp_frontend(&self) -> Option<FlowDestination> {
        match self {
            Self::Rule(rule) => udp_destination(rule),
            _ => None,
        }
    }
}

impl Content for Object {
    fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Rules(rules) => Fingerprint::of(rules),
            Self::Shared => Fingerprint::of(&()),
            Self::Rule(rule) => Fingerprint::of(rule),
        }
    }

    /// By the comments (contract 2.5).
    fn service(&self) -> Option<ServiceId> {
        let matches = self.rules().iter().flat_map(|rule| &rule.matches);
        let comments = matches.filter_map(|one| match one {
            Match::Comment(text) => Some(text.as_str()),
            _ => None,
        });
        let mut words = comments.flat_map(|text| text.split(' '));
        words.find_map(|word| {
            let (namespace, name) = word.split_once('/')?;
            let (name, _port) = name.split_once(':').unwrap_or((name, ""));
            ServiceId::new(namespace, name).ok()
        })
    }

    fn size(&self) -> usize {
        self.rules().len().max(1)
    }
}

/// Of an observed object all of it is kept.
impl From<(Key, Self)> for Object {
    fn from((_, object): (Key, Self)) -> Self {
        object
    }
}
