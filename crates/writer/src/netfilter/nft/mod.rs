//! Chains and rules over nf_tables: no iptables binary, one atomic transaction per sync.

mod base_chains;
mod chains;
mod known;
mod list;
mod observe;
mod send;
mod sets;
mod stage;

use std::os::fd::{AsFd as _, BorrowedFd};

use netlink_batch::Socket;
use nfnetlink::Family;
use viprule_dataplane::netfilter::{Key, Object, Piece};
use viprule_dataplane::ownership::Layout;
use viprule_dataplane::{Diff, Scope, State};

use crate::generation::Committer;
use crate::{ApplyError, ForeignChanges, Tag, WriteError, Writer, Written};
use known::Known;
use sets::SetReader;
use stage::Staged;

/// Writes chains and rules in the network namespace of the thread that made it.
#[derive(Debug)]
pub struct NftWriter {
    families: Vec<Family>,
    layout: Layout,
    committer: Committer<Piece>,
    known: Known,
    sets: SetReader,
    staged: Staged,
    /// Largest part, bytes.
    largest_part: usize,
}

impl NftWriter {
    /// Opens the sockets. Other families than these are neither read nor written. The error says
    /// which capability or kernel option is missing.
    pub fn open(families: &[Family]) -> Result<Self, WriteError> {
        Ok(Self {
            families: families.to_vec(),
            layout: Layout::Iptables,
            committer: Committer::open()?,
            known: Known::default(),
            sets: SetReader::open()?,
            staged: Staged::default(),
            largest_part: usize::MAX,
        })
    }

    /// Writes chains of this layout; iptables mode's without it.
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Sends at most this much at once, bytes, but for objects that are larger alone. Without it,
    /// parts are as large as the socket takes them and as is good for others.
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

impl Writer for NftWriter {
    type Key = Key;
    type Object = Object;

    fn observe<V: From<(Key, Object)>>(
        &mut self,
        scope: &Scope<Piece>,
    ) -> Result<State<Key, V>, WriteError> {
        self.committer.watch.absorb()?;
        self.sets.begin();
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
