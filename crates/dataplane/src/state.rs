//! A state of a dataplane: keyed objects.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::LazyLock;

use foldhash::quality::FixedState;
use viprule_service::model::ServiceId;

/// What identifies an object of a dataplane.
///
/// The order of keys is the order of creation: an object refers only to objects with smaller
/// keys. So references can't form a loop, and removal runs backwards.
pub trait ObjectKey: Ord + Clone + Hash + fmt::Debug + fmt::Display {
    /// A piece of the kernel's state that is observed as a whole, such as one chain.
    type Piece: Ord + Clone + fmt::Debug;

    /// The piece that holds the object.
    fn piece(&self) -> Self::Piece;

    /// False for objects that others share with us: made where missing, never removed.
    fn is_removable(&self) -> bool;

    /// True for objects that several fragments may want. Such an object goes with the last of
    /// them.
    fn is_common(&self) -> bool {
        false
    }

    /// The object that this one is an element of, where the entry points depend on whether that has any
    /// ([`crate::Dataplane::entry_points`]): these elements are counted.
    fn container(&self) -> Option<Self> {
        None
    }

    /// The object that this one is a part of and goes with: it does not go before whoever wants the
    /// whole has all of it.
    fn whole(&self) -> Option<Self> {
        None
    }
}

/// How much of the kernel's state is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope<P> {
    /// All of it.
    Everything,
    /// These pieces.
    Pieces(BTreeSet<P>),
}

impl<P: Ord> Scope<P> {
    /// Nothing.
    pub const fn nothing() -> Self {
        Self::Pieces(BTreeSet::new())
    }

    /// True where nothing is meant.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Pieces(pieces) if pieces.is_empty())
    }

    /// True where the piece is meant.
    pub fn contains(&self, piece: &P) -> bool {
        match self {
            Self::Everything => true,
            Self::Pieces(pieces) => pieces.contains(piece),
        }
    }

    /// Both together.
    pub fn extend(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Pieces(pieces), Self::Pieces(more)) => pieces.extend(more),
            _ => *self = Self::Everything,
        }
    }
}

/// What an object says, comparable through its fingerprint.
pub trait Content: Clone + PartialEq + fmt::Debug {
    /// Equal for equal meaning.
    fn fingerprint(&self) -> Fingerprint;

    /// How much there is to write, at least 1: an object that consists of several, such as a chain's
    /// rules, counts as so many.
    fn size(&self) -> usize {
        1
    }

    /// The Service that it says it is of. None where it does not say.
    fn service(&self) -> Option<ServiceId> {
        None
    }
}

/// Stands for an object's content where the content itself need not be kept.
///
/// 64 bits are enough: their seed is random and never told, so that nobody who may create Services
/// can look for two contents with one fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of a value. Holds within one process only.
    pub fn of(value: &impl Hash) -> Self {
        // One seed for the process: its states compare. Reading the kernel back hashes every rule,
        // so the hash is a fast one.
        static SEED: LazyLock<FixedState> =
            LazyLock::new(|| FixedState::with_seed(RandomState::new().hash_one(())));
        Self(SEED.hash_one(value))
    }
}

/// Of an observed object its fingerprint is kept.
impl<K: ObjectKey, O: Content> From<(K, O)> for Fingerprint {
    fn from((_, object): (K, O)) -> Self {
        object.fingerprint()
    }
}

impl Content for Fingerprint {
    fn fingerprint(&self) -> Self {
        *self
    }
}

/// Keyed objects in key order. `V` is their content or, to save memory, its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State<K, V> {
    objects: Vec<(K, V)>,
}

impl<K, V> Default for State<K, V> {
    fn default() -> Self {
        Self {
            objects: Vec::new(),
        }
    }
}

impl<K: ObjectKey, V> State<K, V> {
    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// True without objects.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The objects in key order.
    pub fn iter(&self) -> std::slice::Iter<'_, (K, V)> {
        self.objects.iter()
    }

    /// The content under a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.position(key).map(|at| &self.objects[at].1)
    }

    /// Where a key stands in the order, if it is there.
    pub fn position(&self, key: &K) -> Option<usize> {
        self.objects
            .binary_search_by(|(other, _)| other.cmp(key))
            .ok()
    }

    /// The container of each element.
    pub fn containers(&self) -> impl Iterator<Item = K> {
        self.iter().filter_map(|(key, _)| key.container())
    }

    /// The objects whose keys `keep` accepts.
    #[must_use]
    pub fn filter(self, mut keep: impl FnMut(&K) -> bool) -> Self {
        Self {
            objects: self
                .objects
                .into_iter()
                .filter(|(key, _)| keep(key))
                .collect(),
        }
    }

    /// The objects of both states; where both have a key, `other`'s content stays.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        self.objects.into_iter().chain(other.objects).collect()
    }
}

impl<K: ObjectKey, V: Content> State<K, V> {
    /// The same keys with fingerprints in place of contents, in no more memory than they need.
    pub fn fingerprints(&self) -> State<K, Fingerprint> {
        let mut objects = Vec::with_capacity(self.objects.len());
        objects.extend(
            self.objects
                .iter()
                .map(|(key, v)| (key.clone(), v.fingerprint())),
        );
        State { objects }
    }
}

impl<K: ObjectKey, V> FromIterator<(K, V)> for State<K, V> {
    /// Sorts by key; of several objects under one key the last stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(objects: I) -> Self {
        let mut objects: Vec<(K, V)> = objects.into_iter().collect();
        // To sort takes memory, also for what is in order.
        if objects.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Self { objects };
        }
        objects.sort_by(|(a, _), (b, _)| a.cmp(b));
        objects.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Self { objects }
    }
}

impl<'a, K: ObjectKey, V> IntoIterator for &'a State<K, V> {
    type Item = &'a (K, V);
    type IntoIter = std::slice::Iter<'a, (K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K, V> IntoIterator for State<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.objects.into_iter()
    }
}
