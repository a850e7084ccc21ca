//! Keeps the kernel at what the plans say.
//!
//! The books remember, by fragment, fingerprints of what the kernel holds as far as we know. A
//! sync renders the fragments that events concern and writes their diff to the books. A
//! reconciliation first corrects the books by what the kernel really has; first sync, takeover,
//! repair and recovery from an unknown outcome are all that.

mod glimpse;
mod pieces;
mod stage;

use std::collections::{BTreeMap, BTreeSet};

use viprule_dataplane::{
    Dataplane, Feature, Fingerprint, NodeEffect, ObjectKey as _, Scope, State,
};
use viprule_service::model::{Event, ServiceId};
use viprule_service::plan::{FlowDestination, NodeFacts, PlanConfig};
use viprule_service::tracker::{Conflict, Tracker};
use viprule_writer::conntrack::Cleaner;
use viprule_writer::{PartOf, WriteError};

use self::glimpse::{Glimpse, Named, Print};
use self::stage::rules;
use crate::books::Books;
use crate::ledger::{Ledger, Note};
use crate::{FragmentId, Listener, Report, WriterFor};

/// How often the kernel is looked at again in one sync because others keep changing our objects
/// or an answer was lost.
pub(crate) const ATTEMPTS: usize = 8;

/// Why a sync failed. What the kernel had before is still there, or is found again by the next
/// reconciliation.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The kernel can't be read or written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The kernel refuses what every Service needs.
    #[error("the kernel refused the {share}: {reason}")]
    Refused {
        /// The share of the state.
        share: FragmentId,
        /// What the kernel said.
        reason: String,
    },
    /// Somebody else keeps changing our objects.
    #[error(
        "gave up after {ATTEMPTS} attempts: another program keeps changing our objects; look for a second service proxy on this node"
    )]
    Contended,
}

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

/// A fragment that is to be written, and may be written in part. To render it costs what all of it
/// costs, and so do its fingerprints.
#[derive(Debug)]
pub(crate) struct Unfinished<K, V> {
    pub(crate) id: FragmentId,
    /// What it shall be.
    pub(crate) desired: State<K, V>,
    pub(crate) digest: State<K, Fingerprint>,
    pub(crate) note: Note,
}

/// Keeps one dataplane in one network namespace at what the plans say.
#[derive(Debug)]
pub struct Syncer<D: Dataplane, W> {
    pub(crate) tracker: Tracker,
    pub(crate) dataplane: D,
    pub(crate) writer: W,
    pub(crate) books: Books<D::Key>,
    pub(crate) ledger: Ledger,
    /// Ends flows that lead to endpoints which are gone.
    pub(crate) cleaner: Option<Cleaner>,
    /// How many objects of a service proxy, and of nobody else, the first look found.
    found: Option<usize>,
    /// UDP frontends that it found, until all Services are known to be written.
    found_udp: Vec<FlowDestination>,
    pub(crate) quarantined: BTreeMap<ServiceId, String>,
    /// Objects that belong to no fragment and that the kernel won't let go, with its reasons.
    pub(crate) stuck: BTreeMap<D::Key, String>,
    /// What the first look found and no Service has taken over, while something that can't be used
    /// may ask for it: it stays.
    pub(crate) leftovers: BTreeSet<D::Key>,
    /// Services that are gone and whose objects became nobody's, until those are removed.
    pub(crate) departed: BTreeSet<ServiceId>,
    /// Services that ask for what another one has, not told yet.
    conflicts: Vec<Conflict>,
    /// Fragments still to be written.
    pub(crate) owed: BTreeSet<FragmentId>,
    /// Services of which one is still to be written that has something from the other.
    pub(crate) handovers: BTreeSet<(ServiceId, ServiceId)>,
    /// How much is written before others get their turn, in the unit of [`Tracker::size`].
    pub(crate) rooms: Option<Rooms>,
    /// Every Service was written once: what leads to them is known.
    pub(crate) complete: bool,
    /// A large Service of which a part is written.
    pub(crate) unfinished: Option<Unfinished<D::Key, D::Object>>,
    /// The last Service of which a part was written.
    pub(crate) last_part: Option<ServiceId>,
    /// Transactions that were committed.
    pub(crate) committed: u64,
    /// What the kernel turned out to lack.
    lacking: BTreeSet<Feature>,
    /// Nothing is desired any more.
    pub(crate) removing: bool,
    pub(crate) listener: Option<Box<dyn Listener<D::Key>>>,
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
    pub fn ledger(&mut self) -> &mut Ledger {
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
            books: Books::new(),
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
    pub fn reconcile(&mut self, scope: Scope<PartOf<W>>) -> Result<Report, SyncError> {
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

    /// Lets what the kernel refused be tried again by the next sync.
    pub fn release_refused(&mut self) {
        let released = std::mem::take(&mut self.quarantined);
        self.owed
            .extend(released.into_keys().map(FragmentId::Service));
        self.stuck.clear();
    }

    /// Asks the kernel again for what it lacked. What it has by now is used by the next sync: the
    /// answer is true then.
    pub fn ask_again(&mut self) -> Result<bool, WriteError> {
        let mut found = false;
        for feature in self.lacking.clone() {
            if self.writer.has(&feature)? {
                tracing::info!("this kernel has {feature} now");
                self.lacking.remove(&feature);
                found = true;
            }
        }
        if found {
            self.take_lacking();
        }
        Ok(found)
    }

    /// The kernel refused something: learns what it lacks. Returns true where that is news, and
    /// something else is to be written because of it.
    pub(crate) fn learn_lacking(&mut self) -> bool {
        let known = self.lacking.len();
        for feature in self.writer.take_lacking() {
            if self.lacking.insert(feature) {
                tracing::warn!(
                    "this kernel has no {feature}, or can't load it: Services do without"
                );
            }
        }
        self.lacking.len() > known && self.take_lacking() > NodeEffect::Nothing
    }

    fn take_lacking(&mut self) -> NodeEffect {
        let facts = self.tracker.facts();
        let effect = self.dataplane.set_lacking(&self.lacking, facts);
        self.owe_for(effect);
        effect
    }

    /// Removes everything that is ours. Nothing is written ever after.
    ///
    /// A chain that somebody else's rule leads to can't go; it is left empty.
    pub fn remove_everything(&mut self) -> Result<Report, SyncError> {
        self.removing = true;
        let mut report = self.reconcile(Scope::Everything)?;
        if self.hollow_out_stuck()? {
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
            |it: &mut Unfinished<_, _>| matches!(&it.id, FragmentId::Service(id) if id == service);
        self.unfinished.take_if(is_it);
    }

    /// Changes the dataplane, and owes what is rendered otherwise from then on.
    fn owe(&mut self, change: impl FnOnce(&mut D, &NodeFacts) -> NodeEffect) {
        let effect = change(&mut self.dataplane, self.tracker.facts());
        self.owe_for(effect);
    }

    /// Owes what such an effect means.
    pub(crate) fn owe_for(&mut self, effect: NodeEffect) {
        if effect > NodeEffect::Nothing {
            self.unfinished = None;
        }
        if effect >= NodeEffect::Foundation {
            self.owed
                .extend([FragmentId::Foundation, FragmentId::Links]);
        }
        if effect >= NodeEffect::Everything {
            self.quarantined.clear();
            self.owed
                .extend(self.tracker.services().into_iter().map(FragmentId::Service));
        }
    }

    /// Corrects the books by what the kernel has, and owes what may differ from the plans.
    pub(crate) fn look(&mut self, scope: &Scope<PartOf<W>>) -> Result<(), SyncError> {
        if *scope == Scope::Everything {
            tracing::debug!("looking at everything");
        }
        let seen = if self.found.is_none() {
            self.first_look(scope)?
        } else {
            if !self.tracker.withholds_anything() {
                self.leftovers.clear();
            }
            let seen = self.writer.observe::<Print>(scope)?.into_iter();
            seen.map(|(key, Print(print))| (key, print)).collect()
        };
        self.take_changes();
        let (dataplane, nothing) = (&mut self.dataplane, State::default());
        let mut effect = NodeEffect::Nothing;
        let changed = self.books.correct(scope, seen, |lost| {
            if !D::ATOMIC {
                effect = effect.max(dataplane.settled(&lost, &nothing));
            }
        });
        self.owed.extend(changed);
        self.owe_for(effect);
        self.keep_refused();
        if *scope == Scope::Everything {
            self.owed
                .extend([FragmentId::Foundation, FragmentId::Links]);
            self.owed
                .extend(self.tracker.services().into_iter().map(FragmentId::Service));
        }
        if self.removing {
            self.books.disown_all();
        }
        let quarantined = &self.quarantined;
        self.owed
            .retain(|id| !matches!(id, FragmentId::Service(id) if quarantined.contains_key(id)));
        Ok(())
    }

    /// [Keeps](Self::keep) what the kernel has of every refused Service.
    fn keep_refused(&mut self) {
        let refused: Vec<ServiceId> = self.quarantined.keys().cloned().collect();
        for id in refused {
            self.keep(&FragmentId::Service(id));
        }
    }

    /// What the kernel has of a refused Service stays that Service's, also what was written of it
    /// before the refusal, or by somebody else since.
    pub(crate) fn keep(&mut self, refused: &FragmentId) {
        let (desired, _) = self.render(refused);
        let adopted = self.books.adopt(refused, &desired);
        self.adopted(&adopted);
    }

    /// Looks at what others left.
    fn first_look(
        &mut self,
        scope: &Scope<PartOf<W>>,
    ) -> Result<State<D::Key, Fingerprint>, WriteError> {
        self.tracker.complete();
        let seen: State<D::Key, Glimpse> = if self.tracker.withholds_anything() {
            let seen = self.writer.observe::<Named>(scope)?;
            let tracker = &self.tracker;
            let may_be_wanted = seen.iter().filter(|(_, named)| {
                let service = named.service.as_ref();
                service.is_none_or(|id| tracker.may_have_more(id))
            });
            self.leftovers = may_be_wanted.map(|(key, _)| key.clone()).collect();
            let glimpses = seen.into_iter().map(|(key, named)| (key, named.glimpse));
            glimpses.collect()
        } else {
            self.writer.observe(scope)?
        };
        // Kubelet makes the others on every node.
        let proxys = seen.iter().filter(|(key, _)| key.is_removable());
        self.found = Some(proxys.count());
        let served = |(key, glimpse): &(D::Key, Glimpse)| glimpse.udp.or(D::udp_frontend(key));
        self.found_udp = seen.iter().filter_map(served).collect();
        let prints = seen.into_iter().map(|(key, glimpse)| (key, glimpse.print));
        Ok(prints.collect())
    }

    /// Writes until nothing is owed that the kernel takes, or until there is no more room.
    fn write_owed(&mut self, room: Option<u64>) -> Result<Report, SyncError> {
        let mut report = Report::default();
        let mut attempts = ATTEMPTS;
        loop {
            let (pieces, leaves_out) = self.pieces(room);
            if pieces.is_empty() {
                break;
            }
            let before = self.committed;
            report.join(self.write(&pieces, &mut attempts)?);
            // What was only looked at, or set aside, was no turn.
            if leaves_out && self.committed > before {
                report.unfinished = true;
                break;
            }
        }
        report.contended = attempts < ATTEMPTS;
        if !report.unfinished {
            self.complete = true;
            self.end_departed_flows();
            // Not before the cleaner knows all Services: what it does not know it would end.
            if self.leftovers.is_empty() && !self.found_udp.is_empty() {
                let found = std::mem::take(&mut self.found_udp);
                if let Some(cleaner) = &self.cleaner {
                    cleaner.removed(found);
                }
            }
        }
        report.refused = self.refusal_lines();
        Ok(report)
    }

    fn refusal_lines(&self) -> Vec<String> {
        let services = self
            .quarantined
            .iter()
            .map(|(id, reason)| format!("service {id}: {reason}"));
        let stuck = self
            .stuck
            .iter()
            .map(|(key, reason)| format!("{key}: {reason}"));
        services.chain(stuck).collect()
    }

    /// What a fragment shall be, and what to note about it once it is.
    pub(crate) fn render(&self, id: &FragmentId) -> (State<D::Key, D::Object>, Note) {
        let count = |state: &State<_, _>| rules::<D>(state.iter().map(|(key, it)| (key, it)));
        let state = match id {
            FragmentId::Foundation => self.dataplane.foundation(),
            FragmentId::Links => self.dataplane.links(),
            FragmentId::Service(id) => {
                let Some(plan) = self.tracker.plan(id) else {
                    return (State::default(), Note::Service(None));
                };
                let state = self.dataplane.service(&plan);
                let objections = self.dataplane.objections(&plan);
                let mut facts = self.ledger.facts(&plan, count(&state), objections);
                if self.cleaner.is_some() {
                    facts.flows = plan.flow_frontends();
                }
                return (state, Note::Service(Some(facts)));
            }
        };
        let rules = count(&state);
        (state, Note::Rules(rules))
    }
}
