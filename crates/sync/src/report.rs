//! What a sync did.

use serde::Serialize;
use viprule_dataplane::Diff;

/// What a sync did, for logs and for the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Objects created.
    pub created: usize,
    /// Objects replaced.
    pub replaced: usize,
    /// Objects removed.
    pub removed: usize,
    /// Transactions sent.
    pub transactions: usize,
    /// Bytes sent.
    pub bytes: usize,
    /// What was touched, by share of the state.
    pub touched: Vec<Touched>,
    /// What an earlier proxy had left elsewhere and is gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<String>,
    /// What the kernel refused, and why.
    pub refused: Vec<String>,
    /// There is more to write: others get their turn first.
    #[serde(skip)]
    pub unfinished: bool,
    /// Another program was in the way.
    #[serde(skip)]
    pub contended: bool,
}

/// What a sync did to one share of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Touched {
    /// The share: `service NAMESPACE/NAME`, `base`, `entry points`, or `leftovers` for objects
    /// that belong to no Service any more.
    pub share: String,
    /// Objects created.
    pub created: usize,
    /// Objects replaced.
    pub replaced: usize,
    /// Objects removed.
    pub removed: usize,
}

impl Touched {
    /// What a diff does.
    pub(crate) fn of<K, A, B>(share: String, diff: &Diff<'_, K, A, B>) -> Self {
        let old = diff.writes.iter().filter(|write| write.old.is_some());
        let replaced = old.count();
        Self {
            share,
            created: diff.writes.len() - replaced,
            replaced,
            removed: diff.deletes.len(),
        }
    }

    pub(crate) const fn nothing(share: String) -> Self {
        Self {
            share,
            created: 0,
            replaced: 0,
            removed: 0,
        }
    }
}

impl Report {
    /// True where the kernel had it all.
    pub fn is_empty(&self) -> bool {
        self.created + self.replaced + self.removed == 0 && self.leftovers.is_empty()
    }

    pub(crate) fn add(&mut self, touched: Touched) {
        self.created += touched.created;
        self.replaced += touched.replaced;
        self.removed += touched.removed;
        if touched.created + touched.replaced + touched.removed > 0 {
            self.touched.push(touched);
        }
    }

    /// Adds what a later sync did. What is refused is what it says.
    pub fn join(&mut self, other: Self) {
        self.created += other.created;
        self.replaced += other.replaced;
        self.removed += other.removed;
        self.transactions += other.transactions;
        self.bytes += other.bytes;
        self.touched.extend(other.touched);
        self.leftovers.extend(other.leftovers);
        self.refused = other.refused;
        self.unfinished = other.unfinished;
        self.contended |= other.contended;
    }
}
