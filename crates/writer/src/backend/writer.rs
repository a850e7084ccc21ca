//! A writer for either.

use std::os::fd::BorrowedFd;

use nfnetlink::Family;
use viprule_dataplane::netfilter::{Key, Object, Piece};
use viprule_dataplane::ownership::Layout;
use viprule_dataplane::{Diff, Scope, State};

use super::Backend;
use crate::netfilter::{LegacyWriter, NftWriter};
use crate::{ApplyError, ForeignChanges, Tag, WriteError, Writer, Written};

/// Writes chains and rules, wherever this node has them.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a program")]
pub enum HostWriter {
    /// Over netlink.
    Nft(NftWriter),
    /// By the host's program.
    Legacy(LegacyWriter),
}

impl HostWriter {
    /// Opens the writer of this backend for these families. The error says what is missing.
    pub fn open(backend: Backend, families: &[Family]) -> Result<Self, WriteError> {
        match backend {
            Backend::Nft => NftWriter::open(families).map(Self::Nft),
            Backend::Legacy => LegacyWriter::open(families).map(Self::Legacy),
        }
    }

    /// Writes chains of this layout; iptables mode's without it.
    #[must_use]
    pub fn with_layout(self, layout: Layout) -> Self {
        match self {
            Self::Nft(writer) => Self::Nft(writer.with_layout(layout)),
            Self::Legacy(writer) => Self::Legacy(writer.with_layout(layout)),
        }
    }
}

impl Writer for HostWriter {
    type Key = Key;
    type Object = Object;

    fn observe<V: From<(Key, Object)>>(
        &mut self,
        scope: &Scope<Piece>,
    ) -> Result<State<Key, V>, WriteError> {
        match self {
            Self::Nft(writer) => writer.observe(scope),
            Self::Legacy(writer) => writer.observe(scope),
        }
    }

    fn stage<A>(
        &mut self,
        tag: Tag,
        diff: &Diff<'_, Key, A, Object>,
    ) -> Result<(), ApplyError<Piece>> {
        match self {
            Self::Nft(writer) => writer.stage(tag, diff),
            Self::Legacy(writer) => writer.stage(tag, diff),
        }
    }

    fn commit(&mut self) -> Result<Written, ApplyError<Piece>> {
        match self {
            Self::Nft(writer) => writer.commit(),
            Self::Legacy(writer) => writer.commit(),
        }
    }

    fn foreign_changes(&mut self) -> Result<ForeignChanges<Piece>, WriteError> {
        match self {
            Self::Nft(writer) => writer.foreign_changes(),
            Self::Legacy(writer) => writer.foreign_changes(),
        }
    }

    fn notifications(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Nft(writer) => writer.notifications(),
            Self::Legacy(writer) => writer.notifications(),
        }
    }
}
