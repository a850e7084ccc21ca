//! Keeps the kernel at what the plans say.
//!
//! The applied state has, by fragment, fingerprints of what the kernel holds as far as we know. A
//! sync renders the fragments that events concern and writes their diff to it. A reconciliation
//! first corrects it by what the kernel really has; first sync, takeover, repair and recovery from
//! an unknown outcome are all that.

mod flows;
mod look;
mod refusal;
mod stage;
mod work;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use viprule_dataplane::{Dataplane, Feature, NodeEffect, Scope};
use viprule_service::model::{Event, ServiceId};
use viprule_service::plan::{FlowDestination, NodeFacts, PlanConfig};
use viprule_service::tracker::{Conflict, Tracker};
use viprule_writer::PieceOf;
use viprule_writer::conntrack::Cleaner;

use crate::applied::Applied;
use crate::transaction::Rendered;
use crate::{FragmentId, Ledger, Listener, Report, SyncError, WriterFor};

/// How much is written before others get their turn, in the unit of [`Tracker::size`].
#[derive(Debug, Clone, Copy)]
pub struct Rooms {
    /// By a sync.
    pub sync: u64,
    /// By a reconciliation.
    pub reconcile: u64,
}

impl Default for Rooms {
    /// A sync takes some 100 ms, so that a change waits no longer for another one. All that an
    /// ordinary cluster has is reconciled in one transaction, and no more than bounded memory takes.
    fn default() -> Self {
        Self {
            sync: 5_000,
            reconcile: 100_000,
        }
    }
}

/// Keeps one dataplane in one network namespace at what the plans say.
#[derive(Debug)]
pub struct Syncer<D: Dataplane, W> {
    tracker: Tracker,
    dataplane: D,
    writer: W,
    applied: Applied<D::Key>,
    ledger: Ledger<D::Counts>,
    /// Ends flows that lead to endpoints which are gone.
    cleaner: Option<Cleaner>,
    /// How many objects of a service proxy, and of nobody else, the first look found.
    found: Option<usize>,
    /// UDP frontends that it found, until all Services are known to be written.
    found_udp: Vec<FlowDestination>,
    quarantined: BTreeMap<ServiceId, String>,
    /// Objects that belong to no fragment and that the kernel won't let go, with its reasons.
    stuck: BTreeMap<D::Key, String>,
    /// What the first look found and no Service has taken over, while something that can't be used
    /// may ask for it: it stays.
    leftovers: BTreeSet<D::Key>,
    /// Services that are gone and whose objects became nobody's, until those are removed.
    departed: BTreeSet<ServiceId>,
    /// Services that ask for what another one has, not told yet.
    conflicts: Vec<Conflict>,
    /// Fragments still to be written.
    owed: BTreeSet<FragmentId>,
    /// Services of which one is still to be written that has something from the other.
    handovers: BTreeSet<(ServiceId, ServiceId)>,
    /// How much is written before others get their turn, in the unit of [`Tracker::size`].
    rooms: Option<Rooms>,
    /// Every Service was written once: what leads to them is known.
    complete: bool,
    /// A large Service of which a part is written.
    unfinished: Option<Rendered<D>>,
    /// The last Service of which a part was written.
    last_part: Option<ServiceId>,
    /// Transactions that were committed.
    committed: u64,
    /// What the kernel turned out to lack.
    lacking: BTreeSet<Feature>,
    /// Nothing is desired any more.
    removing: bool,
    listener: Option<Box<dyn Listener<D::Key>>>,
}

impl<D: Dataplane, W> Syncer<D, W> {
    /// The cleaner, where there is one.
    pub fn cleaner(&self) -> Option<&Cleaner> {
        self.cleaner.as_ref()
    }

    /// How many objects of a service proxy, and of nobody else, were in the kernel before the first
    /// sync.
    pub fn found(&self) -> usize {
        self.found.unwrap_or_default()
    }

    /// The facts that the plans are made of.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// The writer.
    pub fn writer(&mut self) -> &mut W {
        &mut self.writer
    }

    /// The node's facts and the writer.
    pub fn facts_and_writer(&mut self) -> (&NodeFacts, &mut W) {
        (self.tracker.facts(), &mut self.writer)
    }

    /// The dataplane.
    pub fn dataplane(&self) -> &D {
        &self.dataplane
    }

    /// Facts about what was written.
    pub fn ledger(&mut self) -> &mut Ledger<D::Counts> {
        &mut self.ledger
    }

    /// Services that the kernel refused, with its reasons. What was there of them before stays.
    pub fn quarantined(&self) -> &BTreeMap<ServiceId, String> {
        &self.quarantined
    }
}

impl<D: Dataplane, W: WriterFor<D>> Syncer<D, W> {
    /// A syncer that knows nothing of the kernel yet: [`Syncer::reconcile`] everything first.
    pub fn new(tracker: Tracker, dataplane: D, writer: W) -> Self {
        Self {
            tracker,
            dataplane,
            writer,
            applied: Applied::new(),
            ledger: Ledger::new(),
            cleaner: None,
            found: None,
            found_udp: Vec::new(),
            quarantined: BTreeMap::new(),
            stuck: BTreeMap::new(),
            leftovers: BTreeSet::new(),
            departed: BTreeSet::new(),
            conflicts: Vec::new(),
            owed: BTreeSet::new(),
            handovers: BTreeSet::new(),
            rooms: None,
            complete: false,
            unfinished: None,
            last_part: None,
            committed: 0,
            lacking: BTreeSet::new(),
            removing: false,
            listener: None,
        }
    }

    /// Lets others have their turn: a sync that has more to write than there is room for writes a part,
    /// and its report says that it is unfinished. The next one goes on.
    #[must_use]
    pub fn in_turns(mut self, rooms: Rooms) -> Self {
        self.rooms = Some(rooms);
        self
    }

    /// Tells somebody which objects of a Service the kernel has, whenever that may have changed.
    #[must_use]
    pub fn with_listener(mut self, listener: Box<dyn Listener<D::Key>>) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Lets a cleaner know of UDP Services' endpoints, so that it ends flows which lead to others.
    #[must_use]
    pub fn with_cleaner(mut self, cleaner: Cleaner) -> Self {
        self.cleaner = Some(cleaner);
        self
    }

    /// Takes an event. Nothing is written before the next [`Syncer::sync`].
    pub fn apply(&mut self, event: Event) {
        self.tracker.apply(event);
    }

    /// Takes new settings. Nothing is written before the next [`Syncer::sync`].
    pub fn configure(&mut self, plan: PlanConfig, settings: D::Settings) {
        self.tracker.configure(plan);
        self.owe(|dataplane, facts| dataplane.configure(settings, facts));
    }

    /// Writes what the events since the last sync changed.
    pub fn sync(&mut self) -> Result<Report, SyncError> {
        if !self.leftovers.is_empty() && !self.tracker.withholds_anything() {
            // All that is still nobody's has to go.
            return self.reconcile(Scope::Everything);
        }
        self.take_changes();
        self.write_owed(self.rooms.map(|rooms| rooms.sync))
    }

    /// Looks at the kernel within `scope` and writes what differs from the plans, and what the
    /// events since the last sync changed.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "whoever asks has no use for it afterwards"
    )]
    pub fn reconcile(&mut self, scope: Scope<PieceOf<W>>) -> Result<Report, SyncError> {
        self.stuck.clear();
        self.look(&scope)?;
        self.write_owed(self.rooms.map(|rooms| rooms.reconcile))
    }

    /// Conflicts between Services that came up since the last question.
    pub fn take_conflicts(&mut self) -> Vec<Conflict> {
        std::mem::take(&mut self.conflicts)
    }

    /// True where a Service is still to be written.
    pub fn owes(&self, service: &ServiceId) -> bool {
        self.owed.contains(&FragmentId::Service(service.clone()))
    }

    /// True where the kernel refused something that is still to be written or removed.
    pub fn has_refused(&self) -> bool {
        !(self.quarantined.is_empty() && self.stuck.is_empty())
    }

    /// True where what the first look found stays for the sake of what can't be used.
    pub fn withholds(&self) -> bool {
        !self.leftovers.is_empty()
    }

    /// Removes everything that is ours. Nothing is written ever after.
    ///
    /// A chain that somebody else's rule leads to can't go; it is left empty.
    pub fn remove_everything(&mut self) -> Result<Report, SyncError> {
        self.removing = true;
        let mut report = self.reconcile(Scope::Everything)?;
        if self.flush_stuck()? {
            // What they led to can go now.
            self.stuck.clear();
            report.join(self.write_owed(None)?);
        }
        Ok(report)
    }

    fn take_changes(&mut self) {
        let changes = self.tracker.take_changes();
        self.conflicts.extend(changes.conflicts);
        if self.rooms.is_some() {
            self.handovers.extend(changes.handovers);
        }
        for service in changes.services {
            self.quarantined.remove(&service);
            self.render_anew(&service);
            self.owed.insert(FragmentId::Service(service));
        }
        if changes.node {
            self.unfinished = None;
            self.owe(D::set_node);
        }
    }

    /// A Service may be another than when a part of it was written.
    fn render_anew(&mut self, service: &ServiceId) {
        let is_it =
            |it: &mut Rendered<D>| matches!(&it.id, FragmentId::Service(id) if id == service);
        self.unfinished.take_if(is_it);
    }

    /// Changes the dataplane, and owes what is rendered otherwise from then on.
    fn owe(&mut self, change: impl FnOnce(&mut D, &NodeFacts) -> NodeEffect) {
        let effect = change(&mut self.dataplane, self.tracker.facts());
        self.owe_for(effect);
    }

    /// Owes what such an effect means.
    fn owe_for(&mut self, effect: NodeEffect) {
        if effect > NodeEffect::Nothing {
            self.unfinished = None;
        }
        if effect >= NodeEffect::Base {
            self.owed
                .extend([FragmentId::Base, FragmentId::EntryPoints]);
        }
        if effect >= NodeEffect::Everything {
            self.quarantined.clear();
            self.owed
                .extend(self.tracker.services().into_iter().map(FragmentId::Service));
        }
    }
}
