//! What a transaction is made of.

use std::collections::{BTreeMap, HashMap};

use viprule_dataplane::{Dataplane, Fingerprint, State};
use viprule_writer::Tag;

use crate::ledger::Note;
use crate::{FragmentId, Touched};

/// What is staged in one transaction.
#[derive(Debug)]
pub(crate) struct Transaction<D: Dataplane> {
    pub(crate) fragments: Vec<Staged<D>>,
    /// Objects that belong to no fragment, to be removed.
    pub(crate) orphans: Vec<D::Key>,
    /// What is written already of what several fragments may want: keys and contents.
    pub(crate) written: HashMap<Fingerprint, Fingerprint>,
    /// What fragments let go and others may want.
    pub(crate) released: BTreeMap<D::Key, Released>,
}

/// An object that fragments of a transaction let go.
#[derive(Debug)]
pub(crate) struct Released {
    pub(crate) content: Fingerprint,
    /// How many of them.
    pub(crate) fragments: u32,
    /// The first one.
    pub(crate) tag: Tag,
    /// Its place in the transaction.
    pub(crate) at: usize,
}

/// A fragment that is staged.
#[derive(Debug)]
pub(crate) struct Staged<D: Dataplane> {
    pub(crate) id: FragmentId,
    pub(crate) fingerprints: State<D::Key, Fingerprint>,
    pub(crate) note: Note<D::Counts>,
    pub(crate) touched: Touched,
    /// Of what is to be written of it.
    pub(crate) counts: D::Counts,
    /// It is all that the fragment shall be.
    pub(crate) finished: bool,
}

impl<D: Dataplane> Default for Transaction<D> {
    fn default() -> Self {
        Self {
            fragments: Vec::new(),
            orphans: Vec::new(),
            written: HashMap::new(),
            released: BTreeMap::new(),
        }
    }
}

/// A fragment that is to be written, and may be written in part. To render it costs what all of it
/// costs, and so do its fingerprints.
#[derive(Debug)]
pub(crate) struct Rendered<D: Dataplane> {
    pub(crate) id: FragmentId,
    /// What it shall be.
    pub(crate) desired: State<D::Key, D::Object>,
    pub(crate) fingerprints: State<D::Key, Fingerprint>,
    pub(crate) note: Note<D::Counts>,
}
