//! nftables mode: our tables, written over netlink in one transaction for each sync.
//!
//! On the way of a change nothing is listed: elements are added and removed by their keys. Where the
//! kernel says that one is there, or is not, against what we know, it is looked at again
//! ([`ApplyError::Unknown`]).

mod counters;
mod observe;
mod piece;
mod stage;

pub use counters::{Count, Counters};

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd as _, BorrowedFd};

use netlink_batch::Socket;
use nfnetlink::Family;
use nfnetlink::nftables;
use nfnetlink::nftables::native;
use viprule_dataplane::nftables::{Key, Object, Piece, Set};
use viprule_dataplane::{Diff, Scope, State};

use crate::generation::Committer;
use crate::{ApplyError, ForeignChanges, Tag, WriteError, Writer, Written, socket};
use stage::Staged;

/// Writes our tables in the network namespace of the thread that made it.
#[derive(Debug)]
pub struct NftablesWriter {
    families: Vec<Family>,
    committer: Committer<Piece>,
    staged: Staged,
    /// What sets are made with: asked for with each element.
    specs: Specs,
    /// Families whose table has to go before anything can be written.
    unusable: BTreeSet<Family>,
    /// The kernel said last that something is there, or is not, against what we knew.
    doubted: bool,
    /// Largest transaction of several, bytes.
    largest_part: usize,
}

/// What sets are made with.
type Specs = BTreeMap<Set, native::Set>;

/// Size of a transaction of several, bytes. The kernel's hash tables grow in the background, and one
/// of 12 MB outruns them: it takes five times as long. All that is there without Services fits, as
/// between two others may slip in.
const PART: usize = 2 << 20;

impl NftablesWriter {
    /// Opens the sockets. Other families than these are neither read nor written. The error says
    /// which capability or kernel option is missing.
    pub fn open(families: &[Family]) -> Result<Self, WriteError> {
        Ok(Self {
            families: families.to_vec(),
            committer: Committer::open()?,
            staged: Staged::default(),
            specs: BTreeMap::new(),
            unusable: BTreeSet::new(),
            doubted: false,
            largest_part: PART,
        })
    }

    /// Sends at most this much at once, bytes, but for objects that are larger alone.
    #[must_use]
    pub fn with_parts_of(mut self, bytes: usize) -> Self {
        self.largest_part = bytes;
        self
    }

    /// The socket that tells what others change.
    pub fn events(&self) -> &Socket {
        self.committer.watch.socket()
    }
}

/// Fails where this kernel has no `nf_tables` for these families.
pub fn probe(families: &[Family]) -> Result<(), WriteError> {
    let operation = "looking for nf_tables";
    let mut socket = socket::netfilter()?;
    for family in families {
        let has = nftables::has_family(&mut socket, *family);
        if !has.map_err(|error| WriteError::netlink(operation, error))? {
            return Err(WriteError::Missing {
                operation: operation.to_owned(),
                part: format!(
                    "nf_tables of the family {family} (CONFIG_NF_TABLES_IPV4, CONFIG_NF_TABLES_IPV6)"
                ),
            });
        }
    }
    Ok(())
}

impl Writer for NftablesWriter {
    type Key = Key;
    type Object = Object;

    fn observe<V: From<(Key, Object)>>(
        &mut self,
        scope: &Scope<Piece>,
    ) -> Result<State<Key, V>, WriteError> {
        self.committer.watch.absorb()?;
        match scope {
            Scope::Everything => {
                self.committer.watch.accept_everything()?;
                self.observe_everything()
            }
            Scope::Pieces(pieces) => {
                self.committer.watch.heard.accept(pieces);
                self.observe_pieces(pieces)
            }
        }
    }

    fn stage<A>(
        &mut self,
        tag: Tag,
        diff: &Diff<'_, Key, A, Object>,
    ) -> Result<(), ApplyError<Piece>> {
        let result = self.stage_diff(tag, diff);
        if result.is_err() {
            self.discard();
        }
        result
    }

    fn commit(&mut self) -> Result<Written, ApplyError<Piece>> {
        let result = self.finish().map(|()| self.committer.written());
        self.discard();
        result
    }

    fn foreign_changes(&mut self) -> Result<ForeignChanges<Piece>, WriteError> {
        self.committer.watch.absorb()?;
        Ok(self.committer.watch.heard.report())
    }

    fn notifications(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.events().as_fd()]
    }
}
