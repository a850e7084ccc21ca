//! Chains and rules over nf_tables: no iptables binary, one atomic transaction per sync.
//!
//! Every transaction is pinned to the generation of the rule set up to which we know what others
//! did. Somebody else's commit in between is noticed by the kernel (ERESTART) and by us through
//! notifications: what they touched of ours is then read again before anything is written, and
//! where they touched nothing of ours the transaction is sent again.

mod chains;
mod heard;
mod known;
mod list;
mod observe;
mod rivals;
mod send;
mod sets;
mod stage;
mod watch;

use std::os::fd::{AsFd as _, BorrowedFd};

use netlink_batch::{Socket, socket::NETFILTER};
use nfnetlink::Family;
use nfnetlink::nftables::Transaction;
use viprule_dataplane::netfilter::{Key, Object, Part};
use viprule_dataplane::ownership::Layout;
use viprule_dataplane::{Diff, Scope, State};

use crate::{ApplyError, ForeignChanges, Tag, WriteError, Writer, Written};
use known::Known;
use sets::SetReader;
use stage::Staged;
use watch::Watch;

/// Writes chains and rules in the network namespace of the thread that made it.
#[derive(Debug)]
pub struct NftWriter {
    families: Vec<Family>,
    layout: Layout,
    socket: Socket,
    watch: Watch,
    known: Known,
    sets: SetReader,
    transaction: Transaction<Tag>,
    staged: Staged,
    /// Largest part, bytes.
    largest_part: usize,
}

impl NftWriter {
    /// Opens the sockets. Other families than these are neither read nor written. The error says
    /// which capability or kernel option is missing.
    pub fn open(families: &[Family]) -> Result<Self, WriteError> {
        let mut socket = Socket::open(NETFILTER)
            .map_err(|e| WriteError::netlink("opening a netlink socket", &e))?;
        let watch = Watch::start(&mut socket)?;
        let sets = SetReader::open()?;
        let mut transaction = Transaction::new();
        transaction.begin(Some(watch.generation()));
        let (known, staged) = (Known::default(), Staged::default());
        Ok(Self {
            families: families.to_vec(),
            layout: Layout::Iptables,
            socket,
            watch,
            known,
            sets,
            transaction,
            staged,
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
        self.watch.socket()
    }
}

impl Writer for NftWriter {
    type Key = Key;
    type Object = Object;

    fn observe<V: From<Object>>(
        &mut self,
        scope: &Scope<Part>,
    ) -> Result<State<Key, V>, WriteError> {
        self.watch.absorb(&mut self.socket)?;
        self.sets.begin();
        match scope {
            Scope::Everything => {
                self.watch.accept_everything(&mut self.socket)?;
                self.observe_everything()
            }
            Scope::Parts(parts) => {
                self.watch.accept(parts);
                self.observe_parts(parts)
            }
        }
    }

    fn stage<A>(
        &mut self,
        tag: Tag,
        diff: &Diff<'_, Key, A, Object>,
    ) -> Result<(), ApplyError<Part>> {
        let result = self.stage_diff(tag, diff);
        if result.is_err() {
            self.discard();
        }
        result
    }

    fn commit(&mut self) -> Result<Written, ApplyError<Part>> {
        let result = self.finish().map(|()| self.staged.written);
        self.discard();
        result
    }

    fn foreign_changes(&mut self) -> Result<ForeignChanges<Part>, WriteError> {
        self.watch.absorb(&mut self.socket)?;
        Ok(self.watch.report())
    }

    fn notifications(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.events().as_fd()]
    }
}
