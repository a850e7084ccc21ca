//! Chains and rules over legacy xtables: the host's `iptables-legacy-restore`, fed with what changed.
//!
//! Legacy tables have no netlink interface; the only way to write them without unsafe code is the
//! program that belongs to them. It replaces a whole table per commit, whatever the change, and
//! the kernel tells nobody. So a commit here is atomic per table only, and what others did is
//! found by looking.

mod failure;
mod observe;
mod payload;
mod program;
mod send;
mod stage;
pub(crate) mod tables;
pub(crate) mod tool;
mod watch;

use std::collections::HashMap;
use std::path::Path;

use nfnetlink::Family;
use viprule_dataplane::netfilter::{Key, Object, Piece};
use viprule_dataplane::ownership::Layout;
use viprule_dataplane::{Diff, Scope, State};

use crate::{ApplyError, ForeignChanges, Tag, WriteError, Writer, Written};
use stage::Staged;
use tool::Tools;
use watch::Watch;

/// Writes chains and rules into the legacy tables of the network namespace of the thread
/// that calls it.
#[derive(Debug)]
pub struct LegacyWriter {
    families: Vec<Family>,
    layout: Layout,
    tools: Tools,
    /// Rules of shared chains as text, by the last look and our own writes since: they are deleted
    /// by their text. One that is there but not here is looked up when it has to be deleted.
    rules: HashMap<Key, Box<str>>,
    staged: Staged,
    watch: Watch,
}

impl LegacyWriter {
    /// Finds the programs: `iptables-legacy-restore` and `-save`, or `iptables-restore` and `-save`
    /// of a release that knows legacy tables only. Other families than these are neither read
    /// nor written. The error names what is to be installed.
    pub fn open(families: &[Family]) -> Result<Self, WriteError> {
        Self::with_tools(families, None)
    }

    /// The same with programs from this folder in place of `PATH`.
    pub fn open_with_tools_in(families: &[Family], folder: &Path) -> Result<Self, WriteError> {
        Self::with_tools(families, Some(folder))
    }

    /// Writes chains of this layout; iptables mode's without it.
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    fn with_tools(families: &[Family], folder: Option<&Path>) -> Result<Self, WriteError> {
        Ok(Self {
            families: families.to_vec(),
            layout: Layout::Iptables,
            tools: Tools::find(families, folder)?,
            rules: HashMap::new(),
            staged: Staged::default(),
            watch: Watch::default(),
        })
    }
}

impl Writer for LegacyWriter {
    type Key = Key;
    type Object = Object;

    fn observe<V: From<(Key, Object)>>(
        &mut self,
        scope: &Scope<Piece>,
    ) -> Result<State<Key, V>, WriteError> {
        self.observe_scope(scope)
    }

    fn stage<A>(
        &mut self,
        tag: Tag,
        diff: &Diff<'_, Key, A, Object>,
    ) -> Result<(), ApplyError<Piece>> {
        self.staged.add(tag, diff);
        Ok(())
    }

    fn commit(&mut self) -> Result<Written, ApplyError<Piece>> {
        let staged = std::mem::take(&mut self.staged);
        self.send(staged)
    }

    /// Returns at once but where a table was flushed: then it waits up to 5 s for the other tables
    /// to be flushed too (contract 2.10), so that nobody flushes what was just repaired.
    fn foreign_changes(&mut self) -> Result<ForeignChanges<Piece>, WriteError> {
        self.look_for_changes()
    }
}
