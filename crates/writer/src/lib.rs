//! Effects: observes a dataplane's objects in the kernel and applies diffs to them.
//!
//! A writer decides nothing. It reads the kernel into the state type that the renderer produces,
//! and turns a [`Diff`] into messages in the order that the diff has.

pub mod backend;
mod clock;
pub mod conntrack;
mod error;
mod files;
mod generation;
pub mod host;
pub mod ipvs;
pub mod leftovers;
mod link;
pub mod netfilter;
pub mod nftables;
mod socket;
pub mod sysctl;

pub use error::{ApplyError, Refusal, WriteError};

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use viprule_dataplane::{Content, Diff, Feature, ObjectKey, Scope, State};

/// Says which part of a transaction an object belongs to, so that a refusal can be told apart.
/// The caller chooses the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

/// The piece of kernel state that holds a key.
pub type PieceOf<W> = <<W as Writer>::Key as ObjectKey>::Piece;

/// Reads and writes one dataplane's objects in the network namespace of the calling thread.
pub trait Writer {
    /// What identifies an object.
    type Key: ObjectKey;
    /// What an object says.
    type Object: Content + From<(Self::Key, Self::Object)>;

    /// Reads what is ours within `scope`, as full contents, as fingerprints, or as what else is to be
    /// kept of a key and its object.
    fn observe<V: From<(Self::Key, Self::Object)>>(
        &mut self,
        scope: &Scope<PieceOf<Self>>,
    ) -> Result<State<Self::Key, V>, WriteError>;

    /// Adds a diff to the open transaction. Removals wait until [`Writer::commit`].
    ///
    /// Where size demands it the transaction is sent in parts, each of which leaves traffic right.
    fn stage<A>(
        &mut self,
        tag: Tag,
        diff: &Diff<'_, Self::Key, A, Self::Object>,
    ) -> Result<(), ApplyError<PieceOf<Self>>>;

    /// Sends what is staged. Sends nothing where nothing is staged. After an error nothing stays
    /// staged.
    fn commit(&mut self) -> Result<Written, ApplyError<PieceOf<Self>>>;

    /// What others changed since the last question, and who. Does not block.
    fn foreign_changes(&mut self) -> Result<ForeignChanges<PieceOf<Self>>, WriteError>;

    /// What becomes readable when somebody else changes something. Nothing where nobody tells:
    /// then [`Writer::foreign_changes`] is to be asked from time to time.
    fn notifications(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    /// What others may change without anybody telling: to be looked at from time to time.
    fn unwatched(&self) -> Scope<PieceOf<Self>> {
        Scope::nothing()
    }

    /// What the kernel turned out to lack since the last question.
    fn take_lacking(&mut self) -> BTreeSet<Feature> {
        BTreeSet::new()
    }

    /// Asks the kernel whether it has this now. It may load a module for it.
    fn has(&mut self, _feature: &Feature) -> Result<bool, WriteError> {
        Ok(true)
    }

    /// Goes on with what takes time, such as removals that wait for connections to end. Returns
    /// when to call it again.
    fn drain(&mut self) -> Result<Option<Duration>, WriteError> {
        Ok(None)
    }
}

/// What a commit did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Transactions sent.
    pub transactions: usize,
    /// Bytes sent.
    pub bytes: usize,
}

/// What others did to the kernel's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignChanges<P> {
    /// Pieces of ours that they touched.
    pub scope: Scope<P>,
    /// The programs that did it, as `name (pid)`, where the kernel told.
    pub by: Vec<String>,
}
